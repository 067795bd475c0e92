"""What faults are tried on: a film that takes a while, converted in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

from support.clips import Clip, Tone, moving_frames
from support.run_toonvid import killed_at_end

FRAMES = 75
LENGTH = Fraction(2, 5)  # of a segment: ten frames
TESTS = Path(__file__).parent

# Prints each frame's number, so that who watches knows how far it is.
PROGRAM = textwrap.dedent("""
    import sys, time
    from fractions import Fraction
    from pathlib import Path
    from toonvid import ConvertOptions, ToonvidError, convert, find_engine, open_backend
    source, target, engine, pause, before = sys.argv[1:6]
    def show(progress):
        print(progress.frames, flush=True)
        time.sleep(float(pause))
    backend = open_backend(find_engine(engine), precision="f32")
    exec(before)
    try:
        options = ConvertOptions(segment_seconds=Fraction(2, 5))
        done = convert(source, target, backend, options, on_progress=show)
    except ToonvidError as error:
        print(type(error).__name__, error, file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(4 if done.damage else 0)
""")


def write_film(path: Path) -> Path:
    """Three seconds with sound."""
    film = Clip(
        moving_frames(FRAMES),
        options={"g": "25"},
        audio=(Tone(seconds=Fraction(FRAMES, 25)),),
    )
    return film.write(path)


def start(
    source: Path, target: Path, engine: Path, pause: float = 0.0, before: str = ""
) -> subprocess.Popen[str]:
    """Convert in a process of its own.

    Args:
        source: A film.
        target: To be.
        engine: An `.onnx`.
        pause: Seconds after each frame.
        before: Python that the process runs first.
    """
    arguments = [str(source), str(target), str(engine), str(pause), before]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what was said on standard error."""
    with killed_at_end(process):
        _, said = process.communicate(timeout=300)
    return process.returncode, said

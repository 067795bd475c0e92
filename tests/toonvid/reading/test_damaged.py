"""Damaged files: each ends in bounded time and memory with one line, and a complete target or none.
`scripts/long/faults` tries thousands.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing
from pathlib import Path

import av
import pytest
from support.clips import Clip, Tone
from support.damaged import clips, damaged_files

from toonvid.errors import SourceError
from toonvid.resume.job_state import read_job_state
from toonvid.writing.part_folder import part_folder

COUNT = int(os.environ.get("TOONVID_DAMAGED", "100"))
SEED = int(os.environ.get("TOONVID_SEED", "8"))
SECONDS = 60  # per file, on a busy machine
MEMORY = 6 * 2**30  # bytes of address space; OpenVINO and FFmpeg's threads take most of it

# Reads source and target from each line of input; prints the exit code and the message.
WORKER = textwrap.dedent("""
    import sys, resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
    from toonvid import ToonvidError, convert, find_engine, open_backend
    backend = open_backend(find_engine(sys.argv[1]), precision="f32")
    print("ready", flush=True)
    for line in sys.stdin:
        source, target = line.rstrip("\\n").split("\\t")
        try:
            done = convert(source, target, backend)
            code, message = (4, done.damage) if done.damage else (0, "")
        except ToonvidError as error:
            code, message = error.exit_code, str(error)
        except BaseException as error:
            code, message = 70, f"{type(error).__name__}: {error}"
        print(code, message.replace("\\n", "<NEW LINE>"), sep="\\t", flush=True)
""")


class Worker:
    """A process that converts one file after another; it is restarted when it dies."""

    def __init__(self, engine: Path) -> None:
        self._engine = engine
        self._process: subprocess.Popen[str] | None = None

    def convert(self, source: Path, target: Path) -> tuple[int, str]:
        """Return exit code and message; 71 for a crash, 72 for a timeout."""
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{source}\t{target}\n")
        self._process.stdin.flush()
        line = self._line(SECONDS)
        if line is None:
            self.close()
            return 72, "too long"
        if not line:
            died = self._process.wait()
            self._process = None
            return 71, f"died of {died}"
        code, _, message = line.rstrip("\n").partition("\t")
        return int(code), message

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self._engine), str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line(120) == "ready\n"

    def _line(self, seconds: float) -> str | None:
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return self._process.stdout.readline()


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_damaged_files_end_with_one_line_and_no_partial_target(engines_folder, tmp_path):
    (tmp_path / "damaged").mkdir()
    worker = Worker(engines_folder / "negative.onnx")
    failures, codes = [], Counter()
    target = tmp_path / "target.mp4"
    files = damaged_files(clips(tmp_path), tmp_path / "damaged", COUNT, SEED)
    with closing(worker):
        for source in files:
            code, message = worker.convert(source, target)
            codes[code] += 1
            wrong = complaint(code, message, target)
            if wrong:
                failures.append(f"{source.name}: {code} {message!r}: {wrong}")
            else:
                source.unlink()
            target.unlink(missing_ok=True)
            shutil.rmtree(part_folder(target), ignore_errors=True)
    print(dict(codes))
    assert failures == [], "\n".join(failures)
    assert codes[0] and codes[1] and codes[4], (
        codes
    )  # the damage is neither too small nor too large


def complaint(code: int, message: str, target: Path) -> str | None:
    """Return what is wrong with the end of a conversion; None when nothing is."""
    if code not in (0, 1, 4):
        return "it ended otherwise than with 0, 1 or 4"
    if "<NEW LINE>" in message:
        return "more than one line"
    if part_folder(target).exists():
        # All segments are complete, but the container accepts none of them.
        state = read_job_state(target)
        if code != 1 or state is None or not state.awaits_join:
            return "the folder of the unfinished target is still there"
    if code == 1:
        return "it failed, and there is a target" if target.exists() else None
    with av.open(str(target)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    return None if frames else "the target has no frames"


def test_streams_without_a_decoder_are_refused_or_left_out(tmp_path, toon):
    source = Clip(audio=(Tone("ac3"),)).write(tmp_path / "source.mp4")
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"avc1", b"zzzz"))
    with pytest.raises(SourceError, match="contains video that no codec here can decode"):
        toon(source)
    source.write_bytes(whole.replace(b"ac-3", b"zzzz"))
    done = toon(source)
    assert done.notices == ("audio stream 1 (unknown) does not fit mp4 and is left out",)
    assert done.left_out == "all 0.3 s of audio stream 1 (unknown)"

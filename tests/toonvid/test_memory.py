"""Memory does not grow with the length of the film."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import Clip, Tone, moving_frames

TESTS = Path(__file__).parents[1]
SIZE = (160, 120)
PICTURE_BYTES = SIZE[0] * SIZE[1] * 3

MEASURED = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from support.tiny_engines import identity_engine
    from toonvid import ConvertOptions, EncodeOptions, convert, open_backend
    folder = Path(sys.argv[2])
    options = ConvertOptions(encoding=EncodeOptions(preset="ultrafast", overwrite=True))
    with open_backend(identity_engine(folder / "engines"), precision="f32") as backend:
        for name in sys.argv[3:]:
            convert(folder / name, folder / "target.mp4", backend, options)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
""")


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "aac"), ("mkv", "pcm_s16le")], ids=["copied", "converted"]
)
def test_a_long_film_takes_no_more_memory_than_a_short_one(suffix, codec, tmp_path):
    """The most that was ever held, after a film, the same film, and one five times as long."""
    for name, frames in (("short", 200), ("long", 1000)):
        Clip(
            moving_frames(4, SIZE) * (frames // 4),
            options={"preset": "ultrafast", "g": "25", "crf": "30"},
            audio=(Tone(codec, seconds=Fraction(frames, 25)),),
        ).write(tmp_path / f"{name}.{suffix}")
    arguments = [f"{name}.{suffix}" for name in ("short", "short", "long")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(TESTS), str(tmp_path), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    _, short, long = (int(line) for line in done.stdout.split())
    kept_frames = (long - short) * 1024 / PICTURE_BYTES
    assert kept_frames < 200  # of the 800 more

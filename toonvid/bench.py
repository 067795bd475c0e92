"""How fast this machine is: each stage by itself, then all of them together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

from toonvid.backends import Backend
from toonvid.decode import VideoDecoder
from toonvid.encode import EncodeOptions, VideoEncoder
from toonvid.pipeline import convert
from toonvid.scene import write_scene
from toonvid.stylize import Stylizer
from toonvid.video import Frame

_RATE = Fraction(24)  # of the scene, frames a second
_HELD_FRAMES = 24  # decoded frames that are kept to time stylize and encode by themselves


@dataclass(frozen=True)
class Bench:
    """What was measured, in frames a second; of several rounds the median."""

    width: int
    height: int
    frames: int
    """Of the film that the pipeline converted."""
    decode: float
    stylize: float
    encode: float
    pipeline: float
    """All stages together, from opening the source to the finished target."""

    @property
    def slowest_stage(self) -> str:
        return min(("decode", "stylize", "encode"), key=lambda stage: float(getattr(self, stage)))


def measure(backend: Backend, width: int, height: int, seconds: float, rounds: int) -> Bench:
    """Time the stages on our own scene.

    The stages take turns in each round, so that a machine that slows down slows all of them.

    Args:
        backend: Open.
        width: Of the scene in pixels, even.
        height: Likewise.
        seconds: Length of the scene.
        rounds: How often each stage is timed, after one round that is not counted.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as folder:
        film = Path(folder) / "scene.mp4"
        write_scene(film, width, height, _RATE, seconds)
        measured = [_round(film, Path(folder), backend) for _ in range(rounds + 1)][1:]
    decode, stylize, encode, pipeline = (median(column) for column in zip(*measured, strict=True))
    frames = round(seconds * _RATE)
    return Bench(width, height, frames, decode, stylize, encode, pipeline)


def _round(film: Path, folder: Path, backend: Backend) -> tuple[float, float, float, float]:
    """Frames a second of decode, stylize, encode and the pipeline."""
    with VideoDecoder(film) as decoder:
        info = decoder.info
        began = time.perf_counter()
        held = list(_first(decoder.frames(), _HELD_FRAMES))
        decode = len(held) / (time.perf_counter() - began)
    began = time.perf_counter()
    cartoons = list(Stylizer(backend).stylize(held))
    stylize = len(cartoons) / (time.perf_counter() - began)
    options = EncodeOptions(overwrite=True)
    began = time.perf_counter()
    with VideoEncoder(folder / "encoded.mp4", info, options) as encoder:
        for cartoon in cartoons:
            encoder.write(cartoon)
    encode = len(cartoons) / (time.perf_counter() - began)
    done = convert(film, folder / "converted.mp4", backend, encoding=options)
    return decode, stylize, encode, done.frames / done.seconds


def _first(frames: Iterator[Frame], count: int) -> Iterator[Frame]:
    for _, frame in zip(range(count), frames, strict=False):
        yield frame

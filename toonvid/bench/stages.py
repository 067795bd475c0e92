"""Each stage by itself: nothing else runs, so that its time and its share of the cores are its own.

Every one of them goes through as many frames as the film has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice
from pathlib import Path

from toonvid.backends import Backend
from toonvid.bench.work_time import WorkTime, time_work
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, VideoInfo
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions

_HELD_BYTES = 96 * 2**20  # of decoded pictures, kept to be shown to stylize and encode again
_HELD_FRAMES = (4, 48)  # the fewest and the most of them


@dataclass(frozen=True)
class HeldFrames:
    """Some pictures of a film, decoded, with their cartoons."""

    info: VideoInfo
    frames: int
    """How many the film has."""
    sources: list[Frame]
    cartoons: list[Frame]


def hold_frames(film: Path, backend: Backend) -> HeldFrames:
    """Decode a film to its end, and keep as many of its first pictures as memory should hold."""
    with VideoDecoder(film) as decoder:
        pixels = decoder.info.width * decoder.info.height
        fewest, most = _HELD_FRAMES
        count = max(fewest, min(most, _HELD_BYTES // (6 * pixels)))
        frames = decoder.frames()
        sources = list(islice(frames, count))
        total = len(sources) + sum(1 for _ in frames)
        return HeldFrames(decoder.info, total, sources, list(Stylizer(backend).stylize(sources)))


def decode_alone(film: Path) -> WorkTime:
    """From packets to RGB."""

    def decode() -> int:
        with VideoDecoder(film) as decoder:
            return sum(1 for _ in decoder.frames())

    return time_work(decode)


def stylize_alone(held: HeldFrames, backend: Backend) -> WorkTime:
    """From RGB to the cartoon's RGB."""
    frames = repeat_frames(held.sources, held.frames)
    return time_work(lambda: sum(1 for _ in Stylizer(backend).stylize(frames)))


def encode_alone(held: HeldFrames, target: Path, preset: str | None = None) -> WorkTime:
    """From RGB to a finished target, which is replaced if it is there."""
    options = EncodeOptions(preset=preset, overwrite=True)

    frames = repeat_frames(held.cartoons, held.frames)
    return time_work(lambda: write_video(target, held.info, frames, options))


def repeat_frames(frames: list[Frame], count: int) -> Iterator[Frame]:
    """Yield `count` frames at rising times: forth and back, so that nothing jumps."""
    rounds = cycle(chain(frames, frames[-2:0:-1]))
    step = frames[0].duration or 1
    for index, frame in enumerate(islice(rounds, count)):
        yield replace(frame, pts=index * step, duration=step)

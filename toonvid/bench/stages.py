"""The stages one at a time: decoding, stylizing and encoding, with nothing else running.

In: a video and an open backend. Out: a `WorkTime` per stage. Each stage processes as many frames as
the video has. Frames for stylizing and encoding are decoded beforehand and repeated, so that memory
stays small.
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

_HELD_BYTES = 96 * 2**20  # for frames and cartoons that are held in memory
_HELD_FRAMES = (4, 48)  # fewest and most of them


@dataclass(frozen=True)
class HeldFrames:
    """The first frames of a video, decoded, and their cartoons."""

    info: VideoInfo
    frames: int
    """Number of frames of the whole video."""
    sources: list[Frame]
    cartoons: list[Frame]


def hold_frames(video: Path, backend: Backend) -> HeldFrames:
    """Decode a video, keep its first frames and stylize them.

    The whole video is decoded, because containers do not always state the number of frames.
    """
    with VideoDecoder(video) as decoder:
        pixels = decoder.info.width * decoder.info.height
        fewest, most = _HELD_FRAMES
        count = max(fewest, min(most, _HELD_BYTES // (6 * pixels)))  # 3 bytes each for both
        frames = decoder.frames()
        sources = list(islice(frames, count))
        total = len(sources) + sum(1 for _ in frames)
        return HeldFrames(decoder.info, total, sources, list(Stylizer(backend).stylize(sources)))


def decode_alone(video: Path) -> WorkTime:
    """Time decoding: from packets to RGB frames."""

    def decode() -> int:
        with VideoDecoder(video) as decoder:
            return sum(1 for _ in decoder.frames())

    return time_work(decode)


def stylize_alone(held: HeldFrames, backend: Backend) -> WorkTime:
    """Time stylizing: from RGB frames to RGB cartoons."""
    frames = repeat_frames(held.sources, held.frames)
    return time_work(lambda: sum(1 for _ in Stylizer(backend).stylize(frames)))


def encode_alone(held: HeldFrames, target: Path, preset: str | None = None) -> WorkTime:
    """Time encoding: from RGB cartoons to a finished file.

    Args:
        held: Cartoons to encode.
        target: File to write; it is replaced if it exists.
        preset: As `EncodeOptions.preset`.
    """
    options = EncodeOptions(preset=preset, overwrite=True)
    frames = repeat_frames(held.cartoons, held.frames)
    return time_work(lambda: write_video(target, held.info, frames, options))


def repeat_frames(frames: list[Frame], count: int) -> Iterator[Frame]:
    """Yield `count` frames with rising pts, playing the given ones forward and backward by turns.

    Forward only would make a jump at each repetition, which costs the encoder extra.
    """
    there_and_back = cycle(chain(frames, frames[-2:0:-1]))
    duration = frames[0].duration or 1
    for index, frame in enumerate(islice(there_and_back, count)):
        yield replace(frame, pts=index * duration, duration=duration)

"""A feed: a source of live pictures that is open, and what is asked of one.

`toonvid.live.ffmpeg_feed` (FFmpeg) and `toonvid.live.webcam` (OpenCV) make them, `toonvid.live.camera` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from toonvid.video import AuxiliaryStreams, Frame

CLOCK = Fraction(1, 90_000)
"""Seconds in one unit of the pts that a camera gives: usual frame rates are exact in it."""


@dataclass(frozen=True)
class CameraOptions:
    """What is asked of a camera; one that cannot gives what it can."""

    size: tuple[int, int] | None = None
    """Width and height in pixels; None: the camera's own choice."""
    frame_rate: Fraction | None = None
    """Frames a second; None: the camera's own choice."""


@dataclass(frozen=True)
class Feed:
    """A source, open, and what is known of it before its frames arrive."""

    frames: Iterator[Frame]
    """Each waits until there is one. The end or a `ToonvidError` mean that the source is lost."""
    frame_rate: Fraction | None = None
    """Frames a second, a hint; None when the source does not say."""
    is_film: bool = False
    """Whether it is there beforehand: then it is played at its own pace, and ends for good."""
    has_clock: bool = False
    """Whether the frames' pts are when they were taken; else it is when they arrive."""
    auxiliary: AuxiliaryStreams = field(default_factory=AuxiliaryStreams)
    """Its sound among them, timed by the same clock as the frames."""


Opener: TypeAlias = Callable[[], AbstractContextManager[Feed]]

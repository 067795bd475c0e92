"""A feed: an open source of live frames, and the options that can be asked of one.

Feeds are opened by `toonvid.live.ffmpeg_feed` and `toonvid.live.webcam` and read by
`toonvid.live.camera`. This module holds values only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from toonvid.video import AuxiliaryStreams, Frame

# 90 kHz, as in MPEG transport streams: the usual frame rates are whole numbers of ticks.
LIVE_TIME_BASE = Fraction(1, 90_000)
"""Time base, in seconds, of the pts of all frames that a camera delivers."""


@dataclass(frozen=True)
class CameraOptions:
    """Size and rate to ask of a camera. A camera that does not support them delivers its own."""

    size: tuple[int, int] | None = None
    """Width and height in pixels; None, the default, leaves the choice to the camera."""
    frame_rate: Fraction | None = None
    """Frames per second; None, the default, leaves the choice to the camera."""


@dataclass(frozen=True)
class Feed:
    """An open source and what is known about it before its first frame."""

    frames: Iterator[Frame]
    """Frames in order; each step blocks until there is one. The end of the iterator and a
    `ToonvidError` both mean that the source is lost."""
    frame_rate: Fraction | None = None
    """Frames per second, a hint; None if the source does not say."""
    needs_pacing: bool = False
    """Whether the frames are available faster than they are to be shown, as those of a file or a
    test pattern. The camera then delivers each at its pts, and the end of such a feed is final."""
    has_clock: bool = False
    """Whether the pts of the frames are capture times. Otherwise the time of arrival is used."""
    auxiliary: AuxiliaryStreams = field(default_factory=AuxiliaryStreams)
    """Audio of the source, among others, on the same clock as the frames."""


OpenFeed: TypeAlias = Callable[[], AbstractContextManager[Feed]]
"""Opens a source; called again after the source was lost."""

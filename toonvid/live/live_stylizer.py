"""A painter: turns shots into cartoons, one at a time, and takes up another style when asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from types import TracebackType

import numpy as np

from toonvid.backends import Backend
from toonvid.live.camera import Shot
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.resize import resize
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels

SHORT_SIDES = (1080, 720, 540, 480, 432, 360, 288, 240, 192, 144, 96)
"""What `fit_size` chooses from, in pixels."""
_HELD_ROUNDS = 3  # pictures whose median is a size's speed, after one that is not counted
_SPARE = 0.9  # share of a frame's time that painting may take: the screen needs the rest


@dataclass(frozen=True)
class Look:
    """What the picture is to look like, at this moment."""

    style: str
    """Name of a style, or path of an engine."""
    options: StylizeOptions = field(default_factory=StylizeOptions)
    mirror: bool = False
    """Whether left and right change places, as in a mirror."""


@dataclass(frozen=True)
class Cartoon:
    """A shot and what became of it."""

    source: Pixels
    """(H, W, 3), as it was painted from: in size, mirrored."""
    frame: Frame
    """The cartoon. Twice as wide or high as the source when they are shown side by side."""
    captured: float
    """`time.perf_counter()` when the shot arrived."""


@dataclass(frozen=True)
class Fit:
    """How fast a painter is at two sizes."""

    asked: tuple[int, int]
    """The camera's width and height."""
    asked_rate: float
    """Pictures a second at that size."""
    size: tuple[int, int]
    """What was chosen."""
    rate: float


class Painter:
    """Holds one open backend. A context manager; `paint` is called on one thread at a time."""

    def __init__(
        self, open_style: Callable[[str], Backend], look: Look, size: tuple[int, int] | int | None
    ) -> None:
        """Remember what to open.

        Args:
            open_style: Opens the backend of a style by its name.
            look: The style to begin with.
            size: A box or a short side that pictures are scaled down to; None keeps theirs.
        """
        self.size = size
        self._open_style = open_style
        self.style = look.style
        """Of the backend that is open."""
        self._backend: Backend | None = None

    def __enter__(self) -> Painter:
        self._backend = self._open_style(self.style).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.backend.__exit__(kind, error, trace)

    @property
    def backend(self) -> Backend:
        """What paints now."""
        assert self._backend is not None
        return self._backend

    def paint(self, shot: Shot, look: Look) -> Cartoon:
        """Paint one picture.

        Raises:
            EngineError, BackendError: The look's style cannot be had, or its engine fails. The
                style before it goes on when the look names it again.
        """
        if look.style != self.style:
            self._change_style(look.style)
        pixels = self._in_size(shot.frame.pixels)
        if look.mirror:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        frame = replace(shot.frame, pixels=pixels, alpha=None)
        [cartoon] = Stylizer(self.backend, look.options).stylize([frame])
        return Cartoon(pixels, cartoon, shot.captured)

    def fit_size(self, shot: Shot, look: Look, rate: float) -> Fit:
        """Choose the largest size at which pictures are painted at a rate, and keep to it.

        Args:
            shot: A picture of the camera's own size.
            look: How it is painted.
            rate: Pictures a second.
        """
        height, width = shot.frame.pixels.shape[:2]
        own = min(width, height)
        self.size = None
        asked_rate = speed = self._speed(shot, look)
        for side in (s for s in SHORT_SIDES if s < own):
            if speed >= rate:
                break
            # Work grows with the pixels: what is hopeless by that measure need not be tried.
            hoped = asked_rate * (own / side) ** 2
            if hoped < rate and side != SHORT_SIDES[-1]:
                continue
            self.size = side
            speed = self._speed(shot, look)
        painted = fitted(width, height, DecodeOptions(self.size))
        return Fit((width, height), asked_rate, painted, speed)

    def _speed(self, shot: Shot, look: Look) -> float:
        """Pictures a second that leave the screen its time."""
        taken = []
        for _ in range(_HELD_ROUNDS + 1):
            began = time.perf_counter()
            self.paint(shot, look)
            taken.append(time.perf_counter() - began)
        return _SPARE / median(taken[1:])

    def _in_size(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        return resize(pixels, *fitted(width, height, DecodeOptions(self.size)))

    def _change_style(self, style: str) -> None:
        opened = self._open_style(style).__enter__()
        self.backend.__exit__(None, None, None)
        self._backend, self.style = opened, style

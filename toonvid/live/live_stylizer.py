"""The live stylizer: turns captured frames into cartoons, one at a time.

In: a captured frame and the style settings of the moment. Out: the cartoon, with the source frame
it was made from. Opens another engine when the style changes, and can choose the frame size or the
quality that reaches a frame rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from types import TracebackType

import numpy as np

from toonvid.backends import Backend
from toonvid.choices import Quality
from toonvid.live.camera import CapturedFrame
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.stylizing.drawing_size import drawing_size
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.resize import resize
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels

SHORT_SIDES = (1080, 720, 540, 480, 432, 360, 288, 240, 192, 144, 96)
"""Short sides that `LiveStylizer.choose_size` tries, in pixels."""
_MEASURED_FRAMES = 3  # per size, after one that is not counted: it compiles the engine
_STYLIZING_SHARE = 0.9  # of the time between two frames; the outputs need the rest


@dataclass(frozen=True)
class StyleSettings:
    """How the next frame is to be stylized. Changed by keys and the page while live runs."""

    style: str
    """Name of a style, or path of an engine."""
    options: StylizeOptions = field(default_factory=StylizeOptions)
    """Strength, color, comparison, steadiness, ink, tones and saturation; by default those of
    `toonvid convert`."""
    mirror: bool = False
    """Whether left and right are swapped."""

    def in_style(self, style: str) -> StyleSettings:
        """Return the same settings in another style, with that style's own ink and tones."""
        if style == self.style:
            return self
        # The other style may not have these controls, or not such a range.
        return replace(self, style=style, options=self.options.with_controls({}))


@dataclass(frozen=True)
class StylizedFrame:
    """A captured frame and its cartoon."""

    source: Pixels
    """(H, W, 3) uint8 RGB: the frame as it was stylized, that is resized and mirrored."""
    frame: Frame
    """The cartoon with the pts of its source; twice as wide or high as `source` when the options
    ask for both side by side."""
    captured_at: float
    """`time.perf_counter()` when the captured frame arrived, in seconds."""


@dataclass(frozen=True)
class SizeChoice:
    """A size of frames or of drawings and how fast it is, beside the camera's own size."""

    camera_size: tuple[int, int]
    """The camera's width and height in pixels."""
    camera_size_rate: float
    """Frames per second at the camera's size."""
    size: tuple[int, int]
    """The chosen width and height in pixels."""
    rate: float
    """Frames per second at the chosen size."""


class LiveStylizer:
    """Holds one open backend. A context manager; used by one thread at a time."""

    def __init__(
        self,
        open_style: Callable[[str], Backend],
        settings: StyleSettings,
        size: tuple[int, int] | int | None,
    ) -> None:
        """Store what to open.

        Args:
            open_style: Opens the backend of a style, given its name.
            settings: The style to begin with.
            size: Width and height of a box, or a short side, to which frames are scaled down. None
                keeps their size.
        """
        self.size = size
        self.style = settings.style
        """Style of the open backend."""
        self._open_style = open_style
        self._backend: Backend | None = None
        self._stylizer: Stylizer | None = None
        self._auto_quality: Quality = "auto"  # what `auto` means on this machine

    def __enter__(self) -> LiveStylizer:
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
        """The open backend."""
        assert self._backend is not None
        return self._backend

    def stylize(self, captured: CapturedFrame, settings: StyleSettings) -> StylizedFrame:
        """Stylize one frame.

        Raises:
            EngineError: There is no engine for the style of the settings. The backend of the
                previous style stays open.
            BackendError: The backend cannot be opened, or fails.
        """
        if settings.style != self.style:
            self._change_style(settings.style)
        pixels = self._resize(captured.frame.pixels)
        if settings.mirror:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        frame = replace(captured.frame, pixels=pixels, alpha=None)
        [cartoon] = self._stylizer_for(settings.options).stylize([frame])
        return StylizedFrame(pixels, cartoon, captured.captured_at)

    def _stylizer_for(self, options: StylizeOptions) -> Stylizer:
        """Return the stylizer of the previous frames, or a new one for other options or style.

        It is kept because `--steady` compares each frame with those before it.
        """
        if options.quality == "auto":
            options = replace(options, quality=self._auto_quality)
        kept = self._stylizer
        if kept is None or kept.backend is not self.backend or kept.options != options:
            kept = self._stylizer = Stylizer(self.backend, options)
        return kept

    def choose_size(
        self, captured: CapturedFrame, settings: StyleSettings, rate: float
    ) -> SizeChoice:
        """Choose the largest size at which frames are stylized at a rate, and use it from now on.

        Args:
            captured: A frame of the camera's own size.
            settings: How it is stylized.
            rate: Frames per second.

        Returns:
            The choice. The smallest size is chosen even if it does not reach the rate.
        """
        height, width = captured.frame.pixels.shape[:2]
        camera_side = min(width, height)
        self.size = None
        camera_size_rate = measured_rate = self._measure_rate(captured, settings)
        for side in (s for s in SHORT_SIDES if s < camera_side):
            if measured_rate >= rate:
                break
            # The work grows with the number of pixels. A size that is too slow by that estimate
            # is not measured, except for the smallest, because every size costs a compilation.
            estimated_rate = camera_size_rate * (camera_side / side) ** 2
            if estimated_rate < rate and side != SHORT_SIDES[-1]:
                continue
            self.size = side
            measured_rate = self._measure_rate(captured, settings)
        chosen = fitted(width, height, DecodeOptions(self.size))
        return SizeChoice((width, height), camera_size_rate, chosen, measured_rate)

    def choose_quality(
        self, captured: CapturedFrame, settings: StyleSettings, rate: float
    ) -> SizeChoice:
        """Choose what the quality `auto` means: `fast` where frames of their own size are too slow.

        Args:
            captured: A frame of the camera.
            settings: How it is stylized.
            rate: Frames per second that are wanted.

        Returns:
            The size of the drawings, and how fast they are.
        """
        height, width = self._resize(captured.frame.pixels).shape[:2]
        self._auto_quality = "auto"
        fast_size = drawing_size(height, width, "fast")
        own_rate = chosen_rate = self._measure_rate(captured, settings)
        if own_rate < rate and fast_size != (height, width):
            self._auto_quality = "fast"
            chosen_rate = self._measure_rate(captured, settings)
        drawn = drawing_size(height, width, self._auto_quality)
        return SizeChoice((width, height), own_rate, (drawn[1], drawn[0]), chosen_rate)

    def _measure_rate(self, captured: CapturedFrame, settings: StyleSettings) -> float:
        """Return the frames per second at the present size that leave the outputs their time."""
        durations = []
        for _ in range(_MEASURED_FRAMES + 1):
            began = time.perf_counter()
            self.stylize(captured, settings)
            durations.append(time.perf_counter() - began)
        return _STYLIZING_SHARE / median(durations[1:])

    def _resize(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        return resize(pixels, *fitted(width, height, DecodeOptions(self.size)))

    def _change_style(self, style: str) -> None:
        # The new backend is opened first: if that fails, the previous one still works.
        opened = self._open_style(style).__enter__()
        self.backend.__exit__(None, None, None)
        self._backend, self.style = opened, style

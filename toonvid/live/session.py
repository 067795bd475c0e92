"""The live loop: camera -> stylizer -> outputs.

The newest frame wins, and at most two frames are in flight: one is stylized while the one before it
is shown. An output is a function that gets each finished frame: `show` of a window, a page, a
virtual camera or a recorder. This module knows none of them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from toonvid.errors import BackendError, EngineError
from toonvid.live.camera import Camera, CapturedFrame
from toonvid.live.controls import Controls
from toonvid.live.live_stylizer import LiveStylizer, SizeChoice, StyleSettings, StylizedFrame
from toonvid.live.meter import LiveStatistics, Meter
from toonvid.stylizing.compare import draw_wipe
from toonvid.video import Pixels

# With three, the third frame would already be old when the outputs are ready for it.
_FRAMES_IN_FLIGHT = 2
_POLL_SECONDS = 0.02  # longest wait for a frame before outputs may handle keys
_DEFAULT_RATE = 25.0  # frames per second for `--size auto`, if neither camera nor user names one


@dataclass(frozen=True)
class DisplayFrame:
    """What outputs are given."""

    stylized: StylizedFrame
    """The cartoon and its source."""
    pixels: Pixels
    """(H, W, 3) uint8 RGB: the cartoon, with the source left of the wipe where that is set."""


FrameOutput: TypeAlias = Callable[[DisplayFrame | None], None]
"""Shows a frame; called with None now and then while there is no new one."""


class LiveSession:
    """One camera, one stylizer and any number of outputs. `run` is called once."""

    def __init__(
        self,
        camera: Camera,
        stylizer: LiveStylizer,
        controls: Controls,
        outputs: Sequence[FrameOutput] = (),
        target_rate: float | None = None,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Store the parts; nothing runs yet.

        Args:
            camera: An open camera.
            stylizer: An open stylizer.
            controls: Read before each frame.
            outputs: Called in this order, on the thread that calls `run`.
            target_rate: Frames per second for which to choose the frame size; 0 takes the camera's
                own rate; None keeps the size.
            on_notice: Called with one line that the user may want to know.
        """
        self.outputs = list(outputs)
        self._camera = camera
        self._stylizer = stylizer
        self._controls = controls
        self._target_rate = target_rate
        self._on_notice = on_notice
        self._meter = Meter()
        # Taken before a frame is taken from the camera, given back after it was shown.
        self._permits = threading.Semaphore(_FRAMES_IN_FLIGHT)
        # The stylizing thread's last item is None or the exception that ended it.
        self._stylized: queue.Queue[StylizedFrame | BaseException | None] = queue.Queue()
        self._stopping = threading.Event()
        self._size = (0, 0)

    def run(self, seconds: float | None = None) -> LiveStatistics:
        """Show frames until the user quits, the source ends or the time is up.

        Args:
            seconds: How long, counted from the first frame, or from now if none comes in this time;
                None for no limit.

        Returns:
            The statistics of the whole session.

        Raises:
            ToonvidError: The source, the engine or an output fails.
        """
        thread = threading.Thread(target=self._run_stylizer, name="stylizer", daemon=True)
        thread.start()
        ends_at: float | None = None
        first_frame_by = time.perf_counter() + (seconds or 0)
        try:
            while not self._controls.is_quitting:
                frame = self._next_frame()
                if frame is None and self._stopping.is_set():
                    break
                # Outputs stay on this thread: OpenCV's windows work on one thread only.
                for output in self.outputs:
                    output(frame)
                if frame is not None:
                    self._meter.count_frame(frame.stylized.captured_at)
                    self._permits.release()
                    ends_at = ends_at or time.perf_counter() + (seconds or 0)
                if seconds is None:
                    continue
                # Once a frame has come, the time that its style takes to load does not count.
                limit = first_frame_by if not self._camera.has_delivered else ends_at
                if limit is not None and time.perf_counter() >= limit:
                    break
        finally:
            self._stopping.set()
            thread.join()
        return self.whole_statistics()

    def whole_statistics(self) -> LiveStatistics:
        """Return the statistics with the rate of the whole session."""
        return replace(self.statistics(), rate=self._meter.mean_rate)

    def statistics(self) -> LiveStatistics:
        """Return the statistics so far. May be called on any thread."""
        return LiveStatistics(
            source=self._camera.name,
            style=self._controls.settings.style,
            width=self._size[0],
            height=self._size[1],
            shown=self._meter.shown,
            rate=self._meter.rate,
            delay_ms=self._meter.delay_ms(0.5),
            delay_95_ms=self._meter.delay_ms(0.95),
            dropped=self._camera.dropped,
            reconnects=self._camera.reconnects,
            recording=self._controls.recording,
        )

    def _next_frame(self) -> DisplayFrame | None:
        """Wait a moment for the next cartoon; None if there is none, or at the end."""
        try:
            stylized = self._stylized.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return None
        if isinstance(stylized, BaseException):
            raise stylized
        if stylized is None:
            self._stopping.set()
            return None
        pixels, wipe = stylized.frame.pixels, self._controls.wipe
        self._size = (pixels.shape[1], pixels.shape[0])
        # With source and cartoon side by side the shapes differ, and there is nothing to wipe.
        if wipe is not None and pixels.shape == stylized.source.shape:
            pixels = draw_wipe(stylized.source, pixels, wipe)
        return DisplayFrame(stylized, pixels)

    # The methods below run on the stylizing thread.

    def _run_stylizer(self) -> None:
        """Stylize the newest frame, again and again."""
        failure: BaseException | None = None
        try:
            prepared = self._prepare_first()
            while (captured := self._take_newest()) is not None:
                settings, shape = self._controls.settings, captured.frame.pixels.shape
                if (settings.style, shape) == prepared:
                    self._stylized.put(self._stylizer.stylize(captured, settings))
                    continue
                self._prepare(captured, settings)
                self._permits.release()  # not shown: preparing took so long that the frame is old
                prepared = (self._stylizer.style, shape)
        except BaseException as error:
            failure = error
        self._stylized.put(failure)

    def _prepare_first(self) -> tuple[str, tuple[int, ...]] | None:
        """Prepare before any frame is taken, so that a file is shown from its first frame on.

        Returns:
            Style and frame shape that are prepared; None if the session ends before.
        """
        while not self._stopping.is_set() and not self._camera.has_ended:
            captured = self._camera.peek(_POLL_SECONDS)
            if captured is not None:
                self._prepare(captured, self._controls.settings)
                self._camera.start_counting()
                return self._stylizer.style, captured.frame.pixels.shape
        return None

    def _take_newest(self) -> CapturedFrame | None:
        """Wait for a permit, and only then take the newest frame. None at the end."""
        while not self._permits.acquire(timeout=_POLL_SECONDS):
            if self._stopping.is_set():
                return None
        while not self._stopping.is_set() and not self._camera.has_ended:
            captured = self._camera.take_newest(_POLL_SECONDS)
            if captured is not None:
                return captured
        return None

    def _prepare(self, captured: CapturedFrame, settings: StyleSettings) -> None:
        """Stylize a frame of a new style or size, which compiles the engine for it.

        A style that cannot be opened is reported, and the previous one stays.
        """
        try:
            rate = self._target_rate or float(self._camera.frame_rate or _DEFAULT_RATE)
            if self._target_rate is None and settings.options.quality != "auto":
                self._stylizer.stylize(captured, settings)
            elif self._target_rate is None:
                choice = self._stylizer.choose_quality(captured, settings, rate)
                if choice.size != choice.camera_size:
                    self._on_notice(_quality_notice(choice, rate))
            else:
                choice = self._stylizer.choose_size(captured, settings, rate)
                self._on_notice(_size_notice(choice, rate))
        except (EngineError, BackendError) as error:
            if settings.style == self._stylizer.style:
                raise
            self._on_notice(str(error))
            self._controls.settings = settings.in_style(self._stylizer.style)


def _quality_notice(choice: SizeChoice, rate: float) -> str:
    (width, height), (drawn_width, drawn_height) = choice.camera_size, choice.size
    return (
        f"{width}x{height} would run at {choice.camera_size_rate:.3g} of {rate:.3g} fps on this"
        f" machine: drawn at {drawn_width}x{drawn_height}, it reaches {choice.rate:.3g}"
        " (--quality normal draws it in full)"
    )


def _size_notice(choice: SizeChoice, rate: float) -> str:
    (width, height), (new_width, new_height) = choice.camera_size, choice.size
    if choice.camera_size == choice.size:
        return (
            f"{width}x{height} reaches {rate:.3g} fps on this machine"
            f" ({choice.rate:.3g} fps are possible)"
        )
    reached = (
        f"reaches {rate:.3g} fps"
        if choice.rate >= rate
        else f"is the smallest size and reaches {choice.rate:.3g} fps"
    )
    return (
        f"{width}x{height} would run at {choice.camera_size_rate:.3g} fps on this machine;"
        f" {new_width}x{new_height} {reached}"
    )

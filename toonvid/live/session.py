"""Live: camera -> painter -> screens. The newest frame wins, and at most two are on their way.

A screen is whatever shows a picture: a window, a page, a virtual camera, a recording. None of them
is known here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from toonvid.errors import BackendError, EngineError
from toonvid.live.camera import Camera, Shot
from toonvid.live.live_stylizer import Cartoon, Fit, Look, Painter
from toonvid.live.meter import Meter
from toonvid.stylizing.compare import draw_wipe
from toonvid.video import Pixels

_IN_FLIGHT = 2  # frames: one is painted while the one before it is shown
_TICK_SECONDS = 0.02  # how long screens wait for a picture before they look after their keys
_USUAL_RATE = 25.0  # for `--size auto`, where neither camera nor user names a rate


class Controls:
    """What was asked for, at a window, a page or the command line. Any thread may set a value."""

    def __init__(self, look: Look, styles: Sequence[str], recording: bool = False) -> None:
        """Begin with a look.

        Args:
            look: The first.
            styles: What `next_style` goes through.
            recording: Whether to record from the beginning.
        """
        self.look = look
        self.styles = tuple(dict.fromkeys([look.style, *styles]))
        self.recording = recording
        self.wipe: float | None = None
        """Where the source ends and its cartoon begins, 0..1 of the width; None: cartoon alone."""
        self.is_quitting = False

    def next_style(self) -> None:
        """Take the style after the present one."""
        place = self.styles.index(self.look.style) if self.look.style in self.styles else -1
        self.look = replace(self.look, style=self.styles[(place + 1) % len(self.styles)])


@dataclass(frozen=True)
class Picture:
    """What screens are given."""

    cartoon: Cartoon
    pixels: Pixels
    """(H, W, 3): the cartoon, with the source beside it where that was asked for."""


Screen: TypeAlias = Callable[[Picture | None], None]
"""Shows a picture; called with None every now and then while there is no new one."""


@dataclass(frozen=True)
class Figures:
    """How a live picture fares."""

    source: str
    style: str
    width: int
    """Of the last cartoon, in pixels."""
    height: int
    shown: int
    rate: float
    """Pictures a second: lately while it runs, over all when it is done."""
    delay_ms: int
    """From camera to screen, the median."""
    delay_95_ms: int
    """What 95 % of the pictures do not exceed."""
    dropped: int
    """Frames of the camera that were never painted."""
    reconnects: int
    recording: bool


class Live:
    """One camera, one painter, any screens. `run` once."""

    def __init__(
        self,
        camera: Camera,
        painter: Painter,
        controls: Controls,
        screens: Sequence[Screen] = (),
        holds_rate: float | None = None,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Remember who takes part.

        Args:
            camera: Open.
            painter: Open.
            controls: Read before each picture.
            screens: Called in this order, on the thread that calls `run`.
            holds_rate: Pictures a second for which to choose the size; 0: the camera's own rate;
                None: the size stays.
            on_notice: Called with a line that the user may want to know.
        """
        self.screens = list(screens)
        self._camera = camera
        self._painter = painter
        self._controls = controls
        self._holds_rate = holds_rate
        self._on_notice = on_notice
        self._meter = Meter()
        self._permits = threading.Semaphore(_IN_FLIGHT)
        self._painted: queue.Queue[Cartoon | BaseException | None] = queue.Queue()
        self._stopping = threading.Event()
        self._size = (0, 0)

    def run(self, seconds: float | None = None) -> Figures:
        """Show pictures until someone quits, the source ends, or time is up.

        Args:
            seconds: How long, from the first picture; None: no end.

        Raises:
            ToonvidError: The source, the engine or a screen fails.
        """
        thread = threading.Thread(target=self._paint, name="painter", daemon=True)
        thread.start()
        ends: float | None = None
        try:
            while not self._controls.is_quitting:
                picture = self._next_picture()
                if picture is None and self._stopping.is_set():
                    break
                for screen in self.screens:
                    screen(picture)
                if picture is not None:
                    self._meter.note(picture.cartoon.captured)
                    self._permits.release()
                    ends = ends or time.perf_counter() + (seconds or 0)
                if seconds is not None and ends is not None and time.perf_counter() >= ends:
                    break
        finally:
            self._stopping.set()
            thread.join()
        return replace(self.figures(), rate=self._meter.mean_rate)

    def figures(self) -> Figures:
        """How it goes; may be asked on any thread."""
        return Figures(
            source=self._camera.name,
            style=self._controls.look.style,
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

    def _next_picture(self) -> Picture | None:
        try:
            cartoon = self._painted.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return None
        if isinstance(cartoon, BaseException):
            raise cartoon
        if cartoon is None:
            self._stopping.set()
            return None
        pixels, wipe = cartoon.frame.pixels, self._controls.wipe
        self._size = (pixels.shape[1], pixels.shape[0])
        if wipe is not None and pixels.shape == cartoon.source.shape:
            pixels = draw_wipe(cartoon.source, pixels, wipe)
        return Picture(cartoon, pixels)

    # From here on it runs on the painter's thread.

    def _paint(self) -> None:
        end: BaseException | None = None
        try:
            prepared = self._prepare_first()
            while (shot := self._newest_shot()) is not None:
                look, shape = self._controls.look, shot.frame.pixels.shape
                if (look.style, shape) == prepared:
                    self._painted.put(self._painter.paint(shot, look))
                    continue
                self._prepare(shot, look)
                self._permits.release()  # by now the shot is an old one
                prepared = (self._painter.style, shape)
        except BaseException as error:
            end = error
        self._painted.put(end)

    def _prepare_first(self) -> tuple[str, tuple[int, ...]] | None:
        """Get ready before a frame is taken, so that a film is shown from its first one on."""
        while not self._stopping.is_set() and not self._camera.is_over:
            shot = self._camera.look(_TICK_SECONDS)
            if shot is not None:
                self._prepare(shot, self._controls.look)
                self._camera.start_counting()
                return self._painter.style, shot.frame.pixels.shape
        return None

    def _newest_shot(self) -> Shot | None:
        """Wait until a frame may be taken, then for the frame; None when it is over."""
        while not self._permits.acquire(timeout=_TICK_SECONDS):
            if self._stopping.is_set():
                return None
        while not self._stopping.is_set() and not self._camera.is_over:
            shot = self._camera.newest(_TICK_SECONDS)
            if shot is not None:
                return shot
        return None

    def _prepare(self, shot: Shot, look: Look) -> None:
        """Take up a new style or size: engines are compiled for each, and pictures would wait."""
        try:
            if self._holds_rate is None:
                self._painter.paint(shot, look)
            else:
                rate = self._holds_rate or float(self._camera.frame_rate or _USUAL_RATE)
                self._on_notice(_fit_notice(self._painter.fit_size(shot, look, rate), rate))
        except (EngineError, BackendError) as error:
            if look.style == self._painter.style:
                raise
            self._on_notice(str(error))
            self._controls.look = replace(look, style=self._painter.style)


def _fit_notice(fit: Fit, rate: float) -> str:
    (width, height), (new_width, new_height) = fit.asked, fit.size
    if fit.asked == fit.size:
        return f"{width}x{height} holds {rate:.3g} a second here ({fit.rate:.3g} are possible)"
    holds = f"holds {rate:.3g}" if fit.rate >= rate else f"is the smallest there is: {fit.rate:.3g}"
    return (
        f"{width}x{height} would run at {fit.asked_rate:.3g} a second here;"
        f" {new_width}x{new_height} {holds} a second"
    )

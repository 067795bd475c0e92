"""Camera: pictures as they are taken, the newest first, of a source that may go away and come back.

How a source is opened and read is not known here: it is a `toonvid.live.feed`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from toonvid.errors import CameraError, ToonvidError
from toonvid.live.feed import CLOCK, Feed, Opener
from toonvid.live.sound import Sound
from toonvid.video import AuxiliaryStreams, Frame, Pixels, seconds

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0  # for the first picture
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 8.0  # between two attempts to open a source
_CLOCK_SLIP_SECONDS = 2.0  # a source's clock that is further off than this was set anew
_GUEST_SECONDS = 2.0  # how long a guest's pictures keep those of the source away
_GOODBYE_SECONDS = 1.0  # for a thread that is inside a driver; it dies with the process


@dataclass(frozen=True)
class Shot:
    """A frame and the moment it came."""

    frame: Frame
    """Its pts counts from when the camera was opened, in units of `CLOCK`."""
    captured: float
    """`time.perf_counter()` on arrival."""


class Camera:
    """Reads a feed on a thread of its own and keeps its newest frame. A context manager.

    A frame that nobody took before the next one came is dropped. A source that is lost is opened
    again, after waits that grow from half a second to eight. A film waits at its first frame until
    that is taken.
    """

    def __init__(
        self, name: str, opener: Opener | None, on_notice: Callable[[str], None] | None = None
    ) -> None:
        """Remember what to open.

        Args:
            name: What to call the source in a message.
            opener: Opens it; called again when it was lost. None: there are only guests' pictures.
            on_notice: Called with a line when the source is lost or comes back, on any thread.
        """
        self.name = name
        self.dropped = 0
        """How many frames were never taken."""
        self.reconnects = 0
        """How many times the source came back."""
        self.frame_rate: Fraction | None = None
        """Frames a second, a hint; None when the source does not say."""
        self.sound = Sound()
        self._opener = opener
        self._on_notice = on_notice or logger.info
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._shot: Shot | None = None
        self._last_pts = -1
        self._offset: Fraction | None = None  # from the source's clock to ours, in seconds
        self._is_held = False
        self._guest_until = 0.0
        self._ended = False
        self._failure: BaseException | None = None
        self._arrived = 0

    def __enter__(self) -> Camera:
        """Wait for the first picture.

        Raises:
            CameraError, SourceError: The source cannot be opened, or gives no picture.
        """
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        if self._opener is None:
            return self
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._shot or self._ended, PATIENCE_SECONDS)
            if self._failure is not None:
                raise self._failure
            if self._shot is None:
                self._stopping.set()
                wait = f"within {PATIENCE_SECONDS:.0f} s" if not self._ended else "at all"
                raise CameraError(f"{self.name} gives no picture {wait}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_GOODBYE_SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        with self._changed:
            return self._ended and self._shot is None

    def look(self, timeout_seconds: float) -> Shot | None:
        """The newest frame, which stays to be taken.

        Returns:
            None when none came in time, or the source has ended.

        Raises:
            ToonvidError: The source was lost for good.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._shot or self._ended, timeout_seconds)
            if self._shot is None and self._failure is not None:
                raise self._failure
            return self._shot

    def newest(self, timeout_seconds: float) -> Shot | None:
        """Take the newest frame; else as `look`."""
        with self._changed:
            shot = self.look(timeout_seconds)
            if shot is not None and self._is_held:  # the film begins now
                self._is_held = False
                self._last_pts = max(self._now_pts(), self._last_pts)
                begun = replace(shot.frame, pts=self._last_pts)
                shot = Shot(begun, time.perf_counter())
                self._changed.notify_all()
            self._shot = None
            return shot

    def start_counting(self) -> None:
        """Forget what came while nobody could take it, but for a film's first frame."""
        with self._changed:
            self.dropped = 0
            if not self._is_held:
                self._shot = None

    def offer(self, pixels: Pixels) -> None:
        """Put a guest's picture, (H, W, 3), in place of the source's, which wait meanwhile."""
        self._guest_until = time.perf_counter() + _GUEST_SECONDS
        self._put(Frame(pixels, 0, CLOCK), self._now_pts())

    def _run(self) -> None:
        assert self._opener is not None
        wait = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            arrived, is_film = self._arrived, False
            lost: BaseException | None = None
            try:
                with self._opener() as feed:
                    is_film = feed.is_film
                    try:
                        self._read(feed)
                    finally:
                        self.sound.attach(AuxiliaryStreams())
            except ToonvidError as error:
                lost = error
            except BaseException as error:  # our own mistake: for the reader to raise
                self._end(error)
                return
            if self._stopping.is_set():
                return
            if is_film or not self._arrived:
                self._end(lost)
                return
            if self._arrived > arrived:
                wait = _FIRST_WAIT_SECONDS
                self._on_notice(f"{self.name} is lost{f' ({lost})' if lost else ''}: trying again")
            self._stopping.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _read(self, feed: Feed) -> None:
        """Take the feed's frames until it ends."""
        came_back = self._arrived > 0
        self.frame_rate, self._offset = feed.frame_rate, None
        self.sound.attach(feed.auxiliary)
        for frame in feed.frames:
            pts = self._pts(frame, feed)
            if self._stopping.is_set():
                return
            if came_back:
                came_back = False
                self.reconnects += 1
                height, width = frame.pixels.shape[:2]
                self._on_notice(f"{self.name} is back, {width}x{height}")
            self._arrived += 1
            if time.perf_counter() > self._guest_until:
                is_first = feed.is_film and self._arrived == 1
                self._put(frame, pts, is_held=is_first)
                if is_first:
                    self._wait_for_begin(frame)
            self._collect_sound()
        self._collect_sound()

    def _wait_for_begin(self, first: Frame) -> None:
        """Hold a film until its first frame is taken, and count its time from there."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_held or self._stopping.is_set())
            self._offset = self._last_pts * CLOCK - first.seconds

    def _collect_sound(self) -> None:
        if self._offset is not None:
            self.sound.collect(self._offset, self._last_pts * CLOCK)

    def _pts(self, frame: Frame, feed: Feed) -> int:
        """When a frame is shown, on the camera's clock; a film's frames are waited for."""
        now = self._now_pts() * CLOCK
        following = max(now, (self._last_pts + 1) * CLOCK)
        if self._offset is None:
            self._offset = following - frame.seconds
        shown = frame.seconds + self._offset
        if feed.is_film:
            self._stopping.wait(max(0.0, float(shown - now)))
        elif not feed.has_clock:
            shown = now
        elif abs(shown - now) > _CLOCK_SLIP_SECONDS:
            self._offset, shown = following - frame.seconds, following
        return round(shown / CLOCK)

    def _now_pts(self) -> int:
        return round((time.perf_counter() - self._began) / CLOCK)

    def _put(self, frame: Frame, pts: int, is_held: bool = False) -> None:
        with self._changed:
            self._is_held = is_held
            self.dropped += self._shot is not None
            self._last_pts = max(pts, self._last_pts + 1)
            duration = round(seconds(frame.duration, frame.time_base) / CLOCK)
            moved = replace(frame, pts=self._last_pts, time_base=CLOCK, duration=duration)
            self._shot = Shot(moved, time.perf_counter())
            self._changed.notify_all()

    def _end(self, failure: BaseException | None) -> None:
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

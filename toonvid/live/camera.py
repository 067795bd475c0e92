"""The camera: reads a feed on a thread of its own and keeps its newest frame.

In: a function that opens a feed. Out: the newest frame with its capture time, and the audio packets
of the source. A source that is lost is opened again. How a source is opened and decoded is left to
`toonvid.live.ffmpeg_feed` and `toonvid.live.webcam`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from toonvid.errors import CameraError, ToonvidError
from toonvid.live.audio_buffer import AudioBuffer
from toonvid.live.camera_clock import CameraClock
from toonvid.live.feed import LIVE_TIME_BASE, Feed, OpenFeed
from toonvid.video import AuxiliaryStreams, Frame, Pixels, seconds

logger = logging.getLogger(__name__)

FIRST_FRAME_TIMEOUT_SECONDS = 20.0
# The wait before an attempt to reconnect doubles from the first value to the second.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 8.0
# How long after a frame from a browser the frames of the source are still discarded.
_BROWSER_PRIORITY_SECONDS = 2.0
# The reading thread may hang inside a driver; it is a daemon and ends with the process.
_JOIN_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class CapturedFrame:
    """A frame and the moment at which it arrived."""

    frame: Frame
    """The frame; its pts counts from the opening of the camera, in units of `LIVE_TIME_BASE`."""
    captured_at: float
    """`time.perf_counter()` on arrival, in seconds."""


class Camera:
    """Reads a feed on a thread of its own and keeps its newest frame. A context manager.

    A frame that was not taken before the next one arrived is dropped. A source that is lost is
    opened again, after waits that grow from half a second to eight. A feed that needs pacing, such
    as a file, is held at its first frame until that is taken, and is not opened again.
    """

    def __init__(
        self,
        name: str,
        open_feed: OpenFeed | None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """Store what to open; nothing is opened yet.

        Args:
            name: Name of the source in messages, without passwords.
            open_feed: Opens the source; called again after it was lost. None: the only frames are
                those of `put_browser_frame`.
            on_notice: Called with one line, on any thread, when the source is lost or is back.
                None writes the line to the log.
        """
        self.name = name
        self.dropped = 0
        """Number of frames that were never taken."""
        self.reconnects = 0
        """Number of times the source came back."""
        self.has_delivered = False
        """Whether any frame has come, from the source or from a browser."""
        self.frame_rate: Fraction | None = None
        """Frames per second, a hint; None if the source does not say."""
        self.audio = AudioBuffer()
        """Audio packets of the source, on the clock of the frames."""
        self._open_feed = open_feed
        self._on_notice = on_notice or logger.info
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._newest: CapturedFrame | None = None
        self._is_held = False  # at the first frame of a paced feed
        self._browser_until = 0.0  # `time.perf_counter()`
        self._ended = False
        self._failure: BaseException | None = None
        self._arrived = 0

    def __enter__(self) -> Camera:
        """Start to read, and wait for the first frame.

        Raises:
            CameraError: The source cannot be opened, or delivers no frame within 20 s.
            SourceError: The source is a file that cannot be read.
        """
        self._clock = CameraClock()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        if self._open_feed is None:
            return self
        self._thread.start()
        timeout = FIRST_FRAME_TIMEOUT_SECONDS
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._ended, timeout)
            if self._failure is not None:
                raise self._failure
            if self._newest is None:
                self._stopping.set()
                within = "at all" if self._ended else f"within {timeout:.0f} s"
                raise CameraError(f"{self.name} delivers no frame {within}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_SECONDS)

    @property
    def has_ended(self) -> bool:
        """Whether the source has ended for good and its last frame was taken."""
        with self._changed:
            return self._ended and self._newest is None

    def peek(self, timeout_seconds: float) -> CapturedFrame | None:
        """Return the newest frame without taking it.

        Returns:
            None if no frame came in time, or if the source has ended.

        Raises:
            ToonvidError: The source is lost for good.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._ended, timeout_seconds)
            if self._newest is None and self._failure is not None:
                raise self._failure
            return self._newest

    def take_newest(self, timeout_seconds: float) -> CapturedFrame | None:
        """Take the newest frame; the same frame is not returned twice.

        Returns:
            None if no frame came in time, or if the source has ended.

        Raises:
            ToonvidError: The source is lost for good.
        """
        with self._changed:
            newest = self.peek(timeout_seconds)
            if newest is not None and self._is_held:
                # A paced feed starts now: what came before was time to load the engine.
                self._is_held = False
                self._clock.last_pts = max(self._clock.now(), self._clock.last_pts)
                started = replace(newest.frame, pts=self._clock.last_pts)
                newest = CapturedFrame(started, time.perf_counter())
                self._changed.notify_all()
            self._newest = None
            return newest

    def start_counting(self) -> None:
        """Reset `dropped` and discard the newest frame, which is old by now.

        Called when the stylizer is ready. The first frame of a paced feed is kept.
        """
        with self._changed:
            self.dropped = 0
            if not self._is_held:
                self._newest = None

    def put_browser_frame(self, pixels: Pixels) -> None:
        """Deliver a frame of a browser's camera in place of the source's frames.

        The source's frames are discarded until no such frame has come for two seconds.

        Args:
            pixels: (H, W, 3) uint8 RGB.
        """
        self._browser_until = time.perf_counter() + _BROWSER_PRIORITY_SECONDS
        self._put(Frame(pixels, 0, LIVE_TIME_BASE), self._clock.now())

    def _run(self) -> None:
        """Open and read the source, again and again, until the camera is closed."""
        assert self._open_feed is not None
        wait_seconds = _FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            arrived_before, needs_pacing = self._arrived, False
            failure: BaseException | None = None
            try:
                with self._open_feed() as feed:
                    needs_pacing = feed.needs_pacing
                    try:
                        self._read(feed)
                    finally:
                        self.audio.attach(AuxiliaryStreams())
            except ToonvidError as error:
                failure = error
            except BaseException as error:  # a bug: raised on the thread that takes the frames
                self._end(error)
                return
            if self._stopping.is_set():
                return
            # A source that never delivered a frame is an error, not a lost connection.
            if needs_pacing or not self._arrived:
                self._end(failure)
                return
            if self._arrived > arrived_before:
                wait_seconds = _FIRST_RETRY_SECONDS
                reason = f" ({failure})" if failure else ""
                self._on_notice(f"{self.name} is lost{reason}: trying again")
            self._stopping.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_RETRY_SECONDS)

    def _read(self, feed: Feed) -> None:
        """Deliver the frames of a feed until it ends."""
        is_reconnect = self._arrived > 0
        self.frame_rate = feed.frame_rate
        self._clock.forget_source()
        self.audio.attach(feed.auxiliary)
        for frame in feed.frames:
            pts = self._clock.pts(frame, feed)
            if feed.needs_pacing:
                self._stopping.wait(max(0.0, float((pts - self._clock.now()) * LIVE_TIME_BASE)))
            if self._stopping.is_set():
                return
            if is_reconnect:
                is_reconnect = False
                self.reconnects += 1
                height, width = frame.pixels.shape[:2]
                self._on_notice(f"{self.name} is back, {width}x{height}")
            self._arrived += 1
            if time.perf_counter() > self._browser_until:
                is_first = feed.needs_pacing and self._arrived == 1
                self._put(frame, pts, is_held=is_first)
                if is_first:
                    self._wait_until_first_is_taken(frame)
            self._collect_audio()
        self._collect_audio()

    def _wait_until_first_is_taken(self, first: Frame) -> None:
        """Hold a paced feed at its first frame, and count its time from when that is taken."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_held or self._stopping.is_set())
            self._clock.start_source_at_last_pts(first)

    def _collect_audio(self) -> None:
        if self._clock.offset is not None:
            self.audio.collect(self._clock.offset, self._clock.last_pts * LIVE_TIME_BASE)

    def _put(self, frame: Frame, pts: int, is_held: bool = False) -> None:
        """Make a frame the newest one. Its pts rises even where the source's does not."""
        with self._changed:
            self._is_held = is_held
            self.has_delivered = True
            self.dropped += self._newest is not None
            pts = self._clock.last_pts = max(pts, self._clock.last_pts + 1)
            duration = round(seconds(frame.duration, frame.time_base) / LIVE_TIME_BASE)
            moved = replace(frame, pts=pts, time_base=LIVE_TIME_BASE, duration=duration)
            self._newest = CapturedFrame(moved, time.perf_counter())
            self._changed.notify_all()

    def _end(self, failure: BaseException | None) -> None:
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

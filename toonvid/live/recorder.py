"""Output: recordings, started and stopped by the controls.

In: finished frames and the audio of the camera. Out: one video file for each time that recording is
switched on. How a file is written is left to `toonvid.live.recording`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toonvid.errors import TargetError
from toonvid.live.camera import Camera
from toonvid.live.controls import Controls
from toonvid.live.recording import Recording
from toonvid.live.session import DisplayFrame
from toonvid.live.snapshot import dated_stem, free_path
from toonvid.video import Frame

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts")
"""File name suffixes of the containers that can be recorded."""
# Frames that wait for the encoder. When it falls further behind, the live loop waits for it.
_QUEUED_FRAMES = 8


@dataclass(frozen=True)
class RecordOptions:
    """Where recordings are written."""

    target: Path | None = None
    """The first recording; later ones get a number appended. None, the default, names each by date
    and time in the current folder."""
    overwrite: bool = False
    """Whether the first recording may replace a file that exists."""

    def __post_init__(self) -> None:
        if self.target is not None and self.target.suffix.lower() not in SUFFIXES:
            raise TargetError(f"cannot record {self.target}: toonvid records {' '.join(SUFFIXES)}")


class Recorder:
    """Records while the controls say so, on a thread of its own. A context manager.

    A recording that fails is reported and stopped; the live session goes on.
    """

    def __init__(
        self,
        camera: Camera,
        controls: Controls,
        options: RecordOptions,
        on_notice: Callable[[str], None],
    ) -> None:
        """Store the parts; nothing is written until the first frame to be recorded.

        Args:
            camera: Its audio is recorded too.
            controls: Their `recording` starts and stops recordings; set to False by one that fails.
            options: Where recordings are written.
            on_notice: Called with one line when a recording starts, ends or fails.

        Raises:
            TargetError: The target exists and may not be replaced, or cannot be written.
        """
        self.failure: TargetError | None = None
        """Error of the last recording that failed; None if none did."""
        self._camera = camera
        self._controls = controls
        self._options = options
        self._on_notice = on_notice
        self._writer: _Writer | None = None
        self._count = 0
        if options.target is not None:
            _check_target(options.target, options.overwrite)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def show(self, frame: DisplayFrame | None) -> None:
        """Record a frame if recording is switched on. None lets a recording end."""
        if self._controls.recording and self._writer is None and frame is not None:
            self._start()
        elif not self._controls.recording:
            self._stop()
        if self._writer is None:
            return
        if self._writer.failure is not None:
            self._stop()
        elif frame is not None:
            self._writer.frames.put(frame.stylized.frame)

    def _start(self) -> None:
        target = self._options.target or Path(f"{dated_stem()}.mp4")
        if self._count or self._options.target is None:
            target = free_path(target)
        self._count += 1
        self._camera.audio.keeps_everything = True
        with self._camera.audio.streams() as streams:
            audio = "with audio" if streams else f"without audio: {self._camera.name} has none"
        self._on_notice(f"recording {target}, {audio}")
        self._writer = _Writer(Recording(target, self._controls.settings.style, self._camera))

    def _stop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._camera.audio.keeps_everything = False
        writer.end()
        if writer.failure is not None:
            self._controls.recording = False
            if not isinstance(writer.failure, TargetError):  # a bug: not for the user to mend
                raise writer.failure
            self.failure = writer.failure
            self._on_notice(str(writer.failure))
        else:
            count = writer.recording.frame_count
            self._on_notice(f"wrote {writer.recording.target}: {count} frames")
            for notice in writer.recording.notices:
                self._on_notice(notice)


class _Writer:
    """Writes one recording on a thread of its own, so that encoding does not delay frames."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.failure: BaseException | None = None
        self.frames: queue.Queue[Frame | None] = queue.Queue(_QUEUED_FRAMES)
        """Frames to write; None ends the recording."""
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def end(self) -> None:
        """Write the frames that wait, and close the file."""
        self.frames.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self.recording:
                while (frame := self.frames.get()) is not None:
                    self.recording.write(frame)
        except BaseException as error:
            self.failure = error
            while self.frames.get() is not None:  # drained, so that `put` never waits for ever
                continue


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse a target before the session, which would go on without a recording."""
    if target.is_dir():
        raise TargetError(f"{target} is a folder, not a video to record")
    if target.exists() and not overwrite:
        raise TargetError(f"{target} is there already (--overwrite replaces it)")
    folder = target.parent
    if not folder.is_dir():
        raise TargetError(f"cannot record {target}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise TargetError(f"cannot record {target}: no permission to write in {folder}")

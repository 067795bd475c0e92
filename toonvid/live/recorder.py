"""Record: a screen that makes recordings while the controls say so."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toonvid.errors import TargetError
from toonvid.live.camera import Camera
from toonvid.live.recording import Recording
from toonvid.live.session import Controls, Picture
from toonvid.live.snapshot import dated_stem, free_path
from toonvid.video import Frame

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts")
_WAITING_FRAMES = 8  # for the encoder; then the picture waits for it too


@dataclass(frozen=True)
class RecordOptions:
    """Where recordings go."""

    target: Path | None = None
    """The first; those after it get a number. None: a name that says when, in this folder."""
    overwrite: bool = False
    """Whether the first may replace a file that is there."""

    def __post_init__(self) -> None:
        if self.target is not None and self.target.suffix.lower() not in SUFFIXES:
            raise TargetError(f"cannot record {self.target}: toonvid records {' '.join(SUFFIXES)}")


class Recorder:
    """A screen that records while the controls say so, on a thread of its own. A context manager.

    A recording that fails is said and stopped; the live picture goes on.
    """

    def __init__(
        self,
        camera: Camera,
        controls: Controls,
        options: RecordOptions,
        on_notice: Callable[[str], None],
    ) -> None:
        """Remember what to record, and where.

        Raises:
            TargetError: The target is there already and may not be replaced.
        """
        self.failure: TargetError | None = None
        """What the last recording that failed failed of."""
        self._camera = camera
        self._controls = controls
        self._options = options
        self._on_notice = on_notice
        self._writer: _Writer | None = None
        self._count = 0
        target = options.target
        if target is not None and target.exists() and not options.overwrite:
            raise TargetError(f"{target} is there already (--overwrite replaces it)")

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def show(self, picture: Picture | None) -> None:
        """Record a picture if recording is wanted."""
        if self._controls.recording and self._writer is None and picture is not None:
            self._begin()
        elif not self._controls.recording:
            self._stop()
        if self._writer is None:
            return
        if self._writer.failure is not None:
            self._stop()
        elif picture is not None:
            self._writer.frames.put(picture.cartoon.frame)

    def _begin(self) -> None:
        target = self._options.target or Path(f"{dated_stem()}.mp4")
        if self._count or self._options.target is None:
            target = free_path(target)
        self._count += 1
        self._camera.sound.is_wanted = True
        with self._camera.sound.streams() as streams:
            sound = "with its sound" if streams else f"without sound: {self._camera.name} has none"
        self._on_notice(f"recording {target}, {sound}")
        recording = Recording(target, self._controls.look.style, self._camera)
        self._writer = _Writer(recording)

    def _stop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._camera.sound.is_wanted = False
        writer.end()
        if writer.failure is not None:
            self._controls.recording = False
            if not isinstance(writer.failure, TargetError):  # our own mistake
                raise writer.failure
            self.failure = writer.failure
            self._on_notice(str(writer.failure))
        else:
            count = writer.recording.frame_count
            self._on_notice(f"wrote {writer.recording.target}: {count} frames")
            for notice in writer.recording.notices:
                self._on_notice(notice)


class _Writer:
    """Writes one recording on a thread of its own."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.failure: BaseException | None = None
        self.frames: queue.Queue[Frame | None] = queue.Queue(_WAITING_FRAMES)
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def end(self) -> None:
        """Write what is waiting, and close the film."""
        self.frames.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self.recording:
                while (frame := self.frames.get()) is not None:
                    self.recording.write(frame)
        except BaseException as error:
            self.failure = error
            while self.frames.get() is not None:  # so that nobody waits at a full queue
                continue

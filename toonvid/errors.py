"""The errors that toonvid raises on purpose. Each message is one line: what, which file, what to
do.

    Exception
    └── ToonvidError                exit code 1
        ├── SourceError             a source cannot be opened or read
        ├── EngineError             an engine or its card is missing, damaged or not to be trusted
        ├── BackendError            a backend cannot run the engine
        │   ├── DeviceMissingError      exit code 3: the requested device is missing
        │   └── UnsupportedEngineError  exit code 3: the requested backend refuses the engine
        ├── TargetError             a target cannot be written
        │   └── JobMismatchError    exit code 2: what is finished was begun with other options
        ├── CameraError             a camera cannot be opened or read
        └── TrainingError           training, exporting or evaluating cannot go on

Only `toonvid.cli` turns them into a red line and an exit code.
"""

from __future__ import annotations

from typing import ClassVar


class ToonvidError(Exception):
    """Base of every error that toonvid raises on purpose."""

    exit_code: ClassVar[int] = 1
    """What the process ends with when this error reaches the command line."""


class SourceError(ToonvidError):
    """A source cannot be opened, has no pictures, or cannot be read."""


class EngineError(ToonvidError):
    """An engine or its card is missing, damaged or not to be trusted."""


class BackendError(ToonvidError):
    """A backend cannot run the engine."""


class DeviceMissingError(BackendError):
    """The device that was asked for is not in this machine, or the library that drives it."""

    exit_code: ClassVar[int] = 3


class UnsupportedEngineError(BackendError):
    """The backend that was asked for does not take the engine; another may."""

    exit_code: ClassVar[int] = 3


class TargetError(ToonvidError):
    """A target cannot be written, or is there already."""


class JobMismatchError(TargetError):
    """An unfinished conversion lies there that was begun otherwise. Nothing of it was touched."""

    exit_code: ClassVar[int] = 2


class CameraError(ToonvidError):
    """A camera cannot be opened or read."""


class TrainingError(ToonvidError):
    """Training, exporting or evaluating cannot go on."""

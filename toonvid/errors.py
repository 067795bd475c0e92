"""The errors that toonvid raises deliberately, as one tree.

Each message is one line that says what happened, to which file, and what to do.

    Exception
    └── ToonvidError                    exit code 1
        ├── SourceError                 a source cannot be opened or read
        ├── EngineError                 an engine or its card is missing, damaged or not trusted
        ├── BackendError                a backend cannot run the engine
        │   ├── DeviceMissingError      exit code 3: the requested device is missing
        │   └── UnsupportedEngineError  exit code 3: the requested backend rejects the engine
        ├── TargetError                 a target cannot be written
        │   └── JobMismatchError        exit code 2: unfinished work was begun with other options
        ├── ControlError                exit code 2: a control that the style lacks, or its range
        ├── CameraError                 a camera cannot be opened or read
        └── TrainingError               training, exporting or evaluating cannot continue

Only `toonvid.cli` catches them; it prints a red line and exits with the error's code.
"""

from __future__ import annotations

from typing import ClassVar


class ToonvidError(Exception):
    """Base class of all errors that toonvid raises deliberately."""

    exit_code: ClassVar[int] = 1
    """Exit code of the process when this error reaches the command line."""


class SourceError(ToonvidError):
    """A source cannot be opened, contains no video, or cannot be read."""


class EngineError(ToonvidError):
    """An engine or its card is missing, damaged or not trusted."""


class ControlError(ToonvidError):
    """The style does not have a control, or the control's range does not have the value."""

    exit_code: ClassVar[int] = 2


class BackendError(ToonvidError):
    """A backend cannot run the engine."""


class DeviceMissingError(BackendError):
    """The requested device, or the library that drives it, is not on this machine."""

    exit_code: ClassVar[int] = 3


class UnsupportedEngineError(BackendError):
    """The requested backend rejects the engine; another backend may accept it."""

    exit_code: ClassVar[int] = 3


class TargetError(ToonvidError):
    """A target cannot be written, or already exists."""


class JobMismatchError(TargetError):
    """An unfinished conversion with other options exists. Nothing of it was changed."""

    exit_code: ClassVar[int] = 2


class CameraError(ToonvidError):
    """A camera cannot be opened or read."""


class TrainingError(ToonvidError):
    """Training, exporting or evaluating cannot continue."""

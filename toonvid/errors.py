"""The errors that toonvid raises deliberately, as one tree.

Each message is one line that says what happened, to which file, and what to do. Passwords of
addresses are left out of all messages here, when an error is made.

    Exception
    └── ToonvidError                    exit code 1
        ├── SourceError                 a source cannot be opened or read
        ├── EngineError                 an engine or its card is missing, damaged or not trusted
        ├── BackendError                a backend cannot run the engine
        │   ├── DeviceMissingError      exit code 3: the requested device is missing
        │   └── UnsupportedEngineError  exit code 3: the requested backend rejects the engine
        ├── TargetError                 a target cannot be written
        │   └── JobMismatchError        exit code 2: unfinished work was begun with other options
        ├── ClusterError                exit code 3: no cluster, or none of its nodes can take part
        ├── ControlError                exit code 2: a control that the style lacks, or its range
        ├── CameraError                 a camera cannot be opened or read
        └── TrainingError               training, exporting or evaluating cannot continue

Only `toonvid.cli` catches them; it prints a red line and exits with the error's code.
"""

from __future__ import annotations

import re
from typing import ClassVar

# User name and password of an address. A password may hold "@" and "/", which FFmpeg wants as %40
# and %2F, so everything up to the last "@" is left out wherever a user name or a password can begin
# before it. One with spaces ends at the last "@" of the line, unless it may be a port.
_USER_INFO = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]*:/{2,})"
    r"(?:[^/?#@\s]*:\S*@|[^/?#@\s]*:(?!\d{1,5}(?:[/?#\s]|$)).*@|[^/?#@\s]*@)"
)
# A user name with "/" in it and no password looks like a host and a path. It ends at an "@" that is
# followed by what may be a host: not in "/@somebody/film.mp4", and not in "/photo@2x.png".
_SLASHED_USER = re.compile(
    r"(?i)\b([a-z][a-z0-9+.-]*:/{2,})[^?#\s]*[^/?#@\s]@(?=[a-z]|\d+(?:\.\d+){3}|\[)"
)
_ADDRESS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*:/{2,}\S+")
# Values of a query or a fragment, and what stands there without a name: any of them may be a
# password or a token.
_QUERY_VALUE = re.compile(
    r"""([?&;#](?:[^=&;#\s]*=|(?=[^=&;#\s:,.)'"])))[^&;#\s]*?(?=[:,.)'"]*(?:[&;#\s]|$))"""
)


def without_secrets(text: str) -> str:
    """Return a text whose addresses have no user name and password, and no values in a query.

    Every error goes through it, and so does all that is printed or stored with an address in it.

    Args:
        text: Any text, with any number of addresses in it.
    """
    shown = _SLASHED_USER.sub(r"\1", _USER_INFO.sub(r"\1", text))
    return _ADDRESS.sub(lambda found: _QUERY_VALUE.sub(r"\1***", found[0]), shown)


class ToonvidError(Exception):
    """Base class of all errors that toonvid raises deliberately."""

    exit_code: ClassVar[int] = 1
    """Exit code of the process when this error reaches the command line."""

    def __init__(self, message: str = "") -> None:
        """Store the message, without passwords of addresses in it."""
        super().__init__(without_secrets(message))


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


class ClusterError(ToonvidError):
    """There is no cluster, or none of its nodes can make what is asked for."""

    exit_code: ClassVar[int] = 3


class CameraError(ToonvidError):
    """A camera cannot be opened or read."""


class TrainingError(ToonvidError):
    """Training, exporting or evaluating cannot continue."""

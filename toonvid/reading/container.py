"""Source: the container that a film is read from, opened so that it can do no harm.

A file opens nothing but itself; an address leads to other addresses, never to this machine's files.
What is in the container is `toonvid.reading.probe`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError

from toonvid.errors import SourceError
from toonvid.reading.image_size import claimed_size
from toonvid.reading.stall_guard import (
    BUFFER_BYTES,
    StallGuardedFile,
    may_stall,
    patiently,
    silence,
)
from toonvid.video import PIPE

# Formats that name other files or addresses to be opened. In a file they are refused; where the
# user typed an address, a playlist there may lead on, but never to this machine's files.
_PLAYLISTS = {
    *("hls", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp", "sap", "vobsub"),
    *("lavfi", "ipmovie"),
}
_REMOTE_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtmps,rtmpt,srt,crypto,data"


class Source:
    """An open source. Whoever opens it closes it."""

    container: InputContainer

    def __init__(
        self,
        name: str,
        max_pixels: int,
        stall_seconds: float,
        opener: Callable[[], InputContainer] | None = None,
        hardware: HWAccel | None = None,
    ) -> None:
        """Open a source.

        Args:
            name: A path, anything else that FFmpeg opens, or `-` for standard input.
            max_pixels: FFmpeg decodes no larger frames while it looks what is there.
            stall_seconds: How long it may stay silent; 0: as long as it likes.
            opener: Opens it in another way.
            hardware: What decodes; None for software.

        Raises:
            SourceError: It is not there, says nothing, or is no film or picture.
        """
        self.name = name
        self._max_pixels, self._stall_seconds = max_pixels, stall_seconds
        self._hardware = hardware
        self._file: StallGuardedFile | None = None
        try:
            self.container = opener() if opener else self._opened()
        except (FFmpegError, OSError, ValueError) as error:
            self.close()
            self.raise_ended()
            raise self._failure(error) from error

    @property
    def trouble(self) -> str | None:
        """Why there is no more of it than was read; None while nothing is amiss."""
        return None if self._file is None else self._file.trouble

    def unreadable(self) -> SourceError:
        """The error where nothing in it can be decoded."""
        if self.trouble is not None:
            return SourceError(f"{self.name} cannot be read: {self.trouble}")
        return self._too_large() or SourceError(f"{self.name}: no picture in it can be read")

    def interrupt(self) -> None:
        """Wait no longer for what may be silent: it ends. On any thread."""
        if self._file is not None:
            self._file.interrupt()

    def raise_ended(self) -> None:
        """Raise what a signal raised while this was waited for."""
        if self._file is not None:
            self._file.raise_ended()

    def close(self) -> None:
        """Let go of it."""
        if hasattr(self, "container"):
            self.container.close()
        if self._file is not None:
            self._file.close()

    def _opened(self) -> InputContainer:
        # So that no character in a name is taken for a protocol, or for a numbered series.
        limits = {"pattern_type": "none", "format_whitelist": _formats()}
        limits["protocol_whitelist"] = "file"
        file: str | StallGuardedFile = f"file:{self.name}"
        timeout = None
        if "://" in self.name:
            file, timeout = self.name, self._stall_seconds or None
            limits = {"protocol_whitelist": remote_protocols(self.name)}
        elif (patient := self._patient_file()) is not None:
            self._file = file = patient
        return av.open(
            file,
            "r",
            options={"max_pixels": str(self._max_pixels)},
            container_options=limits,
            metadata_errors="replace",
            timeout=timeout,
            buffer_size=BUFFER_BYTES,
            hwaccel=self._hardware,
        )

    def _patient_file(self) -> StallGuardedFile | None:
        """What reads a pipe or a far file; None for a file at hand, which FFmpeg reads itself."""
        if self.name == PIPE or patiently(self._may_stall, self._stall_seconds):
            return StallGuardedFile(self.name, self._stall_seconds)
        return None

    def _may_stall(self) -> bool:
        path = Path(self.name)
        if not path.exists():
            raise SourceError(f"{self.name}: no such file")
        if path.is_dir():
            raise SourceError(f"{self.name} is a folder, not a film")
        return may_stall(path)

    def _failure(self, error: FFmpegError | OSError | ValueError) -> SourceError:
        if isinstance(error, PermissionError):
            return SourceError(f"{self.name}: no permission to read it")
        if isinstance(error, ExitError):
            return SourceError(f"{self.name} cannot be read: {silence(self._stall_seconds)}")
        if isinstance(error, TimeoutError) or self.trouble is not None:
            return SourceError(f"{self.name} cannot be read: {self.trouble or error}")
        return self._too_large() or SourceError(
            f"{self.name} is not a film or picture that can be read"
        )

    def _too_large(self) -> SourceError | None:
        """The error where it is a picture that claims more pixels than are allowed."""
        is_at_hand = "://" not in self.name and self.name != PIPE and self._file is None
        size = claimed_size(Path(self.name)) if is_at_hand else None
        if size is None or size[0] * size[1] <= self._max_pixels:
            return None
        return too_large(self.name, *size, self._max_pixels)


def too_large(name: str, width: int, height: int, max_pixels: int) -> SourceError:
    """The error for frames that are not to be decoded."""
    return SourceError(
        f"{name} has frames of {width} x {height}, more than {max_pixels} pixels;"
        " --max-pixels allows them"
    )


def remote_protocols(source: str) -> str:
    """FFmpeg's names of what an address may lead to: never a file, unless it names one itself."""
    return f"{_REMOTE_PROTOCOLS},{source.split('://')[0]}"


def _formats() -> str:
    """FFmpeg's names of the formats that open nothing but themselves."""
    return ",".join(sorted(av.formats_available - _PLAYLISTS))

"""Opening: a source's container, opened so that it cannot open anything it should not.

In: the name of a source. Out: `SourceContainer`. A file cannot open other files; an address can
lead to other addresses, but never to files of this machine. The streams in the container are
examined by `toonvid.reading.probe`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError

from toonvid.errors import SourceError
from toonvid.ffmpeg.limits import local_limits
from toonvid.reading.image_size import claimed_size
from toonvid.reading.stall_guard import (
    BUFFER_BYTES,
    StallGuardedFile,
    may_stall,
    run_with_timeout,
    timeout_message,
)
from toonvid.video import PIPE

# How far FFmpeg reads, where it has not found the format of the audio in the first 5 seconds. It
# keeps in memory what it has read.
_LONG_PROBE = {"analyzeduration": str(600 * av.time_base), "probesize": str(2**27)}
_REMOTE_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtmps,rtmpt,srt,crypto,data"


class SourceContainer:
    """An open source. The caller closes it."""

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
            max_pixels: Largest frame that FFmpeg decodes while it examines the streams.
            stall_seconds: Seconds to wait for data; 0 waits without limit.
            opener: Opens the container in another way; None to open `name`.
            hardware: Hardware decoder; None for software.

        Raises:
            SourceError: The source does not exist, sends no data, or is not a video or image.
        """
        self.name = name
        """Name of the source in all messages: the one that the user gave."""
        self._max_pixels, self._stall_seconds = max_pixels, stall_seconds
        self._hardware = hardware
        self._file: StallGuardedFile | None = None
        self._is_left_to_reader = False
        try:
            self.container = opener() if opener else self._open_container()
        except (FFmpegError, OSError, ValueError) as error:
            self.close()
            self.raise_pending()
            raise self._open_error(error) from error

    @property
    def trouble(self) -> str | None:
        """Why reading ended early, for messages; None when it did not."""
        return None if self._file is None else self._file.trouble

    def decode_error(self) -> SourceError:
        """Return the error for a source of which no frame can be decoded."""
        if self.trouble is not None:
            return SourceError(f"{self.name} cannot be read: {self.trouble}")
        return self._image_too_large_error() or SourceError(
            f"{self.name}: no frame of it can be decoded"
        )

    def interrupt(self) -> bool:
        """End a blocking read; the source then looks as if it had ended. On any thread.

        Returns:
            Whether it can be ended; FFmpeg's reads from addresses cannot.
        """
        if self._file is not None:
            self._file.interrupt()
        self._is_left_to_reader = "://" in self.name
        return not self._is_left_to_reader

    def raise_pending(self) -> None:
        """Raise the exception, from a signal, that interrupted a read and that PyAV has dropped."""
        if self._file is not None:
            self._file.raise_pending()

    def close(self) -> None:
        """Close the container and the file.

        After `interrupt`, a thread may still read from an address: FFmpeg then closes the container
        when nobody refers to it any more.
        """
        if hasattr(self, "container") and not self._is_left_to_reader:
            self.container.close()
        if self._file is not None:
            self._file.close()

    def _open_container(self) -> InputContainer:
        limits = local_limits()
        file: str | StallGuardedFile = f"file:{self.name}"
        timeout = None  # only for addresses; files and pipes have the stall guard
        if "://" in self.name:
            file, timeout = self.name, self._stall_seconds or None
            limits = {"protocol_whitelist": remote_protocols(self.name)}
        elif (guarded := self._guarded_file()) is not None:
            self._file = file = guarded
        container = self._open(file, limits, timeout)
        if isinstance(file, str) and timeout is None and _lacks_audio_format(container):
            container.close()
            container = self._open(file, limits | _LONG_PROBE, timeout)
        return container

    def _open(
        self, file: str | StallGuardedFile, limits: dict[str, str], timeout: float | None
    ) -> InputContainer:
        return av.open(
            file,
            "r",
            options={"max_pixels": str(self._max_pixels)},
            container_options=limits,
            metadata_errors="replace",  # old files have tags in other encodings than UTF-8
            timeout=timeout,
            buffer_size=BUFFER_BYTES,
            hwaccel=self._hardware,
        )

    def _guarded_file(self) -> StallGuardedFile | None:
        """Open a pipe or network file; None for a local file, which FFmpeg reads itself."""
        if self.name == PIPE or run_with_timeout(self._may_stall, self._stall_seconds):
            return StallGuardedFile(self.name, self._stall_seconds)
        return None

    def _may_stall(self) -> bool:
        path = Path(self.name)
        if not path.exists():
            raise SourceError(f"{self.name}: no such file")
        if path.is_dir():
            raise SourceError(f"{self.name} is a folder, not a video")
        return may_stall(path)

    def _open_error(self, error: FFmpegError | OSError | ValueError) -> SourceError:
        if isinstance(error, PermissionError):
            return SourceError(f"{self.name}: no permission to read it")
        if isinstance(error, ExitError):
            return SourceError(
                f"{self.name} cannot be read: {timeout_message(self._stall_seconds)}"
            )
        if isinstance(error, TimeoutError) or self.trouble is not None:
            return SourceError(f"{self.name} cannot be read: {self.trouble or error}")
        return self._image_too_large_error() or SourceError(
            f"{self.name} is not a readable video or image"
        )

    def _image_too_large_error(self) -> SourceError | None:
        """Return the error for an image above the pixel limit; None when it is not one."""
        is_local = "://" not in self.name and self.name != PIPE and self._file is None
        size = claimed_size(Path(self.name)) if is_local else None
        if size is None or size[0] * size[1] <= self._max_pixels:
            return None
        return frame_too_large_error(self.name, *size, self._max_pixels)


def _lacks_audio_format(container: InputContainer) -> bool:
    """Whether FFmpeg has met an audio stream, but none of its packets yet."""
    return any(s.codec_context and not s.codec_context.sample_rate for s in container.streams.audio)


def frame_too_large_error(name: str, width: int, height: int, max_pixels: int) -> SourceError:
    """Return the error for frames above the pixel limit."""
    return SourceError(
        f"{name} has frames of {width} x {height}, more than {max_pixels} pixels;"
        " --max-pixels allows them"
    )


def remote_protocols(source: str) -> str:
    """Return the protocols that an address may lead to; `file` only for `file://` addresses."""
    return f"{_REMOTE_PROTOCOLS},{source.split('://')[0]}"

"""Streams: films, network cameras, the screen and FFmpeg's own test pictures, as feeds of a camera.

Cameras that are plugged in are read by `toonvid.live.webcam`, the screen is filmed by `toonvid.live.screen_capture`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import FFmpegError

from toonvid.errors import CameraError
from toonvid.live.feed import CameraOptions, Feed
from toonvid.live.screen_capture import open_screen
from toonvid.reading.container import remote_protocols
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions

SCREEN = "screen"
LAVFI = "lavfi:"

# To open a source, and for each read of it: a camera that hangs must not hang us.
_TIMEOUT_SECONDS = (10.0, 5.0)
_NETWORK_OPTIONS = {
    "fflags": "nobuffer",
    "analyzeduration": "1000000",  # microseconds; FFmpeg would look for five seconds
    "rtsp_transport": "tcp",  # UDP loses packets on any busy network, and the picture with them
}
_CLOCKLESS = {"mpjpeg", "mjpeg"}  # containers that hold pictures and no times
_USER = re.compile(r"//[^/@]*@")


@contextmanager
def open_stream(source: str, options: CameraOptions | None = None) -> Iterator[Feed]:
    """Open a source with FFmpeg.

    Args:
        source: A file, a URL, `screen`, `lavfi:` and a graph of filters, or `-`.
        options: Size and rate are asked of the screen alone.

    Raises:
        CameraError, SourceError: It cannot be opened, or has no pictures.
    """
    options = options or CameraOptions()
    is_remote, is_drawn = "://" in source, source.startswith(LAVFI)
    own = source == SCREEN or is_drawn or is_remote
    with ExitStack() as stack:

        def opener() -> InputContainer:
            if source == SCREEN:
                return stack.enter_context(open_screen(options.frame_rate))
            if is_drawn:
                return _opened(source.removeprefix(LAVFI), "lavfi", {}, source)
            limits = {"protocol_whitelist": remote_protocols(source)}
            return _opened(source, None, _NETWORK_OPTIONS | limits, shown_name(source))

        # A pipe may be silent as long as it likes: whoever looks at it ends it.
        decoding = DecodeOptions(low_delay=own, stall_seconds=0, decode="software")
        decoder = stack.enter_context(
            VideoDecoder(source, decoding, with_auxiliary=True, opener=opener if own else None)
        )
        info = decoder.info
        if info.is_image and not is_remote:
            raise CameraError(f"{source} is a picture, not a camera: toonvid convert takes it")
        yield Feed(
            frames=decoder.frames(),
            frame_rate=info.frame_rate,
            is_film=not own or is_drawn or (is_remote and info.duration_seconds is not None),
            has_clock=info.container not in _CLOCKLESS,
            auxiliary=decoder.auxiliary,
        )


def shown_name(source: str) -> str:
    """A source without the user's name and password, for messages."""
    return _USER.sub("//", source, count=1) if "://" in source else source


def _opened(
    url: str, container_format: str | None, options: dict[str, str], name: str
) -> InputContainer:
    try:
        return av.open(
            url,
            "r",
            format=container_format,
            container_options=options,
            metadata_errors="replace",
            timeout=_TIMEOUT_SECONDS,
        )
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if reason.startswith("Immediate exit"):
            reason = f"no answer within {_TIMEOUT_SECONDS[0]:.0f} s"
        where = urlsplit(url).hostname if "://" in url else None
        ask = f": is {where} on, and is the address right?" if where else ""
        raise CameraError(f"cannot open {name} ({reason}){ask}") from error

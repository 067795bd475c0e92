"""Opens what FFmpeg reads as a feed: files, network cameras, the screen and test patterns.

In: the name of a source. Out: a `Feed` of decoded frames with the source's audio. Webcams are
opened by `toonvid.live.webcam`; the screen is captured by `toonvid.live.screen_capture`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError

from toonvid.errors import CameraError, without_secrets
from toonvid.live.feed import CameraOptions, Feed
from toonvid.live.screen_capture import open_screen_capture
from toonvid.reading.container import remote_protocols
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.resize import resize
from toonvid.video import Frame, square_pixel_size

SCREEN = "screen"
"""Source name of the screen."""
LAVFI = "lavfi:"
"""Prefix of source names that are a graph of FFmpeg's filters, a test pattern for example."""

# To open a source, and for each read from it: a camera that hangs must not hang toonvid.
_TIMEOUT_SECONDS = (10.0, 5.0)
_NETWORK_OPTIONS = {
    "fflags": "nobuffer",  # frames that FFmpeg read while probing would be shown late
    "analyzeduration": "1000000",  # microseconds; FFmpeg's default is five seconds
    "rtsp_transport": "tcp",  # over UDP a busy network loses packets, which damages frames
}
# All but that of a single JPEG image: FFmpeg takes a camera that sends nothing else for one.
_FORMATS = ",".join(sorted(av.formats_available - {"jpeg_pipe"}))
_CONTAINERS_WITHOUT_TIMES = {"mpjpeg", "mjpeg"}  # their pts are made up from a nominal rate


@contextmanager
def open_ffmpeg_feed(source: str, options: CameraOptions | None = None) -> Iterator[Feed]:
    """Open a source with FFmpeg.

    Args:
        source: A file, a URL, `screen`, `lavfi:` and a filter graph, or `-` for standard input.
        options: Only the screen uses them, and only the frame rate. None asks for nothing.

    Raises:
        CameraError: The source cannot be opened, or is a still image.
        SourceError: The source is a file that cannot be read, or has no video.
    """
    options = options or CameraOptions()
    is_remote, is_filter_graph = "://" in source, source.startswith(LAVFI)
    needs_opener = source == SCREEN or is_filter_graph or is_remote
    with ExitStack() as stack:

        def open_container() -> InputContainer:
            if source == SCREEN:
                return stack.enter_context(open_screen_capture(options.frame_rate))
            if is_filter_graph:
                return _open(source.removeprefix(LAVFI), "lavfi", {}, source)
            # A playlist on a server must not lead to files of this machine.
            limits = {"protocol_whitelist": remote_protocols(source), "format_whitelist": _FORMATS}
            return _open_address(source, _NETWORK_OPTIONS | limits)

        # stall_seconds=0: a pipe may be silent for as long as it likes; the user ends it.
        # decode="software": a hardware decoder adds frames of delay.
        decoding = DecodeOptions(low_delay=needs_opener, stall_seconds=0, decode="software")
        decoder = stack.enter_context(
            VideoDecoder(
                source,
                decoding,
                with_auxiliary=True,
                opener=open_container if needs_opener else None,
            )
        )
        info = decoder.info
        # A network camera may send JPEG, which FFmpeg takes for a still image.
        if info.is_image and not is_remote:
            raise CameraError(f"{source} is an image, not a camera: toonvid convert takes it")
        has_end = is_remote and info.duration_seconds is not None
        frames = decoder.frames()
        if info.sample_aspect_ratio != 1:
            frames = (_with_square_pixels(each, info.sample_aspect_ratio) for each in frames)
        yield Feed(
            frames=frames,
            frame_rate=info.frame_rate,
            needs_pacing=not needs_opener or is_filter_graph or has_end,
            has_clock=info.container not in _CONTAINERS_WITHOUT_TIMES,
            auxiliary=decoder.auxiliary,
        )


def _with_square_pixels(frame: Frame, aspect: Fraction) -> Frame:
    """Enlarge a frame so that its pixels are square, as windows and pages show them.

    Args:
        frame: Frame with other pixels.
        aspect: Width of a pixel over its height, when shown.
    """
    height, width = frame.pixels.shape[:2]
    square = resize(frame.pixels, *square_pixel_size(width, height, aspect))
    return replace(frame, pixels=square, alpha=None)


def _open_address(url: str, options: dict[str, str]) -> InputContainer:
    """Open an address; one of HTTP that is no container is read as a row of JPEG images.

    Cameras exist that send the boundary of their multipart only between images, or none at all.
    """
    name = without_secrets(url)
    try:
        return _open(url, None, options, name)
    except CameraError as error:
        is_http = urlsplit(url).scheme in ("http", "https")
        if not is_http or not isinstance(error.__cause__, InvalidDataError):
            raise
        try:
            return _open(url, "mjpeg", options, name)
        except CameraError:
            raise error from error.__cause__


def _open(
    url: str, container_format: str | None, options: dict[str, str], name: str
) -> InputContainer:
    """Open a container with the time limits.

    Raises:
        CameraError: It cannot be opened; the message calls it `name`.
    """
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
        # "Immediate exit requested" is what FFmpeg says when PyAV's timeout interrupts it.
        if reason.startswith("Immediate exit"):
            reason = f"no answer within {_TIMEOUT_SECONDS[0]:.0f} s"
        host = urlsplit(url).hostname if "://" in url else None
        advice = f": is {host} on, and is the address right?" if host else ""
        raise CameraError(f"cannot open {name} ({reason}){advice}") from error

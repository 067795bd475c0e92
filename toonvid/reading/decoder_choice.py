"""Decoder choice: software or NVDEC for one source, and which of them decoded in the end.

In: the source and what the user requested. Out: a hardware accelerator for PyAV or None, and
notices for the user. Which decoders work on this machine is found by `toonvid.ffmpeg.hardware`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import av
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import DeviceMissingError
from toonvid.ffmpeg.hardware import (
    ActiveDecoder,
    choose_decoding,
    fits_nvdec,
    is_decoded_by_gpu,
    nvdec_accelerator,
)
from toonvid.reading.container import SourceContainer
from toonvid.reading.options import DecodeOptions
from toonvid.reading.probe import find_video_stream, is_image
from toonvid.video import PIPE

# Codec that stores opacity beside its packets -> FFmpeg's name of the decoder that reads it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def choose_accelerator(
    name: str, options: DecodeOptions, open_in_software: Callable[[], SourceContainer]
) -> tuple[HWAccel | None, str | None]:
    """Choose the hardware accelerator with which a source is opened.

    Args:
        name: The source as the user named it.
        options: The requested decoder and part.
        open_in_software: Opens the source to examine it; called only where that is needed.

    Returns:
        The accelerator, None for software; and a notice about a video that `auto` leaves to
        software, else None.

    Raises:
        DeviceMissingError: NVDEC was requested and cannot be used.
        SourceError: The source cannot be read.
    """
    requested = options.decode
    # NVDEC delays frames and is slow to start, and a pipe cannot be examined first.
    is_unsuitable = options.low_delay or options.key_frames_only or name == PIPE
    if requested == "auto" and is_unsuitable:
        requested = "software"
    if choose_decoding(requested).name == "software":
        return None, None
    if requested == "nvdec":
        return nvdec_accelerator(), None
    with closing(open_in_software()) as source:
        fits, notice = _fits_nvdec(source)
    return nvdec_accelerator() if fits else None, notice


def identify_decoder(
    video: VideoStream, first: VideoFrame, name: str, options: DecodeOptions
) -> tuple[ActiveDecoder, str | None]:
    """Find out what has decoded a frame: FFmpeg falls back to software without an error.

    Args:
        video: The stream, opened with the result of `choose_accelerator`.
        first: Its first frame, decoded.
        name: Name of the source in messages.
        options: The requested decoder.

    Returns:
        The decoder, and a notice when NVDEC was tried and software decodes, else None.

    Raises:
        DeviceMissingError: NVDEC was requested and has not decoded the frame.
    """
    decoded_by: ActiveDecoder = "nvdec" if is_decoded_by_gpu(first) else "software"
    is_requested = options.decode == "nvdec"
    is_tried = is_requested or video.codec_context.is_hwaccel
    if decoded_by == "nvdec" or not is_tried:
        return decoded_by, None
    codec = video.codec_context.codec.canonical_name
    reason = f"NVDEC does not decode {name} ({codec}, {first.format.name})"
    if is_requested:
        raise DeviceMissingError(f"{reason}: --decode auto takes software")
    return decoded_by, f"{reason}: software does"


def decoding_context(video: VideoStream) -> VideoCodecContext:
    """Return the context that decodes a stream: its own, or one that decodes its opacity too.

    VP8 and VP9 store the opacity as a second picture beside each packet. FFmpeg's own decoders,
    which streams get, leave it out; libvpx's decode it.
    """
    own = video.codec_context
    name = _ALPHA_DECODERS.get(own.codec.canonical_name)
    if name is None or video.metadata.get("alpha_mode") != "1":
        return own
    try:
        context = av.CodecContext.create(name, "r")
    except UnknownCodecError:
        return own
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = own.width, own.height
    return context


def _fits_nvdec(source: SourceContainer) -> tuple[bool, str | None]:
    """Decide whether `auto` uses NVDEC for a source; the notice says why not, for videos."""
    if is_image(source.container):
        return False, None
    video = find_video_stream(source)
    if decoding_context(video) is not video.codec_context:
        return False, None  # the GPU does not decode opacity
    if fits_nvdec(video):
        return True, None
    codec = video.codec_context.codec.canonical_name
    return False, f"software decodes it: NVDEC is not used for this kind of {codec}"

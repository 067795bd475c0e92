"""Which decoder a source gets; which of them work in this machine is `toonvid.ffmpeg.hardware`'s."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import DeviceMissingError
from toonvid.ffmpeg.hardware import (
    ActiveDecoder,
    accelerator,
    choose_decoding,
    fits_nvdec,
    is_from_card,
)
from toonvid.reading.container import Source
from toonvid.reading.options import DecodeOptions
from toonvid.reading.probe import find_film, is_image
from toonvid.video import PIPE


def choose_hardware(
    source: str, options: DecodeOptions, open_in_software: Callable[[], Source]
) -> tuple[HWAccel | None, str | None]:
    """What a source is opened with so that a card decodes it, and a notice.

    Args:
        source: As the user named it.
        options: What was asked for.
        open_in_software: Opens the source, to be looked into where that is needed.

    Returns:
        None for software; the notice is of a film that `auto` leaves to software, else None.

    Raises:
        DeviceMissingError: NVDEC was asked for and cannot be used.
        SourceError: There is nothing in the source that can be read.
    """
    asked = options.decode
    # Cards hold frames back and are slow to begin, and a pipe cannot be looked into first.
    is_unfit = options.low_delay or options.key_frames_only or source == PIPE
    if asked == "auto" and is_unfit:
        asked = "software"
    if choose_decoding(asked).name == "software":
        return None, None
    if asked == "nvdec":
        return accelerator(), None
    with closing(open_in_software()) as opened:
        fits, notice = _fits_nvdec(opened.container, source)
    return accelerator() if fits else None, notice


def tell_decoder(
    film: VideoStream, first: VideoFrame, source: str, options: DecodeOptions
) -> tuple[ActiveDecoder, str | None]:
    """What has decoded a film, and a notice: where a card cannot, FFmpeg goes on in silence.

    Args:
        film: Opened with what `choose_hardware` gave.
        first: Its first frame, decoded.
        source: What to call the source in a message.
        options: What was asked for.

    Raises:
        DeviceMissingError: NVDEC was asked for, and has not decoded it.
    """
    decoded_by: ActiveDecoder = "nvdec" if is_from_card(first) else "software"
    is_asked = options.decode == "nvdec"
    is_tried = is_asked or film.codec_context.is_hwaccel
    if decoded_by == "nvdec" or not is_tried:
        return decoded_by, None
    name = film.codec_context.codec.canonical_name
    words = f"NVDEC does not decode {source} ({name}, {first.format.name})"
    if is_asked:
        raise DeviceMissingError(f"{words}: --decode auto takes software")
    return decoded_by, f"{words}: software does"


def _fits_nvdec(container: InputContainer, source: str) -> tuple[bool, str | None]:
    """Whether `auto` takes NVDEC for this source, and a notice of a film for which it does not."""
    if is_image(container):
        return False, None
    film = find_film(container, source)
    if fits_nvdec(film):
        return True, None
    name = film.codec_context.codec.canonical_name
    return False, f"software decodes it: NVDEC is not taken for this kind of {name}"

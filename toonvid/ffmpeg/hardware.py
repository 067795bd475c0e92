"""Hardware coders: which of FFmpeg's work in this machine, found out by trying them.

A frame that a card decodes comes down to main memory as any other does, and one that it encodes
goes up from there. How films are read and written is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO
from typing import Literal, TypeAlias

import av
from av.codec.codec import Capabilities
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.choices import DecoderName
from toonvid.errors import DeviceMissingError
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
"""FFmpeg's names of the encoders of NVIDIA's cards."""

# Their standards fix every bit of a decoded frame: NVDEC gives what software gives.
_EXACT_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_DECODED_FORMATS = {"yuv420p", "yuvj420p", "yuv420p10le"}
_CARD_FORMATS = {"nv12", "p010le", "p016le"}  # decoders in software give none of these
_TRIED_SIDE = 256  # pixels of a tried frame: coders in hardware refuse much smaller ones
_TRIED_RATE = Fraction(25)
_TRIED_LEVEL, _LEVELS_APART = 128, 2


ActiveDecoder: TypeAlias = Literal["software", "nvdec"]


@dataclass(frozen=True)
class Decoding:
    """What decodes, and why."""

    name: ActiveDecoder
    reason: str = ""
    """For a user; empty where there was nothing to choose."""


def choose_decoding(asked: DecoderName, nvidia: NvidiaInfo | None = None) -> Decoding:
    """Find out what decodes films in this machine.

    Args:
        asked: `auto` takes NVDEC where there is a card and it works.
        nvidia: None to look for cards.

    Raises:
        DeviceMissingError: NVDEC was asked for and cannot be used.
    """
    if asked == "software":
        return Decoding("software")
    nvidia = nvidia or find_nvidia()
    problem = nvdec_problem() if nvidia.gpus else nvidia.problem
    if not problem:
        return Decoding("nvdec", f"{nvidia.gpus[0].name} decodes")
    if asked == "nvdec":
        raise DeviceMissingError(f"NVDEC cannot be used: {problem}")
    if not nvidia.gpus:  # a machine without a card owes nobody a reason
        return Decoding("software")
    return Decoding("software", f"NVDEC of {nvidia.gpus[0].name} does not work: {problem}")


def accelerator() -> HWAccel:
    """What PyAV opens a source with so that NVDEC decodes it; software does what it cannot."""
    return HWAccel("cuda")


def fits_nvdec(film: VideoStream) -> bool:
    """Whether a film is such that NVDEC gives the same frames as software, to the bit."""
    context = film.codec_context
    pix_fmt = context.format.name if context.format else None
    return context.codec.canonical_name in _EXACT_CODECS and pix_fmt in _DECODED_FORMATS


def is_from_card(frame: VideoFrame) -> bool:
    """Whether a card decoded a frame, of which FFmpeg says nothing but by its pixel format."""
    return frame.format.name in _CARD_FORMATS


def is_tried_picture(frame: VideoFrame) -> bool:
    """Whether a frame is the grey picture with which coders are tried."""
    row = bytes(frame.planes[0])[: frame.width]
    return all(abs(level - _TRIED_LEVEL) <= _LEVELS_APART for level in row)


@cache
def nvdec_problem() -> str:
    """Why NVDEC does not decode a tiny film; empty when it does."""
    film = _tiny_film()
    with _heard() as complaints:
        try:
            strict = HWAccel("cuda", allow_software_fallback=False)
            with av.open(film, "r", hwaccel=strict) as container:
                frame = next(container.decode(video=0))
        except (FFmpegError, RuntimeError, NotImplementedError, StopIteration) as error:
            return _reason(error, complaints)
    if not is_from_card(frame):
        return "it leaves the work to software"
    return "" if is_tried_picture(frame) else "it gives another picture than was coded"


def is_hardware_encoder(name: str) -> bool:
    """Whether an encoder of FFmpeg's is one of a card or a chip.

    Raises:
        UnknownCodecError: There is no encoder of this name.
    """
    kinds = Capabilities.hardware | Capabilities.hybrid
    return bool(av.Codec(name, "w").capabilities & kinds)


def encoding_gpu() -> str:
    """What an encoder's bytes depend on beside its options: the card and its driver."""
    nvidia = find_nvidia()
    names = [card.name for card in nvidia.gpus[:1]] or ["none"]
    return f"{names[0]}, driver {nvidia.driver or 'for CUDA ' + nvidia.cuda}"


@cache
def encoder_problem(name: str) -> str:
    """Why an encoder in hardware does not encode a tiny picture; empty when it does."""
    if name in NVENC and not (nvidia := find_nvidia()).gpus:
        return nvidia.problem
    with _heard() as complaints:
        try:
            context = _tiny_encoder(name)
            packets = [*context.encode(_tiny_picture(context.pix_fmt)), *context.encode(None)]
        except (FFmpegError, ValueError) as error:
            return _reason(error, complaints)
    return "" if packets else "it gives nothing back"


def _tiny_film() -> BytesIO:
    """One picture in H.264, which every card with NVDEC decodes."""
    file = BytesIO()
    with av.open(file, "w", format="matroska") as target:
        stream = target.add_stream("libx264", rate=_TRIED_RATE)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = _TRIED_SIDE
        stream.pix_fmt = "yuv420p"
        target.mux([*stream.encode(_tiny_picture("yuv420p")), *stream.encode(None)])
    file.seek(0)
    return file


def _tiny_encoder(name: str) -> VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    known = [found.name for found in context.codec.video_formats or ()]
    context.pix_fmt = "yuv420p" if "yuv420p" in known or not known else known[0]
    context.width = context.height = _TRIED_SIDE
    context.time_base = 1 / _TRIED_RATE
    context.open()
    return context


def _tiny_picture(pix_fmt: str | None) -> VideoFrame:
    picture = VideoFrame(_TRIED_SIDE, _TRIED_SIDE, pix_fmt or "yuv420p")
    for plane in picture.planes:
        plane.update(bytes([_TRIED_LEVEL]) * plane.buffer_size)
    picture.pts, picture.time_base = 0, 1 / _TRIED_RATE
    return picture


@contextmanager
def _heard() -> Iterator[list[tuple[int, str, str]]]:
    """Take what FFmpeg says of errors: it knows more of them than its error codes do."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as complaints:
            yield complaints
    finally:
        av.logging.set_level(level)


def _reason(error: Exception, complaints: list[tuple[int, str, str]]) -> str:
    """The last thing that FFmpeg said of it, on one line."""
    said = [" ".join(text.split()) for _, _, text in complaints if text.strip()]
    return said[-1] if said else getattr(error, "strerror", None) or str(error)

"""Hardware decoders and encoders: which of FFmpeg's work on this machine, found by trying them.

In: a requested decoder, or the name of an encoder. Out: whether it works, and if not, why. Decoded
frames are downloaded to main memory and frames to be encoded are uploaded from there. Reading and
writing videos is done in `toonvid.reading` and `toonvid.writing`.
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
from toonvid.ffmpeg.opening import open_encoder

NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
"""FFmpeg's names of NVIDIA's encoders."""

# The standards of these codecs define decoded frames to the bit: NVDEC and software must agree.
_EXACT_CODECS = {"h264", "hevc", "vp8", "vp9", "av1"}
_NVDEC_PIX_FMTS = {"yuv420p", "yuvj420p", "yuv420p10le"}
_DOWNLOADED_PIX_FMTS = {"nv12", "p010le", "p016le"}  # software decoders give none of these
_TEST_SIDE = 256  # pixels; hardware rejects much smaller frames
_TEST_FRAME_RATE = Fraction(25)
_TEST_LEVEL = 128
_TEST_TOLERANCE = 2  # levels


ActiveDecoder: TypeAlias = Literal["software", "nvdec"]
"""A decoder that has been chosen, unlike `DecoderName`, which may be `auto`."""


@dataclass(frozen=True)
class Decoding:
    """The decoder for this machine, and the reason for it."""

    name: ActiveDecoder
    """Decoder to use."""
    reason: str = ""
    """Reason, for the user; empty where there was nothing to choose."""


def choose_decoding(requested: DecoderName, nvidia: NvidiaInfo | None = None) -> Decoding:
    """Choose the decoder for this machine.

    Args:
        requested: `auto` chooses NVDEC where there is a GPU and NVDEC works.
        nvidia: GPUs of this machine; None to look for them.

    Raises:
        DeviceMissingError: NVDEC was requested and cannot be used.
    """
    if requested == "software":
        return Decoding("software")
    nvidia = nvidia or find_nvidia()
    problem = nvdec_problem() if nvidia.gpus else nvidia.problem
    if not problem:
        return Decoding("nvdec", f"{nvidia.gpus[0].name} decodes")
    if requested == "nvdec":
        raise DeviceMissingError(f"NVDEC cannot be used: {problem}")
    if not nvidia.gpus:  # no GPU, so no fallback to explain
        return Decoding("software")
    return Decoding("software", f"NVDEC of {nvidia.gpus[0].name} does not work: {problem}")


def nvdec_accelerator() -> HWAccel:
    """Return the setting with which PyAV decodes on NVDEC, and in software where NVDEC cannot."""
    return HWAccel("cuda")


def fits_nvdec(video: VideoStream) -> bool:
    """Whether NVDEC decodes a stream to exactly the frames of software, by codec and format."""
    context = video.codec_context
    pix_fmt = context.format.name if context.format else None
    return context.codec.canonical_name in _EXACT_CODECS and pix_fmt in _NVDEC_PIX_FMTS


def is_decoded_by_gpu(frame: VideoFrame) -> bool:
    """Whether a GPU decoded a frame. FFmpeg shows it only by the pixel format."""
    return frame.format.name in _DOWNLOADED_PIX_FMTS


def is_test_frame(frame: VideoFrame) -> bool:
    """Whether a frame is the gray frame with which decoders are tried."""
    row = bytes(frame.planes[0])[: frame.width]
    return all(abs(level - _TEST_LEVEL) <= _TEST_TOLERANCE for level in row)


# Trying opens a CUDA context, which takes long, so the result is kept for the process.
@cache
def nvdec_problem() -> str:
    """Why NVDEC does not decode a test video; empty when it does. Tried once per process."""
    video = _test_video()
    with _ffmpeg_errors() as messages:
        try:
            strict = HWAccel("cuda", allow_software_fallback=False)
            with av.open(video, "r", hwaccel=strict) as container:
                frame = next(container.decode(video=0))
        except (FFmpegError, RuntimeError, NotImplementedError, StopIteration) as error:
            return _reason(error, messages)
    if not is_decoded_by_gpu(frame):
        return "it leaves the work to software"
    return "" if is_test_frame(frame) else "it gives another frame than was encoded"


def is_hardware_encoder(name: str) -> bool:
    """Whether an encoder of FFmpeg runs on a GPU or another chip.

    Raises:
        UnknownCodecError: FFmpeg has no encoder of this name.
    """
    kinds = Capabilities.hardware | Capabilities.hybrid
    return bool(av.Codec(name, "w").capabilities & kinds)


def encoding_gpu() -> str:
    """Name the GPU and its driver, on which the bytes of NVENC depend beside its options.

    The text is part of a job's identity (`toonvid.resume.fingerprint`): it must not change.
    """
    nvidia = find_nvidia()
    names = [gpu.name for gpu in nvidia.gpus[:1]] or ["none"]
    return f"{names[0]}, driver {nvidia.driver or 'for CUDA ' + nvidia.cuda}"


@cache
def encoder_problem(name: str) -> str:
    """Why a hardware encoder does not encode a test frame; empty when it does. Tried once."""
    if name in NVENC and not (nvidia := find_nvidia()).gpus:
        return nvidia.problem
    with _ffmpeg_errors() as messages:
        try:
            context = _test_encoder(name)
            packets = [*context.encode(_test_frame(context.pix_fmt)), *context.encode(None)]
        except (FFmpegError, ValueError) as error:
            return _reason(error, messages)
    return "" if packets else "it gives nothing back"


def _test_video() -> BytesIO:
    """Return one frame in H.264, which every GPU with NVDEC decodes, as a Matroska file."""
    file = BytesIO()
    with av.open(file, "w", format="matroska") as target:
        stream = target.add_stream("libx264", rate=_TEST_FRAME_RATE)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = _TEST_SIDE
        stream.pix_fmt = "yuv420p"
        target.mux([*stream.encode(_test_frame("yuv420p")), *stream.encode(None)])
    file.seek(0)
    return file


def _test_encoder(name: str) -> VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    known = [found.name for found in context.codec.video_formats or ()]
    context.pix_fmt = "yuv420p" if "yuv420p" in known or not known else known[0]
    context.width = context.height = _TEST_SIDE
    context.time_base = 1 / _TEST_FRAME_RATE
    open_encoder(context)
    return context


def _test_frame(pix_fmt: str | None) -> VideoFrame:
    frame = VideoFrame(_TEST_SIDE, _TEST_SIDE, pix_fmt or "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([_TEST_LEVEL]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, 1 / _TEST_FRAME_RATE
    return frame


@contextmanager
def _ffmpeg_errors() -> Iterator[list[tuple[int, str, str]]]:
    """Capture the error messages that FFmpeg logs: they say more than its error codes."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        av.logging.set_level(level)


def _reason(error: Exception, messages: list[tuple[int, str, str]]) -> str:
    """Return the last message of FFmpeg on one line; without one, the error itself."""
    lines = [" ".join(text.split()) for _, _, text in messages if text.strip()]
    return lines[-1] if lines else getattr(error, "strerror", None) or str(error)

"""Checks of codecs: each one is opened, and hardware encodes or decodes a small frame.

In: nothing. Out: results for software codecs, for NVDEC and NVENC, and for other hardware encoders.
"""

from __future__ import annotations

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.codec import Codec, UnknownCodecError
from av.error import FFmpegError

from toonvid.doctor.check_result import CheckResult, CheckState, Fact
from toonvid.ffmpeg.hardware import NVENC, encoder_problem, is_hardware_encoder, nvdec_problem
from toonvid.ffmpeg.nvidia import NvidiaInfo, find_nvidia

_ENCODERS = {
    "x264": "libx264",
    "x265": "libx265",
    "AV1": "libsvtav1",
    "VP9": "libvpx-vp9",
    "AAC": "aac",
    "Opus": "libopus",
}
_DECODERS = {
    "H.264": "h264",
    "HEVC": "hevc",
    "AV1": "libdav1d",
    "VP9": "vp9",
    "MPEG-4": "mpeg4",
    "AAC": "aac",
    "AC-3": "ac3",
    "Opus": "opus",
}
_HARDWARE_PREFIXES = ("h264_", "hevc_", "av1_")  # of encoders other than NVENC
_SAMPLE_RATE = 48000  # Hz


def check_software_codecs() -> list[CheckResult]:
    """Open the codecs of most video files."""
    encoders = {label: _encoder_problem(name) for label, name in _ENCODERS.items()}
    decoders = {label: _decoder_problem(name) for label, name in _DECODERS.items()}
    return [_summarize("encoders", encoders), _summarize("decoders", decoders)]


def check_nvidia_codecs(nvidia: NvidiaInfo | None = None) -> list[CheckResult]:
    """Try NVDEC and NVENC."""
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:
        message = nvidia.problem.partition(": ")[0]
        return [CheckResult("coders", name, "missing", message) for name in ("nvdec", "nvenc")]
    problem = nvdec_problem()
    state: CheckState = "broken" if problem else "ok"
    return [CheckResult("coders", "nvdec", state, problem or "decodes H.264"), _check_nvenc()]


def check_other_hardware() -> list[CheckResult]:
    """Try the hardware encoders that are not NVIDIA's, as far as this FFmpeg has them."""
    names = sorted(name for name in av.codecs_available if _is_other_hardware(name))
    working = [name for name in names if not encoder_problem(name)]
    message = ", ".join(working) or f"none of {', '.join(names) or 'this FFmpeg'} works here"
    facts: dict[str, Fact] = {"works": [*working], "tried": [*names]}
    state: CheckState = "ok" if working else "missing"
    return [CheckResult("coders", "other-hardware", state, message, facts=facts)]


def _check_nvenc() -> CheckResult:
    problems = {name: encoder_problem(name) for name in NVENC}
    working = [name for name, problem in problems.items() if not problem]
    refused = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    message = "; ".join([", ".join(working), *refused] if working else refused)
    # One encoder is enough: AV1 came with the RTX 40 series.
    state: CheckState = "ok" if working else "broken"
    return CheckResult("coders", "nvenc", state, message, facts={"works": working})


def _is_other_hardware(name: str) -> bool:
    if name in NVENC or not name.startswith(_HARDWARE_PREFIXES):
        return False
    try:
        return is_hardware_encoder(name)
    except UnknownCodecError:  # the name of a decoder
        return False


def _summarize(name: str, problems: dict[str, str]) -> CheckResult:
    """Make one result of several codecs.

    Args:
        name: Name of the check.
        problems: Label of each codec -> why it does not open; empty if it does.
    """
    working = [label for label, problem in problems.items() if not problem]
    failing = [f"{label} ({problem})" for label, problem in problems.items() if problem]
    message = ", ".join(working)
    if failing:
        message = "; ".join(filter(None, [message, f"not {', '.join(failing)}"]))
    fix = "pip install --force-reinstall av" if failing else ""
    state: CheckState = "broken" if failing else "ok"
    return CheckResult("coders", name, state, message, fix, {"works": working})


def _encoder_problem(name: str) -> str:
    try:
        if Codec(name, "w").type == "video":
            return encoder_problem(name)
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout = _SAMPLE_RATE, "stereo"
        formats = context.codec.audio_formats or []
        context.format = formats[0]
        context.open()
    except UnknownCodecError:
        return "this FFmpeg has none"
    except (FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _decoder_problem(name: str) -> str:
    try:
        av.CodecContext.create(name, "r").open()
    except UnknownCodecError:
        return "this FFmpeg has none"
    except (FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""

"""Codecs, all really opened; and the coders of cards and chips, which code a tiny picture."""

from __future__ import annotations

import os

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.codec import Codec, UnknownCodecError
from av.error import FFmpegError

from toonvid.doctor.check_result import CheckResult, State
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
_WANTED = ("h264_", "hevc_", "av1_")  # of the hardware encoders that are no NVENC
_RATE = 48000  # of sound, in Hz


def check_software_codecs() -> list[CheckResult]:
    """Open what films are mostly read and written with."""
    os.environ.setdefault("SVT_LOG", "1")
    return [
        _summed("encoders", {label: _encoder_fault(name) for label, name in _ENCODERS.items()}),
        _summed("decoders", {label: _decoder_fault(name) for label, name in _DECODERS.items()}),
    ]


def check_nvidia_codecs(nvidia: NvidiaInfo | None = None) -> list[CheckResult]:
    """Try NVDEC and NVENC."""
    nvidia = nvidia or find_nvidia()
    if not nvidia.gpus:
        words = nvidia.problem.partition(": ")[0]
        return [CheckResult("coders", name, "missing", words) for name in ("nvdec", "nvenc")]
    problem = nvdec_problem()
    state: State = "broken" if problem else "ok"
    return [CheckResult("coders", "nvdec", state, problem or "decodes H.264"), _nvenc()]


def check_other_hardware() -> list[CheckResult]:
    """Try the encoders of other makers' chips that this FFmpeg has."""
    names = sorted(name for name in av.codecs_available if _is_other(name))
    here = [name for name in names if not encoder_problem(name)]
    words = ", ".join(here) or f"none of {', '.join(names) or 'this FFmpeg'} works here"
    facts: dict[str, str | int | list[str]] = {"works": [*here], "tried": [*names]}
    state: State = "ok" if here else "missing"
    return [CheckResult("coders", "other-hardware", state, words, facts=facts)]


def _nvenc() -> CheckResult:
    problems = {name: encoder_problem(name) for name in NVENC}
    here = [name for name, problem in problems.items() if not problem]
    refused = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    words = "; ".join([", ".join(here), *refused] if here else refused)
    # A card need not have all: AV1 came with the RTX 40.
    return CheckResult("coders", "nvenc", "ok" if here else "broken", words, facts={"works": here})


def _is_other(name: str) -> bool:
    if name in NVENC or not name.startswith(_WANTED):
        return False
    try:
        return is_hardware_encoder(name)
    except UnknownCodecError:  # a decoder
        return False


def _summed(name: str, faults: dict[str, str]) -> CheckResult:
    here = [label for label, fault in faults.items() if not fault]
    amiss = [f"{label} ({fault})" for label, fault in faults.items() if fault]
    words = "; ".join(filter(None, [", ".join(here), "not " * bool(amiss) + ", ".join(amiss)]))
    mend = "pip install --force-reinstall av" if amiss else ""
    return CheckResult("coders", name, "broken" if amiss else "ok", words, mend, {"works": here})


def _encoder_fault(name: str) -> str:
    try:
        if Codec(name, "w").type == "video":
            return encoder_problem(name)
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout = _RATE, "stereo"
        formats = context.codec.audio_formats or []
        context.format = formats[0]
        context.open()
    except UnknownCodecError:
        return "this FFmpeg has none"
    except (FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _decoder_fault(name: str) -> str:
    try:
        av.CodecContext.create(name, "r").open()
    except UnknownCodecError:
        return "this FFmpeg has none"
    except (FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""

"""The whole pipeline at three sizes: decode, stylize, encode; and the null pipeline beside it.

With and without the steady stage, and with NVDEC and NVENC in place of software.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpu_check.frames import shipped, sizes
from gpu_check.report import Report, one_line
from gpu_check.rows import FAST_PRESET, STYLE, WAYS, null_row, pipeline_row
from gpu_check.steps import Settings
from toonvid.backends import Backend, open_backend
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.test_video import write_test_video
from toonvid.choices import DecoderName
from toonvid.errors import DeviceMissingError, ToonvidError
from toonvid.ffmpeg.hardware import encoder_problem, nvdec_problem
from toonvid.pipeline import ConvertOptions, convert
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

_VIDEO_SECONDS = {"720p": 6.0, "1080p": 4.0, "2160p": 2.0}
_ROUNDS = {"720p": 2, "1080p": 2, "2160p": 1}


@dataclass(frozen=True)
class Way:
    """One way to convert."""

    name: str
    decode: DecoderName = "software"
    codec: str | None = None
    preset: str | None = None
    steady: float = StylizeOptions.steady


_WAYS = [
    Way(WAYS[0]),
    Way(WAYS[1], steady=0),
    Way(WAYS[2], decode="nvdec"),
    Way(WAYS[3], decode="nvdec", steady=0),
    Way(WAYS[4], decode="nvdec", preset=FAST_PRESET, steady=0),
    Way(WAYS[5], codec="h264_nvenc"),
    Way(WAYS[6], decode="nvdec", codec="h264_nvenc"),
]


def run(settings: Settings, report: Report, variant: str) -> None:
    """Convert a test video of each size in each way, the smallest size first."""
    deadline = time.monotonic() + settings.seconds - 6
    device = "cuda" if settings.device == "cuda" else "cpu"
    name = variant if settings.device == "cuda" else "onnxruntime"
    rates: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(open_backend(shipped(STYLE), name, device, "auto"))
        except ToonvidError as error:
            reason = "skipped" if isinstance(error, DeviceMissingError) else "failed"
            for way in _WAYS:
                report.add(pipeline_row(way.name, variant), f"{reason}: {one_line(error)}")
            backend = None
        usable = [way for way in _WAYS if backend and not _report_problem(way, report, variant)]
        drawn: Path | None = None  # drawing takes longer than scaling what is drawn
        for size_name, size in sizes(settings.tiny).items():
            video, target = (settings.work / f"{size_name}-{role}.mp4" for role in ("in", "out"))
            seconds = 0.5 if settings.tiny else _VIDEO_SECONDS[size_name]
            write_test_video(video, drawn, size, seconds)
            drawn = drawn or video
            work: dict[str, Callable[[], float]] = {
                null_row(variant): lambda: run_null_pipeline(video, target).rate  # noqa: B023
            }
            for way in usable:
                work[pipeline_row(way.name, variant)] = partial(
                    _convert, video, target, backend, way
                )
            for row, measure in work.items():
                if time.monotonic() > deadline:
                    return
                _measure(report, row, size_name, measure, rates.setdefault(row, {}))


def _report_problem(way: Way, report: Report, variant: str) -> bool:
    """Write why a way cannot be taken on this machine; whether it cannot."""
    problem = _problem(way)
    if problem:
        report.add(pipeline_row(way.name, variant), f"skipped: {problem}")
    return bool(problem)


def _problem(way: Way) -> str:
    """Why a way cannot be taken on this machine; empty if it can."""
    decoding = nvdec_problem() if way.decode == "nvdec" else ""
    encoding = encoder_problem(way.codec) if way.codec else ""
    if encoding:
        encoding = f"{way.codec} does not work here: {encoding}"
    return decoding or encoding


def _measure(
    report: Report, row: str, size: str, work: Callable[[], float], rates: dict[str, float]
) -> None:
    """Add the rate at one size to a row, the best of `_ROUNDS`, and write the row again."""
    try:
        rates[size] = round(max(work() for _ in range(_ROUNDS[size])), 1)
    except ToonvidError as error:
        report.add(row, f"failed at {size}: {one_line(error)}")
        return
    text = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    values = {f"frames_per_second_{name}": rate for name, rate in rates.items()}
    report.add(row, f"frames/s: {text}", **values)


def _convert(video: Path, target: Path, backend: Backend, way: Way) -> float:
    """Convert a video; return frames per second from the first frame on."""
    options = ConvertOptions(
        decoding=DecodeOptions(decode=way.decode),
        stylizing=StylizeOptions(steady=way.steady),
        encoding=EncodeOptions(codec=way.codec, preset=way.preset, overwrite=True),
    )
    done = convert(video, target, backend, options)
    return (done.frames - 1) / (done.seconds - done.first_frame_seconds)

"""The whole pipeline at three sizes: decode, stylize, encode; and the null pipeline beside it.

With and without the steady stage, and with NVDEC and NVENC in place of software.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_check.frames import shipped, sizes
from gpu_check.report import Report, one_line
from gpu_check.rows import FAST_PRESET, NULL_PIPELINE, STYLE, WAYS, pipeline_row
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

_VIDEO_SECONDS = {"720p": 8.0, "1080p": 5.0, "2160p": 3.0}
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
    """Convert a test video of each size in each way."""
    deadline = time.monotonic() + settings.seconds - 6
    videos: dict[str, Path] = {}
    drawn: Path | None = None  # drawing takes longer than scaling what is drawn
    for name, size in sizes(settings.tiny).items():
        videos[name] = settings.work / f"pipeline-{name}.mp4"
        seconds = 0.5 if settings.tiny else _VIDEO_SECONDS[name]
        write_test_video(videos[name], drawn, size, seconds)
        drawn = drawn or videos[name]
    target = settings.work / "target.mp4"

    def run_null(video: Path) -> float:
        return run_null_pipeline(video, target).rate

    _measure(report, NULL_PIPELINE, videos, deadline, run_null)
    device = "cuda" if settings.device == "cuda" else "cpu"
    name = variant if settings.device == "cuda" else "onnxruntime"
    try:
        backend = open_backend(shipped(STYLE), name, device, "auto")
    except ToonvidError as error:
        reason = "skipped" if isinstance(error, DeviceMissingError) else "failed"
        for way in _WAYS:
            report.add(pipeline_row(way.name), f"{reason}: {one_line(error)}")
        return
    with backend:
        for way in _WAYS:
            if problem := _problem(way):
                report.add(pipeline_row(way.name), f"skipped: {problem}")
                continue
            _measure(
                report,
                pipeline_row(way.name),
                videos,
                deadline,
                lambda video, way=way: _convert(video, target, backend, way),
            )


def _problem(way: Way) -> str:
    """Why a way cannot be taken on this machine; empty if it can."""
    decoding = nvdec_problem() if way.decode == "nvdec" else ""
    encoding = encoder_problem(way.codec) if way.codec else ""
    if encoding:
        encoding = f"{way.codec} does not work here: {encoding}"
    return decoding or encoding


def _measure(
    report: Report,
    name: str,
    videos: dict[str, Path],
    deadline: float,
    work: Callable[[Path], float],
) -> None:
    """Write a row with the rates of some work on each video, the best of `_ROUNDS`."""
    rates: dict[str, float] = {}
    try:
        for size, video in videos.items():
            if time.monotonic() > deadline:
                break
            rates[size] = round(max(work(video) for _ in range(_ROUNDS[size])), 1)
    except ToonvidError as error:
        report.add(name, f"failed: {one_line(error)}")
        return
    if rates:
        text = ", ".join(f"{size} {rate:.0f}" for size, rate in rates.items())
        missing = "" if len(rates) == len(videos) else "; no time left for the others"
        values = {f"frames_per_second_{size}": rate for size, rate in rates.items()}
        report.add(name, f"frames/s: {text}{missing}", **values)


def _convert(video: Path, target: Path, backend: Backend, way: Way) -> float:
    """Convert a video; return frames per second from the first frame on."""
    options = ConvertOptions(
        decoding=DecodeOptions(decode=way.decode),
        stylizing=StylizeOptions(steady=way.steady),
        encoding=EncodeOptions(codec=way.codec, preset=way.preset, overwrite=True),
    )
    done = convert(video, target, backend, options)
    return (done.frames - 1) / (done.seconds - done.first_frame_seconds)

"""The whole pipeline at three sizes: decode, stylize, encode; and the null pipeline beside it.

With and without the steady stage, and with NVDEC and NVENC in place of software. Beside each rate
stand the time that the stylizing thread takes for a frame, the steady stage included, and the page
faults of the process: both show whether the CPU's side is slower here than alone (part 1).
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
from gpu_check.rows import FAST_PRESET, STYLE, WAYS, null_row, pipeline_row, row_names
from gpu_check.steps import Settings
from gpu_check.usage import page_faults
from toonvid.backends import Backend, open_backend
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.test_video import repeat_video, write_test_video
from toonvid.choices import DecoderName
from toonvid.errors import DeviceMissingError, ToonvidError
from toonvid.ffmpeg.hardware import encoder_problem, nvdec_problem
from toonvid.pipeline import ConvertOptions, convert
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

_VIDEO_SECONDS = {"720p": 4, "1080p": 3, "2160p": 2}
_DRAWN_SECONDS = 1.0  # drawing a frame takes longer than all else, so a short scene is repeated
_LONG_SECONDS = 3.0  # a conversion that takes longer is not done twice


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


@dataclass(frozen=True)
class Rate:
    """How fast a video was converted."""

    frames_per_second: float
    seconds: float
    """What the whole conversion took."""
    stylizing_ms: float | None = None
    """Time of the stylizing thread for a frame, in milliseconds; None: there is no cartoon."""
    page_faults: float | None = None
    """CPU time of the whole process, divided by the number of frames."""


def run(settings: Settings, report: Report, variant: str) -> None:
    """Convert a test video of each size in each way, the smallest size first."""
    deadline = time.monotonic() + settings.seconds - 6
    device = "cuda" if settings.device == "cuda" else "cpu"
    name = variant if settings.device == "cuda" else "onnxruntime"
    found: dict[str, dict[str, Rate]] = {}
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(open_backend(shipped(STYLE), name, device, "auto"))
        except ToonvidError as error:
            reason = "skipped" if isinstance(error, DeviceMissingError) else "failed"
            for row in row_names("pipeline", variant):
                report.add(row, f"{reason}: {one_line(error)}")
            return
        usable = [way for way in _WAYS if not _report_problem(way, report, variant)]
        for size_name, size in sizes(settings.tiny).items():
            video = _write_video(settings, size_name, size)
            target = settings.work / f"{size_name}-out.mp4"
            work: dict[str, Callable[[], Rate]] = {
                null_row(variant): partial(_run_null, video, target)
            }
            for way in usable:
                work[pipeline_row(way.name, variant)] = partial(
                    _convert, video, target, backend, way
                )
            for row, measure in work.items():
                if time.monotonic() > deadline:
                    return
                _measure(report, row, size_name, measure, found.setdefault(row, {}))


def _write_video(settings: Settings, name: str, size: tuple[int, int]) -> Path:
    """Write the test video of a size, unless an earlier step of this run has."""
    video = settings.work / f"{name}-in.mp4"
    if video.is_file():
        return video
    drawn = settings.work / "drawn.mp4"
    if not drawn.is_file():
        seconds = 0.5 if settings.tiny else _DRAWN_SECONDS
        write_test_video(drawn, None, sizes(settings.tiny)["720p"], seconds)
    scaled = settings.work / f"{name}-scaled.mp4"
    write_test_video(scaled, drawn, size, _DRAWN_SECONDS)
    written = video.with_suffix(".part.mp4")  # a step that is killed leaves no half video
    repeat_video(scaled, written, 1 if settings.tiny else _VIDEO_SECONDS[name])
    written.rename(video)
    return video


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
    report: Report, row: str, size: str, work: Callable[[], Rate], rates: dict[str, Rate]
) -> None:
    """Add the rate at one size to a row, the better of two, and write the row again."""
    failure = ""
    try:
        rate = work()
        if rate.seconds < _LONG_SECONDS:
            rate = max(rate, work(), key=lambda each: each.frames_per_second)
        rates[size] = rate
    except ToonvidError as error:
        failure = f"failed at {size}: {one_line(error)}"
    values: dict[str, object] = {}
    texts = []
    for name, rate in rates.items():
        text = f"{name} {rate.frames_per_second:.0f}"
        values[f"frames_per_second_{name}"] = round(rate.frames_per_second, 1)
        details = []
        if rate.stylizing_ms is not None:
            details.append(f"{rate.stylizing_ms:.1f} ms")
            values[f"stylizing_ms_{name}"] = round(rate.stylizing_ms, 2)
        if rate.page_faults is not None:
            details.append(f"{rate.page_faults:.0f} faults")
            values[f"page_faults_per_frame_{name}"] = round(rate.page_faults)
        texts.append(f"{text} ({', '.join(details)})" if details else text)
    if not rates:
        report.add(row, failure)
        return
    text = f"frames/s: {', '.join(texts)}"
    report.add(row, f"{text}; {failure}" if failure else text, **values)


def _run_null(video: Path, target: Path) -> Rate:
    done = run_null_pipeline(video, target)
    return Rate(done.rate, done.seconds)


def _convert(video: Path, target: Path, backend: Backend, way: Way) -> Rate:
    """Convert a video; frames per second count from the first frame on."""
    options = ConvertOptions(
        decoding=DecodeOptions(decode=way.decode),
        stylizing=StylizeOptions(steady=way.steady),
        encoding=EncodeOptions(codec=way.codec, preset=way.preset, overwrite=True),
    )
    before = page_faults()
    done = convert(video, target, backend, options)
    after = page_faults()
    assert done.first_frame_seconds is not None  # the video has frames
    return Rate(
        frames_per_second=(done.frames - 1) / (done.seconds - done.first_frame_seconds),
        seconds=done.seconds,
        stylizing_ms=1000 * done.stage_seconds["stylize"] / done.frames,
        page_faults=None if after is None or before is None else (after - before) / done.frames,
    )

"""The shipped styles: difference from the CPU in levels, and frames per second.

The variant names the library. All styles are one network with other weights and another look, so
one style is measured at three sizes, and the others at the smallest. PyTorch runs the network of
that one style.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from gpu_check.frames import (
    Stream,
    TorchStream,
    cel_generator,
    coarse_frame,
    cpu_cartoons,
    describe_difference,
    measure_rate,
    scene_frame,
    shipped,
    sizes,
)
from gpu_check.report import Report, one_line
from gpu_check.rows import STYLE, styles_of, stylize_row
from gpu_check.steps import Settings
from toonvid.backends import open_backend
from toonvid.backends.tensorrt.backend import TensorRTBackend
from toonvid.errors import DeviceMissingError, ToonvidError

_COMPARED_SECONDS = (0.0, 1.0, 2.0)  # frames of the demo scene at these times


def run(settings: Settings, report: Report, variant: str) -> None:
    """Measure all styles that the library runs."""
    deadline = time.monotonic() + settings.seconds
    for style in sorted(styles_of(variant), key=lambda style: style != STYLE):  # STYLE first
        if time.monotonic() > deadline - 5:
            return  # the runner says so
        try:
            _measure(settings, report, style, variant, deadline)
        except DeviceMissingError as error:
            report.add(stylize_row(style, variant), f"skipped: {one_line(error)}")
        except (ToonvidError, RuntimeError) as error:
            report.add(stylize_row(style, variant), f"failed: {one_line(error)}")


def _measure(settings: Settings, report: Report, style: str, library: str, deadline: float) -> None:
    named = sizes(settings.tiny)
    frames = [scene_frame(*named["720p"], seconds) for seconds in _COMPARED_SECONDS]
    if style != STYLE:
        named = {"720p": named["720p"]}
    began = time.perf_counter()
    values: dict[str, object] = {}
    with _open(settings, style, library) as stream:
        found = np.concatenate(list(stream(frames)))
        values["open_seconds"] = round(time.perf_counter() - began, 2)
        wanted = cpu_cartoons(style, np.concatenate(frames))
        text, levels = describe_difference(found, wanted)
        rates = dict.fromkeys(named, "no time left")
        for name, size in named.items():
            if time.monotonic() > deadline - 3:
                return
            try:
                rate = measure_rate(stream, coarse_frame(*size), settings.tiny)
            except (ToonvidError, RuntimeError) as error:
                if name == next(iter(named)):  # the first size: nothing was measured
                    raise
                rates[name] = f"failed: {one_line(error)}"
            else:
                rates[name] = f"{rate:.0f}"
                values[f"frames_per_second_{name}"] = round(rate, 1)
            speeds = ", ".join(f"{name} {rate}" for name, rate in rates.items())
            opened = f"{values['open_seconds']} s until the first frames"
            result = f"frames/s: {speeds}; levels: {text}; {opened}"
            # Again after each size: compiling for the next one may take longer than there is time.
            report.add(stylize_row(style, library), result, **levels, **values)


@contextmanager
def _open(settings: Settings, style: str, library: str) -> Iterator[Stream]:
    """Open a style in a library."""
    if library.startswith("torch"):
        yield TorchStream(cel_generator(style), settings.device, library == "torch compile")
        return
    name = library
    if settings.device == "cpu":
        name, device, precision = "onnxruntime", "cpu", "f32"
    else:
        device, precision = "cuda", "f16"
    with open_backend(shipped(style), name, device, precision) as backend:
        yield backend.stream
        if isinstance(backend, TensorRTBackend):
            assert backend.precision == precision

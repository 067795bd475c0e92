"""One frame through TensorRT: whether anything works at all, before the rest of the time is spent.

On the CPU, ONNX Runtime takes TensorRT's place.
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from gpu_check.frames import cpu_cartoons, describe_difference, scene_frame, shipped, sizes
from gpu_check.report import Report, one_line
from gpu_check.rows import PRECISIONS, STYLE, one_frame_row
from gpu_check.steps import Settings
from toonvid.backends import open_backend
from toonvid.errors import DeviceMissingError, ToonvidError


def run(settings: Settings, report: Report, variant: str) -> None:
    """Build or load the plan of a style, run one frame, and compare it with the CPU's."""
    frame = scene_frame(*sizes(settings.tiny)["720p"])
    name, device = ("tensorrt", None) if settings.device == "cuda" else ("onnxruntime", "cpu")
    for precision in PRECISIONS:
        try:
            began = time.perf_counter()
            with open_backend(shipped(STYLE), name, device, precision) as backend:
                opened = time.perf_counter()
                cartoon = backend.run(frame)
                first = time.perf_counter()
                backend.run(frame)
                second = time.perf_counter()
        except ToonvidError as error:
            word = "skipped" if isinstance(error, DeviceMissingError) else "failed"
            report.add(one_frame_row(precision), f"{word}: {one_line(error)}")
            continue
        text, levels = describe_difference(cartoon, cpu_cartoons(STYLE, frame))
        times = {
            "open_seconds": round(opened - began, 2),
            "first_frame_seconds": round(first - opened, 3),
            "second_frame_seconds": round(second - first, 4),
        }
        words = "build and load {open_seconds} s, first frame {first_frame_seconds} s, second "
        words += "{second_frame_seconds} s; levels from the CPU: "
        report.add(one_frame_row(precision), words.format(**times) + text, **times, **levels)
        if precision == PRECISIONS[0]:
            picture = np.hstack([frame[0], cartoon[0]])[:, :, ::-1]
            cv2.imwrite(str(settings.out / "one_frame.jpg"), picture)

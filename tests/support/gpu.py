"""Skips tests that need an NVIDIA GPU on machines without one; fails them where one is promised.

A GPU is promised by the environment variable TOONVID_REQUIRE_GPU=1.
"""

from __future__ import annotations

import os
from functools import cache

import pytest

from toonvid.backends.choice import is_tensorrt_installed
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan import plan_target
from toonvid.errors import DeviceMissingError
from toonvid.ffmpeg.nvidia import find_nvidia

without_gpu = pytest.mark.skipif(bool(find_nvidia().gpus), reason="there is a GPU here")


def require_tensorrt_gpu() -> None:
    """Skip or fail the test unless there is a GPU on which TensorRT runs."""
    _require(_tensorrt_problem())


def require_nvidia_gpu() -> None:
    """Skip or fail the test unless there is any NVIDIA GPU. Its codecs do not need TensorRT."""
    _require(find_nvidia().problem)


def _require(problem: str) -> None:
    if problem and os.environ.get("TOONVID_REQUIRE_GPU") == "1":
        pytest.fail(f"TOONVID_REQUIRE_GPU=1, but {problem}")
    if problem:
        pytest.skip(problem)


@cache
def _tensorrt_problem() -> str:
    nvidia = find_nvidia()
    if not nvidia.gpus:
        return nvidia.problem
    if not is_tensorrt_installed():
        return "TensorRT is not installed"
    try:
        plan_target(load_tensorrt(), nvidia.gpus[0], nvidia)
    except DeviceMissingError as error:  # too old, or not one that this TensorRT supports
        return str(error)
    return ""

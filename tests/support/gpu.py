"""Tests that need an NVIDIA card: whether there is one, and whether it is a fault if not."""

from __future__ import annotations

import os
from functools import cache

import pytest

from toonvid.backends.choice import is_tensorrt_installed
from toonvid.backends.tensorrt.library import OLDEST_CAPABILITY
from toonvid.ffmpeg.nvidia import find_nvidia


def require_tensorrt_gpu() -> None:
    """Skip the test where TensorRT has no card to run on; fail it where one was promised."""
    _require(_why_not())


def require_nvidia_gpu() -> None:
    """Skip or fail likewise where there is no card at all: its coders need no TensorRT."""
    _require(find_nvidia().problem)


def _require(reason: str) -> None:
    if reason and os.environ.get("TOONVID_REQUIRE_GPU") == "1":
        pytest.fail(f"TOONVID_REQUIRE_GPU=1, but {reason}")
    if reason:
        pytest.skip(reason)


@cache
def _why_not() -> str:
    nvidia = find_nvidia()
    if not nvidia.gpus:
        return nvidia.problem
    if nvidia.gpus[0].capability < OLDEST_CAPABILITY:
        return f"{nvidia.gpus[0].name} is too old"
    return "" if is_tensorrt_installed() else "TensorRT is not installed"

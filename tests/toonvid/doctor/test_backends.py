"""Checks of the backends: what a GPU needs is said in one line."""

from __future__ import annotations

import pytest

from toonvid.backends.tensorrt import backend as backend_module
from toonvid.doctor import backends
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo

HOPPER = NvidiaInfo((Gpu(0, "NVIDIA H200", (9, 0), 140 * 2**30),), 13000)


def test_a_gpu_that_tensorrt_rtx_does_not_support_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("tensorrt_rtx")
    for module in (backends, backend_module):
        monkeypatch.setattr(module, "find_nvidia", lambda: HOPPER)
    [check] = backends.check_tensorrt()
    assert check.state == "broken"
    assert check.message.startswith("TensorRT-RTX")
    assert check.message.count("TensorRT-RTX") == 1
    assert "does not support NVIDIA H200 (compute capability 9.0): pip install t" in check.message


def test_without_tensorrt_the_one_for_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_tensorrt_installed", lambda: False)
    monkeypatch.setattr(backends, "find_nvidia", lambda: HOPPER)
    [check] = backends.check_tensorrt()
    assert (check.state, check.fix) == ("missing", "pip install tensorrt")

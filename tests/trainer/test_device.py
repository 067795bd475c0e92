"""A missing GPU is reported in one line; memory limits account for CUDA and its libraries."""

from __future__ import annotations

import logging

import pytest
import torch

import trainer.device
from toonvid.errors import DeviceMissingError, TrainingError
from trainer.device import (
    MB,
    allocator_cap,
    cap_memory,
    missing_kernels,
    open_device,
    parse_memory,
)
from trainer.gpu_memory import GpuUse
from trainer.training.precision import choose_precision

BUILD = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_120", "compute_120"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GTX 1060, as far as PyTorch says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GTX 1060")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILD)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_the_cpu_is_used_when_asked_for(gpu: None) -> None:
    assert open_device("cpu").type == "cpu"


def test_a_missing_gpu_is_an_error(no_gpu: None) -> None:
    with pytest.raises(DeviceMissingError, match=r"no CUDA GPU that PyTorch .* can use") as caught:
        open_device("cuda")
    assert caught.value.exit_code == 3


def test_auto_falls_back_to_the_cpu_and_says_why(
    no_gpu: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert open_device("auto").type == "cpu"
    assert "training on the CPU: no CUDA GPU" in caplog.text


def test_a_gpu_is_named_with_its_index(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index, PyTorch refuses to limit the device's memory."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 6))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    assert open_device("cuda") == open_device("auto") == torch.device("cuda", 1)


def test_a_build_without_kernels_for_the_gpu_is_an_error(
    gpu: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainingError, match=r"no kernels for GTX 1060 .*6\.1.* older CUDA \(12\.6"):
        open_device("cuda")
    with caplog.at_level(logging.INFO):
        assert open_device("auto").type == "cpu"
    assert "no kernels for GTX 1060" in caplog.text


@pytest.mark.parametrize(
    ("capability", "advice"),
    [
        *(((7, 5), None), ((8, 6), None), ((8, 9), None), ((9, 0), None)),
        *(((12, 0), None), ((12, 1), None), ((13, 0), None)),
        ((6, 1), "a build for an older CUDA"),
        ((7, 0), "a build for an older CUDA"),
        ((10, 0), "a newer PyTorch"),
    ],
)
def test_kernels_run_on_later_gpus_of_their_generation(
    capability: tuple[int, int], advice: str | None
) -> None:
    found = missing_kernels(capability, BUILD)
    assert (found is None) == (advice is None)
    assert advice is None or (found or "").startswith(advice)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4096 * MB), ("3.2 gb", int(3.2 * 1024 * MB)), ("900MB", 900 * MB)]
)
def test_memory_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "4", "4TB", "-1GB", "0GB", "GB"])
def test_wrong_memory_sizes_are_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="give it like 4GB or 3200MB"):
        parse_memory(text)


def test_the_allocator_gets_what_cuda_leaves() -> None:
    assert allocator_cap(4096 * MB, 600 * MB, 8192 * MB) == 3496 * MB
    assert allocator_cap(9999 * MB, 600 * MB, 8192 * MB) == 7592 * MB
    with pytest.raises(TrainingError, match=r"500 MB is too small: .* alone take 600 MB"):
        allocator_cap(500 * MB, 600 * MB, 8192 * MB)


def test_the_memory_of_the_libraries_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before and after CUDA is loaded; other processes use 1,000.
    used = iter([GpuUse(1000 * MB), GpuUse(1500 * MB)])
    fractions: list[float] = []
    monkeypatch.setattr(trainer.device, "read_gpu_use", lambda: next(used))
    monkeypatch.setattr(trainer.device, "_load_libraries", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000 * MB, 8000 * MB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20 * MB)
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda fraction, device: fractions.append(fraction),
    )
    cap_memory(torch.device("cuda", 0), 4000 * MB)
    assert fractions == [pytest.approx((4000 - 480 - 128) / 8000)]  # 128 for kernels loaded later


def test_without_a_gpu_the_limit_has_no_effect_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cap_memory(torch.device("cpu"), 4096 * MB)
    assert "training on the CPU is not limited" in caplog.text
    cap_memory(torch.device("cuda"), None)  # no limit: CUDA is not touched


def test_precision_auto_is_what_the_device_has_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, name in ((True, "bf16"), (False, "f32")):
        monkeypatch.setattr("trainer.training.precision._has_bf16", lambda has=has: has)
        assert choose_precision("auto", torch.device("cpu")).name == name
    for capability, gpu, name in (
        ((8, 6), "NVIDIA GeForce RTX 3050 Laptop GPU", "bf16"),
        ((7, 5), "NVIDIA GeForce RTX 2060", "f16"),
        ((7, 5), "Tesla T4", "f16"),
        ((7, 5), "NVIDIA GeForce GTX 1650 Ti with Max-Q Design", "f32"),
        ((7, 5), "NVIDIA GeForce MX450", "f32"),
        ((7, 5), "NVIDIA T1200 Laptop GPU", "f32"),
        ((6, 1), "NVIDIA GeForce GTX 1060", "f32"),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, gpu=gpu: gpu)
        assert choose_precision("auto", torch.device("cuda")).name == name, gpu
    assert choose_precision("f16", torch.device("cpu")).name == "f16"


def test_only_float16_scales_its_gradients() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("f16", cpu).make_scaler().is_enabled()
    assert not choose_precision("bf16", cpu).make_scaler().is_enabled()

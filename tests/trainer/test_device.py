"""A GPU that is asked for is there or missed in one line; memory limits leave CUDA its own."""

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
from trainer.training.precision import choose_precision

BUILD = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_120", "compute_120"]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GTX 1060, as far as PyTorch says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GTX 1060")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILD)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_the_processor_is_taken_when_asked_for(card: None) -> None:
    assert open_device("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_missed(no_card: None) -> None:
    with pytest.raises(DeviceMissingError, match=r"no CUDA GPU that PyTorch .* can use") as caught:
        open_device("cuda")
    assert caught.value.exit_code == 3


def test_auto_takes_the_processor_and_says_why(
    no_card: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert open_device("auto").type == "cpu"
    assert "training on the processor: no CUDA GPU" in caplog.text


def test_a_build_without_kernels_for_the_card_is_told(
    card: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainingError, match=r"no kernels for GTX 1060 .*6\.1.* older CUDA \(12\.6"):
        open_device("cuda")
    with caplog.at_level(logging.INFO):
        assert open_device("auto").type == "cpu"
    assert "no kernels for GTX 1060" in caplog.text


@pytest.mark.parametrize(
    ("capability", "what"),
    [
        *(((7, 5), None), ((8, 6), None), ((8, 9), None), ((9, 0), None)),
        *(((12, 0), None), ((12, 1), None), ((13, 0), None)),
        ((6, 1), "a build for an older CUDA"),
        ((7, 0), "a build for an older CUDA"),
        ((10, 0), "a newer PyTorch"),
    ],
)
def test_kernels_serve_later_cards_of_their_generation(
    capability: tuple[int, int], what: str | None
) -> None:
    found = missing_kernels(capability, BUILD)
    assert (found is None) == (what is None)
    assert what is None or (found or "").startswith(what)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4096 * MB), ("3.2 gb", int(3.2 * 1024 * MB)), ("900MB", 900 * MB)]
)
def test_memory_sizes_are_read(text: str, size: int) -> None:
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


def test_the_limit_is_measured_around_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([1000 * MB, 1500 * MB])  # before and after CUDA is loaded, others' 1,000 with it
    capped: list[float] = []
    monkeypatch.setattr(trainer.device, "_used_by_all", lambda: next(used))
    monkeypatch.setattr(trainer.device, "_load_libraries", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000 * MB, 8000 * MB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20 * MB)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: capped.append(share)
    )
    cap_memory(torch.device("cuda"), 4000 * MB)
    assert capped == [pytest.approx((4000 - 480) / 8000)]


def test_without_a_gpu_the_limit_is_said_to_be_void(caplog: pytest.LogCaptureFixture) -> None:
    cap_memory(torch.device("cpu"), 4096 * MB)
    assert "training on the processor is not limited" in caplog.text
    cap_memory(torch.device("cuda"), None)  # nothing to do, and nothing asked of a GPU


def test_precision_auto_is_what_the_device_is_fast_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, name in ((True, "bf16"), (False, "f32")):
        monkeypatch.setattr("trainer.training.precision._has_bf16", lambda has=has: has)
        assert choose_precision("auto", torch.device("cpu")).name == name
    for capability, name in (((8, 6), "bf16"), ((7, 5), "f16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert choose_precision("auto", torch.device("cuda")).name == name
    assert choose_precision("f16", torch.device("cpu")).name == "f16"


def test_only_float16_scales_its_gradients() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("f16", cpu).make_scaler().is_enabled()
    assert not choose_precision("bf16", cpu).make_scaler().is_enabled()

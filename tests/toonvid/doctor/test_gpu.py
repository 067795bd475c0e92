"""The checks of GPUs, with described drivers and PCI buses."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doctor import LAPTOP, NO_DRIVER, only

from toonvid.doctor import gpu
from toonvid.ffmpeg.nvidia import NvidiaInfo


def bus(folder: Path, vendor: str, kind: str) -> Path:
    device = folder / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    return folder / "pci"


def test_a_gpu_and_its_driver_are_reported(tmp_path: Path) -> None:
    laptop, driver = gpu.check_gpus(LAPTOP, tmp_path)
    assert laptop.message == (
        "NVIDIA GeForce RTX 3050 Laptop GPU, 4.0 GiB, compute capability 8.6 (cuda:0)"
    )
    assert laptop.facts["memory_bytes"] == 4 * 2**30
    assert driver.message == "580.95.05, for CUDA up to 13.0"
    assert laptop.state == driver.state == "ok"


@pytest.mark.parametrize(
    ("vendor", "kind", "problem", "state", "mend"),
    [
        ("0x10de", "0x030000", NO_DRIVER.problem, "broken", "install NVIDIA's driver"),
        ("0x10de", "0x040300", NO_DRIVER.problem, "missing", ""),  # the audio device of a GPU
        ("0x8086", "0x030000", NO_DRIVER.problem, "missing", ""),
        ("0x8086", "0x030000", "the NVIDIA driver finds no GPU", "missing", ""),
        ("0x8086", "0x030000", "the driver cannot start: restart", "broken", "restart"),
    ],
)
def test_a_gpu_without_a_driver_is_broken_and_no_gpu_is_missing(
    vendor: str, kind: str, problem: str, state: str, mend: str, tmp_path: Path
) -> None:
    found = only(gpu.check_gpus(NvidiaInfo(problem=problem), bus(tmp_path, vendor, kind)))
    assert (found.state, found.fix) == (state, mend)


def test_an_intel_gpu_that_openvino_does_not_find_is_reported(tmp_path: Path) -> None:
    pci = bus(tmp_path, "0x8086", "0x038000")
    [found] = gpu.check_intel_gpu(["CPU"], pci)
    assert found.state == "missing" and "intel-opencl-icd" in found.fix
    assert gpu.check_intel_gpu(["CPU", "GPU.0"], pci) == []
    assert gpu.check_intel_gpu(["CPU"], tmp_path / "none") == []

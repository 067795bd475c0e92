"""Where a run trains, and how much memory it may take there."""

from __future__ import annotations

import logging
import re
import subprocess
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from toonvid.errors import DeviceMissingError, TrainingError

log = logging.getLogger(__name__)

DeviceName = Literal["auto", "cpu", "cuda"]

MB = 2**20
UNITS = {"MB": MB, "GB": 2**10 * MB}
"""As they stand on a card's box: a 4 GB card has 4,096 MB."""


@dataclass(frozen=True)
class Machine:
    """What of this machine a run may use. None of it changes what is learned."""

    device: DeviceName = "auto"
    memory_limit: int | None = None
    """Bytes of GPU memory for the whole process; None is all there is."""
    workers: int = 2
    """Threads that prepare batches."""


def open_device(asked: DeviceName) -> torch.device:
    """The device that was asked for; for `auto` a GPU that can be used, else the processor.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: There is one, and this build of PyTorch has nothing for it.
    """
    if asked == "cpu":
        return torch.device("cpu")
    problem = _find_problem()
    if problem is None:
        torch.backends.cudnn.benchmark = True  # all batches have one shape
        log.info("training on %s", torch.cuda.get_device_name())
        return torch.device("cuda")
    if asked == "cuda":
        raise problem
    log.info("training on the processor: %s", problem)
    return torch.device("cpu")


def find_device_name(text: str | None) -> DeviceName:
    """The name of a device as typed; `auto` for None.

    Raises:
        TrainingError: There is none of that name.
    """
    for name in get_args(DeviceName):
        if name == (text or "auto").lower():
            return name
    raise TrainingError(f"no device {text!r} to train on; there are: auto, cpu, cuda")


def missing_kernels(capability: tuple[int, int], architectures: list[str]) -> str | None:
    """What to install where a build of PyTorch has nothing for a card; None where it has.

    Args:
        capability: The card's, as (major, minor).
        architectures: What the build is for, as `torch.cuda.get_arch_list` gives it: `sm_86` runs
            on 8.6 and later 8.x, `compute_90` on all from 9.0 on.
    """
    built = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in architectures]
    places = [(found[1], (int(found[2]), int(found[3]))) for found in built if found]
    for kind, place in places:
        if place <= capability and (kind == "compute" or place[0] == capability[0]):
            return None
    if places and capability < min(place for _, place in places):
        return "a build for an older CUDA (12.6 for the GTX 10xx and before) has"
    return "a newer PyTorch, or its build for the newest CUDA, has"


def parse_memory(text: str) -> int:
    """Bytes of a size like `4GB`, `3.2GB` or `3200MB`.

    Raises:
        TrainingError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB)", text.strip().upper())
    if not found or not float(found[1]):
        raise TrainingError(f"memory limit {text!r}: give it like 4GB or 3200MB")
    return int(float(found[1]) * UNITS[found[2]])


def cap_memory(device: torch.device, limit: int | None) -> None:
    """Keep the whole process within a limit of GPU memory.

    What the CUDA context and the libraries take is not PyTorch's to hand out: it is measured around
    a little work that loads them, and the allocator gets the rest of the limit.

    Args:
        device: Nothing may have used it yet.
        limit: In bytes; None leaves it open.

    Raises:
        TrainingError: The limit leaves nothing to work with.
    """
    if limit is None:
        return
    if device.type != "cuda":
        log.warning("the memory limit is a GPU's; training on the processor is not limited")
        return
    before = _used_by_all()
    _load_libraries(device)
    free, total = torch.cuda.mem_get_info(device)
    used = _used_by_all() if before is not None else total - free
    overhead = used - (before or 0) - torch.cuda.memory_reserved(device)
    cap = allocator_cap(limit, overhead, total)
    torch.cuda.set_per_process_memory_fraction(cap / total, device)
    log.info("of %d MB, %d MB are left beside CUDA's own", limit // MB, cap // MB)


def allocator_cap(limit: int, overhead: int, total: int) -> int:
    """Bytes for PyTorch's allocator.

    Args:
        limit: For the whole process, in bytes.
        overhead: What context and libraries take.
        total: What the card has.

    Raises:
        TrainingError: Nothing is left.
    """
    cap = min(limit, total) - max(overhead, 0)
    if cap <= 0:
        raise TrainingError(
            f"a memory limit of {limit // MB} MB is too small: "
            f"CUDA and its libraries alone take {overhead // MB} MB"
        )
    return cap


def _find_problem() -> DeviceMissingError | TrainingError | None:
    """Why no GPU can be used; None if one can."""
    if not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the processor alone"
        return DeviceMissingError(
            f"no CUDA GPU that PyTorch {torch.__version__}, built for {build}, can use"
        )
    capability = torch.cuda.get_device_capability()
    if advice := missing_kernels(capability, torch.cuda.get_arch_list()):
        major, minor = capability
        return TrainingError(
            f"PyTorch {torch.__version__} has no kernels for {torch.cuda.get_device_name()} "
            f"(compute capability {major}.{minor}): {advice}"
        )
    return None


def _load_libraries(device: torch.device) -> None:
    """Let the context, cuDNN and cuBLAS take what they take, by a convolution and a product."""
    picture = torch.ones(1, 3, 64, 64, device=device, requires_grad=True)
    weight = torch.ones(8, 3, 3, 3, device=device, requires_grad=True)
    torch.nn.functional.conv2d(picture, weight).sum().backward()
    torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
    torch.cuda.synchronize(device)


def _used_by_all() -> int | None:
    """Bytes of the first GPU that all processes use, as the driver's tool says; None without it.

    Unlike `mem_get_info`, it can be asked before this process has a context.
    """
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return int(said.stdout.split()[0]) * MB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None

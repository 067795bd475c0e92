"""Device of a run, and its limit of GPU memory.

In: the device and the memory limit as typed. Out: a `torch.device` that can be used, with PyTorch's
allocator limited. Left out: what happens when the memory does not suffice, see
`trainer.training.memory`.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from toonvid.errors import DeviceMissingError, TrainingError
from trainer.gpu_memory import find_own_memory, read_gpu_use

log = logging.getLogger(__name__)

DeviceName = Literal["auto", "cpu", "cuda"]

MB = 2**20  # bytes
LATER_BYTES = 128 * MB
"""Memory of kernels that CUDA loads when they are first used, after it was measured: 118 MB in
training steps of the preset `paper` in bfloat16, on an H200 with PyTorch 2.11."""
UNITS = {"MB": MB, "GB": 2**10 * MB}
"""Units as vendors of GPUs use them: a 4 GB GPU has 4,096 MB."""


@dataclass(frozen=True)
class Machine:
    """Part of the machine that a run may use. It does not change what is learned."""

    device: DeviceName = "auto"
    """Device; `auto` prefers a GPU."""
    memory_limit: int | None = None
    """GPU memory for the whole process in bytes; None means no limit."""
    workers: int = 2
    """Number of threads that prepare batches, from 1; default 2."""


def open_device(asked: DeviceName) -> torch.device:
    """Open the device that was asked for; for `auto` a usable GPU, else the CPU.

    Raises:
        DeviceMissingError: A GPU was asked for, and there is none.
        TrainingError: There is one, but this build of PyTorch has no kernels for it.
    """
    if asked == "cpu":
        return torch.device("cpu")
    problem = _find_problem()
    if problem is None:
        torch.backends.cudnn.benchmark = True  # worth its search: all batches have one shape
        log.info("training on %s", torch.cuda.get_device_name())
        return torch.device("cuda", torch.cuda.current_device())
    if asked == "cuda":
        raise problem
    log.info("training on the CPU: %s", problem)
    return torch.device("cpu")


def find_device_name(text: str | None) -> DeviceName:
    """Parse the name of a device; None means `auto`.

    Raises:
        TrainingError: There is no such device.
    """
    for name in get_args(DeviceName):
        if name == (text or "auto").lower():
            return name
    raise TrainingError(f"no device {text!r} to train on; there are: auto, cpu, cuda")


def missing_kernels(capability: tuple[int, int], architectures: list[str]) -> str | None:
    """Find out what to install if a build of PyTorch has no kernels for a GPU; None if it has.

    Args:
        capability: Compute capability of the GPU, (major, minor).
        architectures: Architectures of the build, as `torch.cuda.get_arch_list` returns them:
            `sm_86` runs on 8.6 and later 8.x, `compute_90` on all from 9.0 on.

    Returns:
        The beginning of a sentence, "... has".
    """
    built = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in architectures]
    targets = [(found[1], (int(found[2]), int(found[3]))) for found in built if found]
    for kind, target in targets:
        if target <= capability and (kind == "compute" or target[0] == capability[0]):
            return None
    if targets and capability < min(target for _, target in targets):
        return "a build for an older CUDA (12.6 for the GTX 10xx and before) has"
    return "a newer PyTorch, or its build for the newest CUDA, has"


def parse_memory(text: str) -> int:
    """Parse a size like `4GB`, `3.2GB` or `3200MB` into bytes.

    Raises:
        TrainingError: The text is not a size, or is 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB)", text.strip().upper())
    if not found or not float(found[1]):
        raise TrainingError(f"memory limit {text!r}: give it like 4GB or 3200MB")
    return int(float(found[1]) * UNITS[found[2]])


def cap_memory(device: torch.device, limit: int | None) -> None:
    """Limit the GPU memory of the whole process.

    PyTorch can only limit its own allocator. The CUDA context and the libraries take memory beside
    it, which is measured around a small computation that loads them; the allocator gets the rest.

    Args:
        device: Device that this process has not used yet.
        limit: Limit in bytes; None means no limit.

    Raises:
        TrainingError: The limit leaves nothing for the allocator.
    """
    if limit is None:
        return
    if device.type != "cuda":
        log.warning("the memory limit is for GPUs; training on the CPU is not limited")
        return
    before = read_gpu_use()
    _load_libraries(device)
    free, total = torch.cuda.mem_get_info(device)
    own = find_own_memory(before, read_gpu_use())
    # Where the driver says nothing, the memory of all processes counts as this one's.
    used = own.size if own else total - free
    overhead = used - torch.cuda.memory_reserved(device)
    cap = allocator_cap(limit, overhead + LATER_BYTES, total)
    torch.cuda.set_per_process_memory_fraction(cap / total, device)
    log.info("of %d MB, %d MB are left beside CUDA's own", limit // MB, cap // MB)


def allocator_cap(limit: int, overhead: int, total: int) -> int:
    """Compute the limit of PyTorch's allocator in bytes.

    Args:
        limit: Limit of the whole process in bytes.
        overhead: Memory of CUDA context and libraries in bytes.
        total: Memory of the GPU in bytes.

    Raises:
        TrainingError: Nothing is left for the allocator.
    """
    cap = min(limit, total) - max(overhead, 0)
    if cap <= 0:
        raise TrainingError(
            f"a memory limit of {limit // MB} MB is too small: "
            f"CUDA and its libraries alone take {overhead // MB} MB"
        )
    return cap


def _find_problem() -> DeviceMissingError | TrainingError | None:
    """Find the reason why no GPU can be used; None if one can."""
    if not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
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
    """Have the CUDA context, cuDNN and cuBLAS allocate, by a convolution and a matrix product."""
    image = torch.ones(1, 3, 64, 64, device=device, requires_grad=True)
    weight = torch.ones(8, 3, 3, 3, device=device, requires_grad=True)
    torch.nn.functional.conv2d(image, weight).sum().backward()
    torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
    torch.cuda.synchronize(device)

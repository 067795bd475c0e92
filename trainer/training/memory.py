"""Fallback when memory runs out, and measurement of memory.

In: a function that computes gradients of a micro-batch. Out: the same gradients, with less memory
if need be: on out-of-memory, gradient checkpointing is enabled, then the micro-batch is halved
until the step fits. Neither changes what is learned. All processes of a run follow the same plan:
where the memory of one of them runs out, all do the step again.

Left out: limits on memory, which `trainer.device` sets.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import psutil
import torch
from torch import nn

from toonvid.backends.contract import one_line
from toonvid.errors import TrainingError
from trainer.config import MIN_CROP, TrainConfig
from trainer.device import MB
from trainer.networks.checkpointing import set_gradient_checkpointing
from trainer.training.processes import ALONE, Processes
from trainer.training.step_inputs import StepInputs

log = logging.getLogger(__name__)

Result = TypeVar("Result")

CROP_STEP = 32  # pixels
"""Step of the search for a crop that fits."""

OUT_OF_MEMORY_MESSAGES = (
    *("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED"),
    *("unable to find an engine to execute", "Unable to find a valid cuDNN algorithm"),
)
"""Parts of the messages of CUDA, of PyTorch on the CPU, and of cuDNN and cuBLAS. The last two are
what PyTorch says where no algorithm of cuDNN gets the memory that it works with
(https://github.com/pytorch/pytorch/issues/108645); a GPU that cuDNN does not support gets them
too."""

_ASKED = "asked_for_checkpointing"  # name in a training state

MALLOC_OPTIONS = {
    "cuda": {-3: MB, -1: 128 * MB, -8: 2},
    "cpu": {-3: 32 * MB, -1: 1024 * MB, -8: 2},
}
"""Type of device -> glibc's M_MMAP_THRESHOLD (bytes from which a block is returned to the system),
M_TRIM_THRESHOLD (bytes) and M_ARENA_MAX (heaps). On the CPU the network's own tensors are such
blocks: returned, a step of `cel` with 8 crops took up to 1.7 times as long."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a batch is processed."""

    micro_batch: int
    """Largest number of images that a process has in work at a time, from 1."""
    gradient_checkpointing: bool = False
    """Whether activations are recomputed in the backward pass."""

    def smaller(self) -> MemoryPlan | None:
        """Return the next plan, which takes less memory and more time; None after the last one."""
        if not self.gradient_checkpointing:
            return replace(self, gradient_checkpointing=True)
        if self.micro_batch > 1:
            return replace(self, micro_batch=-(-self.micro_batch // 2))
        return None


class MemoryManager:
    """Computes gradients by a plan, and moves on to a smaller plan when memory runs out."""

    def __init__(
        self, plan: MemoryPlan, networks: Iterable[nn.Module], processes: Processes = ALONE
    ) -> None:
        """Start with a plan.

        Args:
            plan: First plan.
            networks: Networks whose gradient checkpointing the plan switches.
            processes: Processes of the run, which follow the plan together.
        """
        self._networks = tuple(networks)
        self._processes = processes
        self._first_plan = plan
        self.apply(plan)

    def apply(self, plan: MemoryPlan) -> None:
        """Change to another plan."""
        self.plan = plan
        for network in self._networks:
            set_gradient_checkpointing(network, plan.gradient_checkpointing)

    def capture(self) -> dict[str, int]:
        """Return the plan for a training state: BatchNorm's statistics depend on it.

        Whether the config asked for gradient checkpointing stands beside it.
        """
        values = {name: int(value) for name, value in asdict(self.plan).items()}
        return {**values, _ASKED: int(self._first_plan.gradient_checkpointing)}

    def restore(self, values: dict[str, int]) -> None:
        """Apply the plan that `capture` returned.

        If the config asks for something else than it did then, gradient checkpointing is as asked.
        """
        checkpointing = bool(values["gradient_checkpointing"])
        asked = self._first_plan.gradient_checkpointing
        if bool(values.get(_ASKED, asked)) != asked:
            checkpointing = asked
        self.apply(MemoryPlan(values["micro_batch"], checkpointing))

    def run(self, compute: Callable[[StepInputs, int], Result], inputs: StepInputs) -> Result:
        """Compute gradients with the memory there is.

        Args:
            compute: Function of the inputs and the size of a micro-batch. When it runs out of
                memory it is called again, so it may have changed nothing but gradients by then.
            inputs: Inputs of the step.

        Returns:
            What `compute` returns.

        Raises:
            TrainingError: The memory does not suffice for one image at a time.
        """
        # A plan that another number of processes began with may have more images than are here.
        images = len(inputs.batch.photos)
        while True:
            result = _try(lambda: compute(inputs, self.plan.micro_batch))
            failed = isinstance(result, _OutOfMemory)
            if not self._processes.any(failed):
                assert not isinstance(result, _OutOfMemory)
                return result
            reason = result.reason if isinstance(result, _OutOfMemory) else "in another process"
            del result  # of a process whose memory sufficed
            plan = replace(self.plan, micro_batch=min(self.plan.micro_batch, images)).smaller()
            if plan is None:
                raise TrainingError(self._advise(compute, inputs, reason))
            log.warning("out of memory: going on with %s", describe_plan(plan))
            self.apply(plan)

    def _advise(
        self, compute: Callable[[StepInputs, int], Result], inputs: StepInputs, reason: str
    ) -> str:
        """Find a crop that fits by trying, for the error message."""
        crop = inputs.batch.photos.shape[-1]
        for side in range(crop - CROP_STEP, MIN_CROP - 1, -CROP_STEP):
            cropped = inputs.center_crop(side)
            result = _try(lambda cropped=cropped: compute(cropped, 1))
            if not self._processes.any(isinstance(result, _OutOfMemory)):
                return f"out of memory with one image at a time: --crop {side} fits, in a new run"
        return (
            "out of memory with one image at a time, whatever its size: give it more memory"
            f" ({reason})"
        )


def initial_plan(config: TrainConfig) -> MemoryPlan:
    """Return the plan that a run starts with: the whole batch at once."""
    return MemoryPlan(config.batch_size, config.gradient_checkpointing)


def describe_plan(plan: MemoryPlan) -> str:
    """Describe a plan in words."""
    checkpointing = "gradient checkpointing and " if plan.gradient_checkpointing else ""
    return f"{checkpointing}{plan.micro_batch} images at a time"


def limit_heap_growth(device: torch.device) -> None:
    """Have glibc return large blocks to the system, so that the process does not grow.

    By default it raises its thresholds to the largest block it has freed. Images of many sizes then
    fragment the heap, which costs 10 % more memory after some hundred steps.

    Args:
        device: Device of the networks.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl, for one, has none
    for option, value in MALLOC_OPTIONS[device.type].items() if mallopt else ():
        mallopt(option, value)


def measure_memory(device: torch.device) -> dict[str, float]:
    """Measure the memory of this process in MB, by the names that the log uses.

    Returns:
        `memory_mb`, the resident set, and on a GPU `gpu_memory_mb`, the allocator's peak.
    """
    figures = {"memory_mb": psutil.Process().memory_info().rss / MB}
    if device.type == "cuda":
        figures["gpu_memory_mb"] = torch.cuda.max_memory_reserved(device) / MB
    return {name: round(value, 1) for name, value in figures.items()}


@dataclass(frozen=True)
class _OutOfMemory:
    """An attempt that ran out of memory."""

    reason: str
    """Message of the error, in one line."""


def _try(compute: Callable[[], Result]) -> Result | _OutOfMemory:
    """Return what `compute` returns, or that memory ran out."""
    try:
        return compute()
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        failure = _OutOfMemory(one_line(error) or type(error).__name__)
    # Not inside `except`: the traceback there still refers to the tensors of the failed attempt.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return failure


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(message in str(error) for message in OUT_OF_MEMORY_MESSAGES)

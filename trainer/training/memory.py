"""What happens when memory runs out: less is held at a time, and the same is learned.

First gradient checkpointing is turned on, then the micro-batch is halved, and gradients add up over
more parts. Leaves out how much memory there is: `trainer.device`.
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

from toonvid.errors import TrainingError
from trainer.config import SMALLEST_CROP
from trainer.device import MB
from trainer.networks.checkpointing import set_gradient_checkpointing
from trainer.training.phases import Lesson

log = logging.getLogger(__name__)

Made = TypeVar("Made")

CROP_STEP = 32
"""Steps in pixels in which a crop that fits is looked for."""

SIGNS = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""What CUDA, PyTorch on the processor, and cuDNN and cuBLAS say when there is none left."""


MALLOC_OPTIONS = {-3: MB, -1: 128 * MB, -8: 2}
"""glibc's M_MMAP_THRESHOLD (bytes from which a block is given back), M_TRIM_THRESHOLD, M_ARENA_MAX
(heaps). As large as this they cost no time that could be measured."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a batch is worked through."""

    micro_batch: int
    """Pictures at a time."""
    gradient_checkpointing: bool = False

    def thriftier(self) -> MemoryPlan | None:
        """The next plan, which takes less memory and more time; None if this is the last."""
        if not self.gradient_checkpointing:
            return replace(self, gradient_checkpointing=True)
        if self.micro_batch > 1:
            return replace(self, micro_batch=-(-self.micro_batch // 2))
        return None


class MemoryKeeper:
    """Works through lessons by a plan, and changes the plan when memory runs out."""

    def __init__(self, plan: MemoryPlan, networks: Iterable[nn.Module]) -> None:
        """Start with a plan.

        Args:
            plan: To begin with.
            networks: Whose gradient checkpointing it turns on.
        """
        self._networks = tuple(networks)
        self.follow(plan)

    def follow(self, plan: MemoryPlan) -> None:
        """Go on by another plan."""
        self.plan = plan
        for network in self._networks:
            set_gradient_checkpointing(network, plan.gradient_checkpointing)

    def capture(self) -> dict[str, int]:
        """The plan for a training state: BatchNorm's statistics depend on the micro-batch."""
        return {name: int(value) for name, value in asdict(self.plan).items()}

    def restore(self, values: dict[str, int]) -> None:
        """Go on by the plan of which `capture` gave these values."""
        plan = MemoryPlan(values["micro_batch"], bool(values["gradient_checkpointing"]))
        self.follow(plan)

    def fit(self, compute: Callable[[Lesson, int], Made], lesson: Lesson) -> Made:
        """Compute gradients from a lesson with the memory there is.

        Args:
            compute: Takes a lesson and a micro-batch. It is begun anew when it fails, so nothing
                but gradients may have changed by then.
            lesson: What to learn from.

        Raises:
            TrainingError: One picture at a time is too much.
        """
        while True:
            made = _try(lambda: compute(lesson, self.plan.micro_batch))
            if made is not None:
                return made
            plan = self.plan.thriftier()
            if plan is None:
                raise TrainingError(self._advise(compute, lesson))
            log.warning("out of memory: going on with %s", describe_plan(plan))
            self.follow(plan)

    def _advise(self, compute: Callable[[Lesson, int], Made], lesson: Lesson) -> str:
        """Look for a crop that fits, by trying."""
        crop = lesson.batch.photos.shape[-1]
        for side in range(crop - CROP_STEP, SMALLEST_CROP - 1, -CROP_STEP):
            smaller = lesson.middle(side)
            if _try(lambda smaller=smaller: compute(smaller, 1)) is not None:
                return f"out of memory with one picture at a time: --crop {side} fits, in a new run"
        return "out of memory with one picture at a time, whatever its size: give it more memory"


def describe_plan(plan: MemoryPlan) -> str:
    """A plan in words."""
    checkpointing = "gradient checkpointing and " if plan.gradient_checkpointing else ""
    return f"{checkpointing}{plan.micro_batch} pictures at a time"


def keep_heap_steady() -> None:
    """Let the C library of Linux give large blocks back, so that the process does not grow.

    By itself it stops doing so for blocks as large as the largest it has seen, and pictures of all
    sizes then leave holes between each other: 10 % more memory after some hundred steps.
    """
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # not in every C library
    for option, value in MALLOC_OPTIONS.items() if set_option else ():
        set_option(option, value)


def measure_memory(device: torch.device) -> dict[str, float]:
    """Memory of the process in MB by name: `memory_mb`, and on a GPU the peak of the allocator."""
    figures = {"memory_mb": psutil.Process().memory_info().rss / MB}
    if device.type == "cuda":
        figures["gpu_memory_mb"] = torch.cuda.max_memory_reserved(device) / MB
    return {name: round(value, 1) for name, value in figures.items()}


def _try(compute: Callable[[], Made]) -> Made | None:
    """What `compute` gives; None if memory ran out."""
    try:
        return compute()
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
    # Only here, where the error and its traceback are gone, is what the failed try held free.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(sign in str(error) for sign in SIGNS)

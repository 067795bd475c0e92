"""What is measured, in order of importance, and how long each step may take.

A part of the table is measured by one or more steps. Each step runs in a process of its own, so
that its memory can be measured, and so that a crash ends nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

from gpu_check.report import Report

PARTS = {
    0: "one frame",
    1: "machine",
    2: "gpu tests",
    3: "speed",
    4: "4 GB",
    5: "training",
    6: "kernels",
}
"""Number of a part -> its title."""


@dataclass(frozen=True)
class Settings:
    """What a step needs to know."""

    device: str
    """`cuda`, or `cpu` to try the script where there is no GPU."""
    tiny: bool
    """Whether sizes are so small that all steps end within two minutes on a CPU."""
    seconds: float
    """Time that the step may take. It should end by itself before that."""
    training_minutes: float
    """Time for all training together, in minutes."""
    out: Path
    """Folder of the results."""
    work: Path
    """Folder for files that are not results."""
    data: Path | None
    """Folder with `photos`, `cache` and `cartoons` to train on; None: the demo scene."""


class StepModule(Protocol):
    """Module of a step, in `gpu_check.parts`."""

    def run(self, settings: Settings, report: Report, variant: str) -> None:
        """Measure, and write the rows."""


@dataclass(frozen=True)
class Step:
    """One process."""

    part: int
    """Number of the part that its rows belong to."""
    module: str
    """Module in `gpu_check.parts`."""
    variant: str
    """What the module measures; empty where it has no variants."""
    seconds: float
    """Time that it may take in any case."""
    longest: float = 0
    """Time that it may take where earlier steps left some; 0: no more than `seconds`. Steps that
    measure until their time is over have none."""

    @property
    def name(self) -> str:
        """Name on the command line and in the log."""
        return f"{self.module}:{self.variant}" if self.variant else self.module

    def load(self) -> StepModule:
        """Import the module."""
        module: object = import_module(f"gpu_check.parts.{self.module}")
        return module  # type: ignore[return-value]


STEPS = (
    Step(1, "machine", "", 25),
    Step(0, "one_frame", "", 40),
    Step(4, "memory", "mixed", 28),
    Step(4, "memory", "mixed, one image at a time", 22),
    Step(3, "stylize", "tensorrt", 40, longest=60),
    Step(3, "pipeline", "tensorrt", 52, longest=90),
    Step(3, "stylize", "onnxruntime", 36, longest=60),
    Step(3, "pipeline", "onnxruntime", 40, longest=90),
    Step(6, "kernels", "", 36, longest=60),
    Step(2, "tests", "", 37, longest=90),
    Step(3, "stylize", "torch eager", 20),
    Step(3, "stylize", "torch compile", 36, longest=90),
    Step(4, "memory", "mixed, checkpointed", 20),
    Step(4, "memory", "float32", 20),
    Step(5, "training", "cel", 44),
    Step(5, "training", "cel-hq", 44),
)
"""All steps, the most important ones first. Their times add up to nine minutes, so that none is
left out because of the others."""

_TINY_FACTOR = 3  # by which steps of tiny sizes may take longer


def choose_steps(parts: set[int], training_minutes: float, tiny: bool = False) -> list[Step]:
    """Return the steps of some parts, in order, with the time for training shared out.

    Where sizes are tiny, no step measures until its time is over, so that more of it only helps a
    busy machine.
    """
    training = [step for step in STEPS if step.module == "training"]
    each = 60 * training_minutes / len(training) + 20  # the rest is for start and states
    steps = [replace(s, seconds=each) if s in training else s for s in STEPS]
    factor = _TINY_FACTOR if tiny else 1
    return [replace(s, seconds=factor * s.seconds) for s in steps if s.part in parts]


def find_step(name: str) -> Step:
    """Return the step with a name."""
    return next(step for step in STEPS if step.name == name)

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
    """Largest time that it may take."""

    @property
    def name(self) -> str:
        """Name on the command line and in the log."""
        return f"{self.module}:{self.variant}" if self.variant else self.module

    def load(self) -> StepModule:
        """Import the module."""
        module: object = import_module(f"gpu_check.parts.{self.module}")
        return module  # type: ignore[return-value]


STEPS = (
    Step(1, "machine", "", 45),
    Step(0, "one_frame", "", 75),
    Step(4, "memory", "mixed", 32),
    Step(4, "memory", "mixed, checkpointed", 26),
    Step(4, "memory", "mixed, one image at a time", 26),
    Step(4, "memory", "float32", 26),
    Step(4, "memory", "float32, checkpointed", 26),
    Step(3, "stylize", "tensorrt", 75),
    Step(3, "pipeline", "tensorrt", 85),
    Step(3, "stylize", "torch eager", 40),
    Step(3, "stylize", "torch compile", 70),
    Step(3, "stylize", "onnxruntime", 40),
    Step(3, "pipeline", "onnxruntime", 60),
    Step(2, "tests", "", 90),
    Step(6, "kernels", "", 45),
    Step(5, "training", "cel", 80),
    Step(5, "training", "cel-hq", 80),
)
"""All steps, the most important ones first."""


def choose_steps(parts: set[int], training_minutes: float) -> list[Step]:
    """Return the steps of some parts, in order, with the time for training shared out."""
    training = [step for step in STEPS if step.module == "training"]
    each = 60 * training_minutes / len(training) + 20  # the rest is for start and states
    steps = [replace(s, seconds=each) if s in training else s for s in STEPS]
    return [step for step in steps if step.part in parts]


def find_step(name: str) -> Step:
    """Return the step with a name."""
    return next(step for step in STEPS if step.name == name)

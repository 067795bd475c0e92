"""Sweep: short runs that differ in one option, and one sheet to choose a value by.

In: an option and its values, like `content-weight=0.25,1,4`. Out: a finished run for each value,
and `sweep.png` with a row of cartoons for each.

The balance of the losses matters most: with too much weight on content the output equals the
input, with too little all photos become one color. A few short runs show it before days are spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.config import (
    PhaseName,
    TrainConfig,
    change_config,
    current_option_name,
    option_names,
)
from trainer.device import Machine
from trainer.files import write_atomically
from trainer.training.run_folder import Run, Sources
from trainer.training.sample_sheet import read_heldout, stylize
from trainer.training.state import load_trained_generator
from trainer.training.train import TrainingProgress, train

_LABEL_HEIGHT = 28  # pixels
_TEXT_COLOR, _BACKGROUND = (0, 0, 0), 255

EMA_STEPS = 10
"""Number of steps that the EMA averages over in the shortest runs."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    option: str
    """Name of the option, as typed."""
    value: str
    """Value of the option, as typed."""
    config: TrainConfig
    """Config with that value, and with short phases."""

    @property
    def name(self) -> str:
        """Name of the run's folder and of its row on the sheet."""
        return f"{self.option}={self.value}"


def parse_sweep(text: str, config: TrainConfig, max_steps: int) -> list[SweepRun]:
    """Parse the argument of `--sweep`, like `content-weight=0.25,1,4`.

    Args:
        text: An option and its values. An option that both phases have is set in both of them;
            `adversarial.content_weight` sets it in one.
        config: Config that all runs have apart from the option.
        max_steps: Maximum number of steps of each phase.

    Raises:
        TrainingError: There is no such option, there are fewer than two values, or one of them is
            not valid.
    """
    option, _, values = text.partition("=")
    found = [value for value in values.split(",") if value]
    if len(found) < 2:
        raise TrainingError(f"--sweep {text}: write it like content-weight=0.25,1,4")
    short = _shorten(config, max_steps)
    names = _find_options(option.replace("-", "_"), config)
    return [
        SweepRun(option, value, change_config(short, [f"{name}={value}" for name in names]))
        for value in found
    ]


def run_sweep(
    runs: list[SweepRun],
    preset: str,
    sources: Sources,
    folder: Path,
    machine: Machine,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[SweepRun, TrainingProgress]]:
    """Train each run in a folder of its own; finished ones are not repeated.

    Args:
        runs: Runs of the sweep.
        preset: Name of the preset, for the runs' records.
        sources: Where the images come from; all runs share one cache.
        folder: Folder in which the runs' folders are created.
        machine: Device, memory and threads that may be used.
        should_stop: Asked after every step.

    Yields:
        Each run with its progress, when it is finished or was stopped.
    """
    shared = replace(sources, cache=sources.cache or folder / "cache")
    for sweep_run in runs:
        run = Run(folder / sweep_run.name)
        run.claim(preset, sweep_run.config, shared)
        yield (
            sweep_run,
            train(run, sweep_run.config, shared, should_stop=should_stop, machine=machine),
        )
        if should_stop():
            return


def write_sweep_sheet(runs: list[SweepRun], folder: Path, heldout: Path) -> Path:
    """Draw held-out photos, and below them a labeled row of cartoons for each run.

    Args:
        runs: Finished runs of the sweep.
        folder: Folder that contains the runs' folders; the sheet is written there.
        heldout: Folder of photos.

    Returns:
        Path of the sheet.
    """
    photos = read_heldout(heldout, runs[0].config.content_target == "art")
    rows = [_label("photos", photos)]
    for run in runs:
        generator, _ = load_trained_generator(Run(folder / run.name).states, run.config)
        rows.append(_label(run.name, [stylize(generator, photo) for photo in photos]))
    target = folder / "sweep.png"
    encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1]
    write_atomically(target, encoded.tobytes())
    return target


def _shorten(config: TrainConfig, max_steps: int) -> TrainConfig:
    """Limit the steps of each phase, and let the EMA follow sooner."""

    def shorten(phase: PhaseName) -> list[str]:
        whole = getattr(config, phase)
        steps = min(whole.steps, max_steps)
        pixel_only = round(whole.pixel_only_steps * steps / whole.steps) if whole.steps else 0
        return [f"{phase}.steps={steps}", f"{phase}.pixel_only_steps={pixel_only}"]

    settings = [setting for phase in get_args(PhaseName) for setting in shorten(phase)]
    # The EMA of a long run would still be close to the random start.
    decay = min(config.ema_decay, 1 - EMA_STEPS / max(max_steps, 2 * EMA_STEPS))
    return change_config(config, [*settings, f"ema_decay={decay}"])


def _find_options(option: str, config: TrainConfig) -> list[str]:
    """List the full names of an option: one, or one for each phase."""
    known, current = option_names(config), current_option_name(option)
    both = [f"{phase}.{current}" for phase in get_args(PhaseName)]
    names = [name for name in (current, *both) if name in known]
    if not names:
        raise TrainingError(f"no training option named {option!r}; there are: {', '.join(known)}")
    return names


def _label(label: str, images: list[Pixels]) -> Pixels:
    """Put images, (H, W, 3) each, side by side below a label."""
    row = np.hstack(images)
    strip = np.full((_LABEL_HEIGHT, row.shape[1], 3), _BACKGROUND, np.uint8)
    position = (8, _LABEL_HEIGHT - 8)
    cv2.putText(strip, label, position, cv2.FONT_HERSHEY_SIMPLEX, 0.6, _TEXT_COLOR, 1, cv2.LINE_AA)
    return np.vstack([strip, row])

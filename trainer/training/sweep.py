"""Probes: short runs that differ in one value, and one sheet to choose by.

The balance of the losses decides everything: with too much weight on content the output equals the
input, with too little all photos become one colour. A few short runs show it before days are spent.
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
from trainer.config import PhaseName, TrainConfig, change_config, option_names
from trainer.device import Machine
from trainer.files import write_atomically
from trainer.training.game import load_trained_generator
from trainer.training.run_folder import Run, Sources
from trainer.training.sample_sheet import read_heldout, stylize
from trainer.training.train import Progress, train

_LABEL_HEIGHT = 28  # pixels
_INK, _PAPER = (0, 0, 0), 255


@dataclass(frozen=True)
class Probe:
    """One value of an option, to be tried."""

    option: str
    """As it was named."""
    value: str
    config: TrainConfig

    @property
    def name(self) -> str:
        """Of the run's folder, and of the row on the sheet."""
        return f"{self.option}={self.value}"


def parse_probes(text: str, config: TrainConfig, most_steps: int) -> list[Probe]:
    """Read `content-weight=0.25,1,4`.

    Args:
        text: An option and its values. An option that both phases have is set in both of them;
            `adversarial.content_weight` sets one.
        config: What else the runs are to be like.
        most_steps: Of each phase of a run.

    Raises:
        TrainingError: There is no such option, fewer than two values, or one that it cannot have.
    """
    option, _, values = text.partition("=")
    found = [value for value in values.split(",") if value]
    if len(found) < 2:
        raise TrainingError(f"--probe {text}: write it like content-weight=0.25,1,4")
    short = _shortened(config, most_steps)
    names = _places(option.replace("-", "_"), config)
    return [
        Probe(option, value, change_config(short, [f"{name}={value}" for name in names]))
        for value in found
    ]


def run_probes(
    probes: list[Probe],
    preset: str,
    sources: Sources,
    folder: Path,
    machine: Machine,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Probe, Progress]]:
    """Train each probe in a folder of its own; one that is finished already is not done again.

    Args:
        probes: What to try.
        preset: Goes into the runs' records.
        sources: The pictures; all runs share one cache.
        folder: Where the runs' folders are made.
        machine: What may be used.
        should_stop: Asked after every step.

    Yields:
        Each probe, when it is trained or was stopped.
    """
    shared = replace(sources, cache=sources.cache or folder / "cache")
    for probe in probes:
        run = Run(folder / probe.name)
        run.claim(preset, probe.config, shared)
        yield (
            probe,
            train(run, probe.config, shared, should_stop=should_stop, machine=machine),
        )
        if should_stop():
            return


def write_probe_sheet(probes: list[Probe], folder: Path, heldout: Path) -> Path:
    """Draw held-out photos, and below them a row for each probe, named on its left.

    Args:
        probes: Trained.
        folder: Of their runs; the sheet is written there.
        heldout: Folder of photos.
    """
    photos = read_heldout(heldout)
    rows = [_labelled("photos", photos)]
    for probe in probes:
        states = Run(folder / probe.name).states
        generator, _ = load_trained_generator(states, probe.config)
        rows.append(_labelled(probe.name, [stylize(generator, photo) for photo in photos]))
    target = folder / "probe.png"
    encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1]
    write_atomically(target, encoded.tobytes())
    return target


def _shortened(config: TrainConfig, most_steps: int) -> TrainConfig:
    """The config with phases of at most so many steps, and the mean following sooner."""

    def shorten(phase: PhaseName) -> list[str]:
        whole = getattr(config, phase)
        steps = min(whole.steps, most_steps)
        alone = round(whole.pixel_only_steps * steps / whole.steps) if whole.steps else 0
        return [f"{phase}.steps={steps}", f"{phase}.pixel_only_steps={alone}"]

    settings = [setting for phase in get_args(PhaseName) for setting in shorten(phase)]
    decay = min(config.ema_decay, 1 - 10 / max(most_steps, 20))
    return change_config(config, [*settings, f"ema_decay={decay}"])


def _places(option: str, config: TrainConfig) -> list[str]:
    """Where an option stands in the config."""
    known = option_names(config)
    both = [f"{phase}.{option}" for phase in get_args(PhaseName)]
    places = [name for name in (option, *both) if name in known]
    if not places:
        raise TrainingError(f"no training option named {option!r}; there are: {', '.join(known)}")
    return places


def _labelled(label: str, pictures: list[Pixels]) -> Pixels:
    row = np.hstack(pictures)
    strip = np.full((_LABEL_HEIGHT, row.shape[1], 3), _PAPER, np.uint8)
    at = (8, _LABEL_HEIGHT - 8)
    cv2.putText(strip, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, _INK, 1, cv2.LINE_AA)
    return np.vstack([strip, row])

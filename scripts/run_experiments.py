"""Train the generators that docs/research/experiments.md compares, and measure them.

    python scripts/run_experiments.py train DATA --content-weights FILE -o runs NAME...
    python scripts/run_experiments.py measure DATA --content-weights FILE -o runs [NAME...]

In: DATA with `photos/{open,more,heldout}`, `cartoons/glitch` and `ATTRIBUTION_glitch.csv`; names of
experiments. Out: a run of `toonvid train` for each, which the same command resumes, its engines in
`runs/engines`, its processor time in `runs/NAME/seconds.json`; and the tables of the page.

Every experiment has the same photos, the same art, the same seed and about an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from measure_styles import glitch_frames

SEED = 1


@dataclass(frozen=True)
class Experiment:
    """A run of `toonvid train`: a preset, and what differs from it."""

    preset: str
    """Name of the preset."""
    steps: tuple[int, int]
    """Steps of the initialization and the adversarial phase."""
    settings: tuple[str, ...] = ()
    """Values `name=value`."""


SMALL = ("crop=128", "batch_size=4", "content_network=resnet50")
"""What two cores can do: crops of 128 pixels, four at a time, and the smaller content network."""

EXPERIMENTS = {
    "paper": Experiment("paper", (300, 1_200), SMALL),
    "improved": Experiment("improved", (300, 690), SMALL),
    "cyclegan": Experiment("cyclegan", (0, 780), ("crop=128", "adversarial.learning_rate_schedule=constant")),
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train",):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path, metavar="DATA")
        command.add_argument("names", nargs="+", choices=EXPERIMENTS, metavar="NAME")
        command.add_argument("--content-weights", type=Path, required=True)
        command.add_argument("-o", "--runs", type=Path, default=Path("runs"))
        command.add_argument("--cache", type=Path, help="folder for drawings, shared by all runs")
    options = parser.parse_args()
    for name in options.names:
        train(name, options)


def train(name: str, options: argparse.Namespace) -> None:
    """Train one experiment, or go on with it, and add up its time."""
    experiment, folder = EXPERIMENTS[name], options.runs / name
    first, second = experiment.steps
    settings = (
        *experiment.settings,
        *(f"initialization.steps={first}", f"adversarial.steps={second}", "sheet_every=250"),
    )
    command = [
        *(sys.executable, "-m", "toonvid", "train", "-o", folder, "--preset", experiment.preset),
        *("--photos", options.data / "photos" / "open"),
        *("--cartoons", link_art(options.data, options.runs / "art")),
        *("--holdout", options.data / "photos" / "heldout", "--seed", SEED),
        *("--cache", options.cache or options.runs / "cache"),
        *("--engines", options.runs / "engines", "--style", name),
        *(part for setting in settings for part in ("--set", setting)),
    ]
    if experiment.preset != "cyclegan":
        command += ["--content-weights", options.content_weights]
    print(*command, flush=True)
    started, before = time.monotonic(), os.times()
    done = subprocess.run([str(part) for part in command], check=False)
    after = os.times()
    spent = {
        "wall": time.monotonic() - started,
        "processor": sum(after[2:4]) - sum(before[2:4]),
    }
    add_seconds(folder / "seconds.json", spent)
    if done.returncode:
        sys.exit(done.returncode)


def link_art(data: Path, folder: Path) -> Path:
    """Make a folder with links to the frames of Glitch that are not held out."""
    held_out = {pattern.removeprefix("glitch/") for pattern in glitch_frames(attribution(data))}
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((data / "cartoons" / "glitch").iterdir()):
        link = folder / path.name
        if path.name not in held_out and not link.exists():
            link.symlink_to(path.resolve())
    return folder


def attribution(data: Path) -> Path:
    """The list that names the hub of each frame of Glitch."""
    return data / "ATTRIBUTION_glitch.csv"


def add_seconds(path: Path, spent: dict[str, float]) -> None:
    """Add the time of a run that was resumed to what it took before."""
    total = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: total.get(key, 0.0) + value for key, value in spent.items()}))


if __name__ == "__main__":
    main()

"""Train the generators that docs/research/experiments.md compares.

    python scripts/run_experiments.py train DATA --content-weights FILE -o runs [NAME...]
    python scripts/run_experiments.py time DATA --content-weights FILE -o runs [NAME...]

In: DATA with `photos/{open,more,heldout}`, `cartoons/{glitch,...}` and `ATTRIBUTION_glitch.csv`.
Out: a run of `toonvid train` for each experiment, which the same command resumes, and its engine
in `runs/engines`. `time` measures training steps of each instead, on an otherwise idle machine.
`scripts/measure_experiments.py` compares the engines.

Every experiment has the same photos and seed. Steps are chosen so that each takes about as much
time as the others on an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from measure_styles import held_out_art
from train_styles import STYLES

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
    art: tuple[str, ...] = ("glitch",)
    """Folders of art."""
    begin_with: dict[str, str] = field(default_factory=dict)
    """Option of `toonvid train` -> experiment whose run it names."""
    film: bool = False
    """Whether the art is shown as a film, from which `toonvid train` takes its cartoons."""


SMALL = ("crop=128", "batch_size=4", "content_network=resnet50")
"""What two cores can do: crops of 128 pixels, four at a time, and the smaller content network."""
LAYERED = (
    "blocks=2",
    "mix=true",
    "batch_size=8",
    *STYLES["glitch"].drawing,
    *STYLES["glitch"].look,
    *("look_sharpness=12", "look_flatness=0"),
)
"""`cel` of the size and with the tonal steps that were measured, with eight crops at a time, and
else the drawing and the look of the shipped style `glitch`."""

EXPERIMENTS = {
    "paper": Experiment("paper", (300, 800), (*SMALL, "adversarial.content_weight=2")),
    "improved": Experiment("improved", (300, 460), (*SMALL, "adversarial.content_weight=2")),
    "cyclegan": Experiment(
        "cyclegan", (0, 520), ("crop=128", "adversarial.learning_rate_schedule=constant")
    ),
    "cel": Experiment(
        "cel", (2_300, 900), (*LAYERED, "ema_decay=0.99", "initialization.pixel_only_steps=1000")
    ),
    "distilled": Experiment(
        "distilled",
        (2_300, 900),
        (
            *("generator=cel", "batch_size=8", "frame_heights=288", "ema_decay=0.99"),
            *("look_tones=16", "look_sharpness=1", "look_saturation=1", "look_exposure=1"),
            *("initialization.pixel_only_steps=1000", "initialization.ink_weight=0"),
            *("initialization.equivariance_weight=0", "adversarial.equivariance_weight=0"),
            *("adversarial.ink_weight=0",),
        ),
        begin_with={"--teacher": "paper"},
    ),
    "film": Experiment(
        "cel",
        (0, 400),
        (*LAYERED, "ema_decay=0.99", "adversarial.style_weight=1", "content_network=resnet50"),
        begin_with={"--start-from": "cel"},
        film=True,
    ),
    "paint": Experiment(
        "paint",
        (0, 1_200),
        (
            *(*SMALL, "width=64", "frame_heights=144,192"),
            *("adversarial.pixel_weight=50", "adversarial.learning_rate=4e-4", "ema_decay=0.99"),
        ),
        art=("wiehan",),
    ),
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("train", "time"))
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--content-weights", type=Path, required=True)
    parser.add_argument("-o", "--runs", type=Path, default=Path("runs"))
    parser.add_argument("--cache", type=Path, help="folder for drawings; default: RUNS/cache")
    options = parser.parse_intermixed_args()
    if unknown := set(options.names) - set(EXPERIMENTS):
        parser.error(f"no experiment {min(unknown)}; there are: {', '.join(EXPERIMENTS)}")
    names = options.names or list(EXPERIMENTS)
    for name in names:
        dry_run = ["--dry-run"] if options.command == "time" else []
        toonvid(*training_options(name, options), *dry_run)


def training_options(name: str, options: argparse.Namespace) -> list[str | Path]:
    """Arguments of `toonvid` that train one experiment; its art is prepared where it is missing."""
    experiment = EXPERIMENTS[name]
    first, second = experiment.steps
    steps = (f"initialization.steps={first}", f"adversarial.steps={second}", "sheet_every=250")
    art = link_art(experiment.art, options)
    arguments: list[str | Path] = ["train", "-o", options.runs / name]
    arguments += ["--preset", experiment.preset, "--seed", str(SEED), "--style", name]
    arguments += ["--cartoons", film_of(art) if experiment.film else art]
    if experiment.preset != "paint":
        arguments += ["--photos", options.data / "photos" / "open"]
        arguments += ["--holdout", options.data / "photos" / "heldout"]
        arguments += ["--cache", options.cache or options.runs / "cache"]
    else:
        arguments += ["--holdout", link_art(experiment.art, options, held_out=True)]
    if experiment.preset != "cyclegan":
        arguments += ["--content-weights", options.content_weights]
    for option, other in experiment.begin_with.items():
        arguments += [option, options.runs / other]
    arguments += ["--engines", options.runs / "engines"]
    for setting in (*experiment.settings, *steps):
        arguments += ["--set", setting]
    return arguments


def link_art(names: tuple[str, ...], options: argparse.Namespace, held_out: bool = False) -> Path:
    """Make a folder of links to the art that is, or that is not, held out from training."""
    patterns = held_out_art(options.data)
    folder = options.runs / "art" / ("-".join(names) + ("-heldout" if held_out else ""))
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for path in sorted((options.data / "cartoons" / name).iterdir()):
            kept_out = any(fnmatch(f"{name}/{path.name}", pattern) for pattern in patterns)
            link = folder / path.name
            if kept_out == held_out and not link.is_symlink():
                link.symlink_to(path.resolve())
    return folder


def film_of(art: Path) -> Path:
    """The film of a folder of art, made if it is missing."""
    film = art.with_suffix(".mp4")
    if not film.exists():
        part = art.with_suffix(".part.mp4")
        script = Path(__file__).with_name("make_clips.py")
        subprocess.run([sys.executable, script, art, part], check=True)
        part.rename(film)
    return film


def toonvid(*arguments: str | Path) -> None:
    """Run `toonvid`, and say with what; exit if it fails."""
    print("toonvid", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "toonvid", *map(str, arguments)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

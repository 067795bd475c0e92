"""Train the shipped styles; docs/research/styles.md describes them and their images.

    python scripts/train_styles.py --photos DIR --pepper DIR --wiehan DIR \
        --content-weights FILE -o runs [STYLE...]

In: folders with the same images as those of the shipped styles, which is checked by a hash. Out: a
run for each style, and engines in `runs/engines`. Each style is a run of `toonvid train`, so that
the same command resumes where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from torch import Tensor

from toonvid.engine import DataSource
from trainer.training.state_file import find_state, load_state, save_state

PHOTO_SOURCES = (
    DataSource(
        "nips2017, its CC BY 2.0 part",
        "584 photographers on Flickr, each named in ink.credits.csv",
        "CC-BY-2.0",
        images=905,
    ),
    DataSource(
        "cameras: sample pictures of cameras and phones",
        "not stated by the set",
        "free to use",
        images=172,
    ),
    DataSource("photostream", "not stated by the set", "MIT", images=59),
)


@dataclass(frozen=True)
class Cartoons:
    """Images of one artist, and how they are used."""

    source: DataSource
    """Entry of the engine's card."""
    sha256: str
    """Hash of the folder; see `folder_sha256`."""
    held_out: str
    """Regular expression for the names of images that are not trained on."""
    doubled: str
    """Regular expression for the names of images that are used twice as often."""


@dataclass(frozen=True)
class Recipe:
    """How one style is made: trained, or averaged from other styles."""

    style: str
    """Name of the style."""
    description: str
    """Description on the engine's card."""
    license: str
    """License of the engine."""
    cartoons: Cartoons | None
    """Cartoons of the adversarial phase; None if there is no such phase."""
    start_from: str | None
    """Style whose generator the training starts from; None starts at random."""
    settings: tuple[str, ...] = ()
    """Options of `toonvid train --set`, on top of the preset."""
    preset: str = "lite"
    """Preset of `toonvid train`."""
    averaged: tuple[tuple[str, float], ...] = ()
    """Styles and their shares in a weighted mean of weights; nothing is trained then."""
    contrast: float = 1.0
    """Factor on the contrast of the cartoons, for averaged weights only."""


PHOTOS_SHA256 = "8bc282aeb1584c0e3bbbfe2efdb34e7feb5b6bb135962d3596977c1c69dfb368"

PEPPER = Cartoons(
    DataSource(
        "Pepper&Carrot, panels and covers of episodes 1 to 7, 9 to 18 and 20 to 23",
        "David Revoy",
        "CC-BY-4.0",
        "https://www.peppercarrot.com",
        images=414,
    ),
    sha256="18fefedc43003e4bdfa412c369467f7c92d9f17da3fdd4677de9bc6a861eacfe",
    held_out=r"e(08|19)p",
    doubled=r"e(1\d|2\d)p",  # later episodes have more ink and a more uniform style
)

WIEHAN = Cartoons(
    DataSource(
        "African Storybook, 38 stories with Wiehan de Jager's pictures",
        "Wiehan de Jager",
        "CC-BY",
        "https://www.africanstorybook.org",
        images=338,
    ),
    sha256="7d47c06e1b6fa45b84d4e2584dbea2a49c67695a6014be2fd949225917d2eadd",
    held_out=r"(0072|0115|0202|0289)_",
    doubled=r"$^",
)

STABLE = (
    "initialization.pixel_only_steps=0",
    "initialization.equivariance_weight=600",
    "sheet_every=400",
)
"""Settings of runs that start from trained lines: all losses are used from the first step."""

WITH_CARTOONS = (
    "initialization.steps=0",
    "adversarial.learning_rate_schedule=cosine",
    "adversarial.ink_weight=10",
    "sheet_every=500",
)
"""Settings of runs with cartoons. The ink weight is that of the initialization phase, so that lines
are kept."""

PAPER_LOSSES = (
    "content_target=photo",
    "objective=bce",
    "initialization.steps=500",
    "initialization.pixel_only_steps=0",
    "initialization.pixel_weight=0",
    "initialization.gradient_difference_weight=0",
    "initialization.stability_weight=0",
    "initialization.equivariance_weight=0",
    "initialization.content_weight=10",
    "adversarial.steps=5500",
    "adversarial.learning_rate=4e-4",
    "adversarial.learning_rate_schedule=cosine",
    "adversarial.smoothed_weight=1",
    "adversarial.content_weight=10",
    "adversarial.pixel_weight=0",
    "adversarial.gradient_difference_weight=0",
    "adversarial.color_weight=0",
    "adversarial.stability_weight=0",
    "adversarial.equivariance_weight=0",
    "sheet_every=1000",
)
"""Settings for the losses of the paper with the networks of `lite`, as a baseline."""

RECIPES = {
    recipe.style: recipe
    for recipe in (
        Recipe(
            "ink-lines",
            "First step of ink: bolder lines and colors.",
            "MIT",
            cartoons=None,
            start_from=None,
            settings=("sheet_every=1000",),
        ),
        Recipe(
            "ink-calm",
            "Second step of ink: the same lines, less saturated areas.",
            "MIT",
            cartoons=None,
            start_from="ink-lines",
            settings=(
                *STABLE,
                "initialization.steps=800",
                "initialization.learning_rate=1e-3",
                "initialization.gradient_difference_weight=16",
                "initialization.stability_weight=70",
                "initialization.color_weight=6",
            ),
        ),
        Recipe(
            "ink-settled",
            "Third step of ink: colors closer to the photo's.",
            "MIT",
            cartoons=None,
            start_from="ink-calm",
            settings=(
                *STABLE,
                "initialization.steps=500",
                "initialization.learning_rate=8e-4",
                "initialization.gradient_difference_weight=22",
                "initialization.stability_weight=50",
                "initialization.color_weight=24",
            ),
        ),
        Recipe(
            "ink",
            "A line comic: flat colors in a few tones, and ink at full opacity along the edges.",
            "MIT",
            cartoons=None,
            start_from=None,
            preset="cel",
        ),
        Recipe(
            "manga",
            "Black-and-white manga: ink, white, and grays in shadows.",
            "MIT",
            cartoons=None,
            start_from=None,
            preset="cel",
            settings=(
                "look_saturation=0",
                "look_tones=3",
                "look_exposure=1.6",
                "look_ink=1.1",
            ),
        ),
        Recipe(
            "pepper-palette",
            "First step: the artist's colors, with flicker.",
            "CC-BY-4.0",
            PEPPER,
            start_from="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=2600",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=6",
                "adversarial.gradient_difference_weight=3",
                "adversarial.equivariance_weight=100",
                "adversarial.stability_weight=10",
            ),
        ),
        Recipe(
            "pepper-lively",
            "Second step of pepper: stable edges, colors of the palette.",
            "CC-BY-4.0",
            PEPPER,
            start_from="pepper-palette",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=400",
                "adversarial.learning_rate=3e-4",
                "adversarial.adversarial_weight=6",
                "adversarial.gradient_difference_weight=7",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=18",
            ),
        ),
        Recipe(
            "pepper-strange",
            "Trained by the discriminator mostly: the artist's colors in unusual places.",
            "CC-BY-4.0",
            PEPPER,
            start_from="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=3800",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=6",
                "adversarial.gradient_difference_weight=6",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=24",
            ),
        ),
        Recipe(
            "pepper-drawn",
            "Trained further on drawings in the artist's colors.",
            "CC-BY-4.0",
            PEPPER,
            start_from="pepper-strange",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=1500",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.pixel_weight=3",
                "adversarial.gradient_difference_weight=4",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=24",
                "adversarial.color_weight=0",
                "cartoon_colors=1",
            ),
        ),
        Recipe(
            "pepper",
            "Warm paper, teal shadows and soft paint, after the art of Pepper&Carrot.",
            "CC-BY-4.0",
            PEPPER,
            start_from=None,
            averaged=(("pepper-drawn", 0.25), ("pepper-lively", 0.75)),
            contrast=1.035,
        ),
        Recipe(
            "wiehan-palette",
            "First step: the artist's colors, with flicker.",
            "CC-BY-4.0",
            WIEHAN,
            start_from="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=3000",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.gradient_difference_weight=3",
                "adversarial.equivariance_weight=600",
                "adversarial.stability_weight=45",
                "adversarial.color_weight=0.15",
            ),
        ),
        Recipe(
            "wiehan-lively",
            "Second step of wiehan: sharp, with flicker on dark gray.",
            "CC-BY-4.0",
            WIEHAN,
            start_from="wiehan-palette",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=400",
                "adversarial.learning_rate=3e-4",
                "adversarial.adversarial_weight=5",
                "adversarial.gradient_difference_weight=6",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=70",
                "adversarial.color_weight=0.2",
            ),
        ),
        Recipe(
            "wiehan-strange",
            "Trained by the discriminator mostly: the artist's colors in unusual places.",
            "CC-BY-4.0",
            WIEHAN,
            start_from="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=3800",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=5",
                "adversarial.gradient_difference_weight=6",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=80",
                "adversarial.color_weight=0.15",
            ),
        ),
        Recipe(
            "wiehan-drawn",
            "Trained further on drawings in the artist's colors.",
            "CC-BY-4.0",
            WIEHAN,
            start_from="wiehan-strange",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=1500",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.pixel_weight=3",
                "adversarial.gradient_difference_weight=5",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=60",
                "adversarial.color_weight=0",
                "cartoon_colors=0.6",
            ),
        ),
        Recipe(
            "wiehan",
            "Saturated colors and yellow light, after Wiehan de Jager's picture books.",
            "CC-BY-4.0",
            WIEHAN,
            start_from=None,
            averaged=(("wiehan-drawn", 0.5), ("wiehan-lively", 0.5)),
        ),
        Recipe(
            "pepper-baseline",
            "The generator of pepper trained with the paper's losses, as a baseline.",
            "CC-BY-4.0",
            PEPPER,
            start_from=None,
            settings=PAPER_LOSSES,
        ),
        Recipe(
            "wiehan-baseline",
            "The generator of wiehan trained with the paper's losses, as a baseline.",
            "CC-BY-4.0",
            WIEHAN,
            start_from=None,
            settings=PAPER_LOSSES,
        ),
    )
}


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and the SHA-256 of all JPEG files in a folder, in order of names."""
    files = sorted(folder.rglob("*.jpg"))
    lines = (
        f"{file.relative_to(folder).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for file in files
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(folder: Path, wanted: str) -> None:
    """Exit if a folder does not contain the images that the styles were trained on."""
    if (found := folder_sha256(folder)) != wanted:
        sys.exit(f"{folder} contains other images: its hash is {found}, not {wanted}")


def select(cartoons: Cartoons, folder: Path, target: Path) -> Path:
    """Copy the images of a folder to `target/train`, and those not to train on to `target/held`."""
    for file in sorted(folder.rglob("*.jpg")):
        held = re.match(cartoons.held_out, file.name) is not None
        place = target / ("held" if held else "train")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place / file.name)
        if not held and re.match(cartoons.doubled, file.name):
            shutil.copyfile(file, place / f"again_{file.name}")
    return target / "train"


def run(*arguments: str | Path) -> None:
    """Run `toonvid`; exit if it fails."""
    command = [sys.executable, "-m", "toonvid", *map(str, arguments)]
    print("$ toonvid", *command[3:], flush=True)
    if code := subprocess.run(command).returncode:
        sys.exit(code)


def average(recipe: Recipe, runs: Path, folder: Path) -> None:
    """Create a run whose generator has the weighted mean of the weights of other runs.

    Runs that start from the same weights end in one basin of the loss, and the mean of their
    weights combines their properties (Wortsman et al., "Model Soups", 2022).
    """
    states = [load_state(find_state(runs / name)) for name, _ in recipe.averaged]
    shares = [share for _, share in recipe.averaged]
    emas = [state.values["ema"] for state in states]
    mean = {
        name: sum(share * one[name] for share, one in zip(shares, emas, strict=True))
        if value.is_floating_point()
        else value
        for name, value in emas[0].items()
    }
    scale_contrast(mean, recipe.contrast)
    (folder / "states").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(runs / recipe.averaged[0][0] / "run.json", folder / "run.json")
    save_state(folder / "states", replace(states[0], values=states[0].values | {"ema": mean}))


def scale_contrast(weights: dict[str, Tensor], factor: float) -> None:
    """Change the weights of a `LiteGenerator`, in place, so that its output is multiplied.

    The output, in [-1, 1], is (1 + gain) * photo + offset. A multiple of it has the same form, with
    another gain and another offset.

    Args:
        weights: Weights of the EMA by name.
        factor: Factor on the output.
    """
    for name, constant in (("gain", factor - 1), ("offset", 0.0)):
        weights[f"module.{name}.color.weight"] *= factor
        bias = weights[f"module.{name}.color.bias"]
        weights[f"module.{name}.color.bias"] = bias * factor + constant


def training_arguments(recipe: Recipe, options: argparse.Namespace) -> list[str | Path]:
    """Return the arguments of `toonvid train` for a style, and copy its cartoons into place."""
    runs: Path = options.runs
    arguments: list[str | Path] = ["train", "--preset", recipe.preset, "--photos", options.photos]
    arguments += ["--content-weights", options.content_weights, "--cache", runs / "cache"]
    arguments += ["-o", runs / recipe.style, "--engines", runs / "trials", "--style", recipe.style]
    if options.holdout:
        arguments += ["--holdout", options.holdout]
    if recipe.cartoons:
        artist = recipe.style.partition("-")[0]
        folder: Path = getattr(options, artist)
        check(folder, recipe.cartoons.sha256)
        arguments += ["--cartoons", select(recipe.cartoons, folder, runs / "cartoons" / artist)]
    if recipe.start_from:
        arguments += ["--start-from", runs / recipe.start_from]
    for setting in recipe.settings:
        arguments += ["--set", setting]
    return arguments


def train(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train or average one style, and export its engine to `runs/engines`."""
    runs: Path = options.runs
    folder = runs / recipe.style
    if recipe.averaged:
        average(recipe, runs, folder)
    else:
        run(*training_arguments(recipe, options))

    sources = (*PHOTO_SOURCES, *([recipe.cartoons.source] if recipe.cartoons else []))
    credits = folder / "credits.json"
    credits.write_text(json.dumps(msgspec.to_builtins(sources)), encoding="utf-8")
    words = ("--description", recipe.description, "--license", recipe.license)
    given = ("--credits", credits, "--calibration", options.photos)
    run("export", folder, "--style", recipe.style, "-o", runs / "engines", *words, *given)


def main() -> None:
    """Train the styles that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("styles", nargs="*", choices=[*RECIPES, []], metavar="STYLE")
    for name in ("photos", "pepper", "wiehan", "content-weights"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--holdout", type=Path, help="folder of photos for contact sheets")
    parser.add_argument("-o", dest="runs", type=Path, required=True)
    options = parser.parse_args()
    check(options.photos, PHOTOS_SHA256)
    for style in options.styles or RECIPES:
        train(RECIPES[style], options)


main()

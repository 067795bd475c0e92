"""Train the styles that ship, from folders with the same pictures: docs/styles.md tells of them.

    python scripts/train_styles.py --photos DIR --pepper DIR --wiehan DIR \
        --content-weights FILE -o runs [STYLE...]

Each style is one run of `toonvid train`, so that the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from toonvid.engine import DataSource
from trainer.training_state import find_state, load_state, save_state

PHOTO_SOURCES = (
    DataSource(
        "nips2017, its CC BY 2.0 part",
        "584 photographers on Flickr, each named in ink.credits.csv",
        "CC-BY-2.0",
        pictures=905,
    ),
    DataSource(
        "cameras: sample pictures of cameras and phones",
        "not stated by the set",
        "free to use",
        pictures=172,
    ),
    DataSource("photostream", "not stated by the set", "MIT", pictures=59),
)


@dataclass(frozen=True)
class Cartoons:
    """One artist's pictures, and which of them train."""

    source: DataSource
    sha256: str
    """Of the folder; see `folder_sha256`."""
    held_out: str
    """Regular expression of the names that only judge."""
    doubled: str
    """Of those that come twice as often."""


@dataclass(frozen=True)
class Recipe:
    """What one style is made of."""

    style: str
    description: str
    licence: str
    cartoons: Cartoons | None
    begins_with: str | None
    """The style whose generator it begins with."""
    settings: tuple[str, ...] = ()
    """Options of `toonvid train`, beside the preset."""
    preset: str = "lite"
    mixed: tuple[tuple[str, float], ...] = ()
    """Styles whose weights it is the mean of, and their shares: nothing is trained then."""
    contrast: float = 1.0
    """What the cartoons' contrast is multiplied by at the end, where weights are a mean."""


PHOTOS_SHA256 = "8bc282aeb1584c0e3bbbfe2efdb34e7feb5b6bb135962d3596977c1c69dfb368"

PEPPER = Cartoons(
    DataSource(
        "Pepper&Carrot, panels and covers of episodes 1 to 7, 9 to 18 and 20 to 23",
        "David Revoy",
        "CC-BY-4.0",
        "https://www.peppercarrot.com",
        pictures=414,
    ),
    sha256="18fefedc43003e4bdfa412c369467f7c92d9f17da3fdd4677de9bc6a861eacfe",
    held_out=r"e(08|19)p",
    doubled=r"e(1\d|2\d)p",  # later episodes are inkier and more alike
)

WIEHAN = Cartoons(
    DataSource(
        "African Storybook, 38 stories with Wiehan de Jager's pictures",
        "Wiehan de Jager",
        "CC-BY",
        "https://www.africanstorybook.org",
        pictures=338,
    ),
    sha256="7d47c06e1b6fa45b84d4e2584dbea2a49c67695a6014be2fd949225917d2eadd",
    held_out=r"(0072|0115|0202|0289)_",
    doubled=r"$^",
)

CALM = (
    "initialization.pixel_only_steps=0",
    "initialization.equivariance_weight=600",
    "sheet_every=400",
)
"""Of what follows the lines: all losses count from the first step on."""

WITH_CARTOONS = (
    "initialization.steps=0",
    "adversarial.fall=cosine",
    "adversarial.ink_weight=10",
    "sheet_every=500",
)
"""Ink counts as when lines were learned, so that it stays."""

PAPERS_LOSSES = (
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
    "adversarial.fall=cosine",
    "adversarial.smoothed_weight=1",
    "adversarial.content_weight=10",
    "adversarial.pixel_weight=0",
    "adversarial.gradient_difference_weight=0",
    "adversarial.colour_weight=0",
    "adversarial.stability_weight=0",
    "adversarial.equivariance_weight=0",
    "sheet_every=1000",
)
"""The same networks trained as the paper trains its own: what a style is measured against."""

RECIPES = {
    recipe.style: recipe
    for recipe in (
        Recipe(
            "ink-lines",
            "Before it calms down: bolder lines and colours.",
            "MIT",
            cartoons=None,
            begins_with=None,
            settings=("sheet_every=1000",),
        ),
        Recipe(
            "ink-calm",
            "Lines stay; areas are not more colourful than the photo's by so much.",
            "MIT",
            cartoons=None,
            begins_with="ink-lines",
            settings=(
                *CALM,
                "initialization.steps=800",
                "initialization.learning_rate=1e-3",
                "initialization.gradient_difference_weight=16",
                "initialization.stability_weight=70",
                "initialization.colour_weight=6",
            ),
        ),
        Recipe(
            "ink-settled",
            "The same once more, and nearer to the photo's colours.",
            "MIT",
            cartoons=None,
            begins_with="ink-calm",
            settings=(
                *CALM,
                "initialization.steps=500",
                "initialization.learning_rate=8e-4",
                "initialization.gradient_difference_weight=22",
                "initialization.stability_weight=50",
                "initialization.colour_weight=24",
            ),
        ),
        Recipe(
            "ink",
            "A line comic: flat colors in a few tones, and ink at full opacity along the edges.",
            "MIT",
            cartoons=None,
            begins_with=None,
            preset="cel",
        ),
        Recipe(
            "pepper-palette",
            "The artist's colours, which flicker.",
            "CC-BY-4.0",
            PEPPER,
            begins_with="ink-lines",
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
            "Edges hold still; colours are the palette's.",
            "CC-BY-4.0",
            PEPPER,
            begins_with="pepper-palette",
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
            "As the discriminator has it: the artist's colours in strange places.",
            "CC-BY-4.0",
            PEPPER,
            begins_with="ink-lines",
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
            "Brought back to drawings in the artist's colours.",
            "CC-BY-4.0",
            PEPPER,
            begins_with="pepper-strange",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=1500",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.pixel_weight=3",
                "adversarial.gradient_difference_weight=4",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=24",
                "adversarial.colour_weight=0",
                "cartoon_colours=1",
            ),
        ),
        Recipe(
            "pepper",
            "Warm paper, teal shadows and soft paint, after the art of Pepper&Carrot.",
            "CC-BY-4.0",
            PEPPER,
            begins_with=None,
            mixed=(("pepper-drawn", 0.25), ("pepper-lively", 0.75)),
            contrast=1.035,
        ),
        Recipe(
            "wiehan-palette",
            "The artist's colours, which flicker.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=3000",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.gradient_difference_weight=3",
                "adversarial.equivariance_weight=600",
                "adversarial.stability_weight=45",
                "adversarial.colour_weight=0.15",
            ),
        ),
        Recipe(
            "wiehan-lively",
            "Crisp, and too lively on dark grey.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with="wiehan-palette",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=400",
                "adversarial.learning_rate=3e-4",
                "adversarial.adversarial_weight=5",
                "adversarial.gradient_difference_weight=6",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=70",
                "adversarial.colour_weight=0.2",
            ),
        ),
        Recipe(
            "wiehan-strange",
            "As the discriminator has it: the artist's colours in strange places.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with="ink-lines",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=3800",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=5",
                "adversarial.gradient_difference_weight=6",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=80",
                "adversarial.colour_weight=0.15",
            ),
        ),
        Recipe(
            "wiehan-drawn",
            "Brought back to drawings in the artist's colours.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with="wiehan-strange",
            settings=(
                *WITH_CARTOONS,
                "adversarial.steps=1500",
                "adversarial.learning_rate=4e-4",
                "adversarial.adversarial_weight=4",
                "adversarial.pixel_weight=3",
                "adversarial.gradient_difference_weight=5",
                "adversarial.equivariance_weight=400",
                "adversarial.stability_weight=60",
                "adversarial.colour_weight=0",
                "cartoon_colours=0.6",
            ),
        ),
        Recipe(
            "wiehan",
            "Saturated colours and yellow light, after Wiehan de Jager's picture books.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with=None,
            mixed=(("wiehan-drawn", 0.5), ("wiehan-lively", 0.5)),
        ),
        Recipe(
            "pepper-baseline",
            "The generator of pepper trained with the paper's losses: to compare with.",
            "CC-BY-4.0",
            PEPPER,
            begins_with=None,
            settings=PAPERS_LOSSES,
        ),
        Recipe(
            "wiehan-baseline",
            "The generator of wiehan trained with the paper's losses: to compare with.",
            "CC-BY-4.0",
            WIEHAN,
            begins_with=None,
            settings=PAPERS_LOSSES,
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
    """Stop when a folder does not hold the pictures that the styles were trained on."""
    if (found := folder_sha256(folder)) != wanted:
        sys.exit(f"{folder} holds other pictures: its hash is {found}, not {wanted}")


def select(cartoons: Cartoons, folder: Path, target: Path) -> Path:
    """Copy a folder's pictures to `target/train` and, those that only judge, `target/held`."""
    for file in sorted(folder.rglob("*.jpg")):
        held = re.match(cartoons.held_out, file.name) is not None
        place = target / ("held" if held else "train")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place / file.name)
        if not held and re.match(cartoons.doubled, file.name):
            shutil.copyfile(file, place / f"again_{file.name}")
    return target / "train"


def run(*arguments: str | Path) -> None:
    """Run `toonvid`; stop when it fails."""
    command = [sys.executable, "-m", "toonvid", *map(str, arguments)]
    print("$ toonvid", *command[3:], flush=True)
    if code := subprocess.run(command).returncode:
        sys.exit(code)


def mix(recipe: Recipe, runs: Path, folder: Path) -> None:
    """Make a run whose generator has the weighted mean of other runs' weights.

    Runs that begin with the same weights lie in one valley, and what lies between them has
    something of both (Wortsman et al., "Model Soups", 2022).
    """
    states = [load_state(find_state(runs / name)) for name, _ in recipe.mixed]
    shares = [share for _, share in recipe.mixed]
    means = [state.values["mean"] for state in states]
    mean = {
        name: sum(share * one[name] for share, one in zip(shares, means, strict=True))
        if value.is_floating_point()
        else value
        for name, value in means[0].items()
    }
    raise_contrast(mean, recipe.contrast)
    (folder / "states").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(runs / recipe.mixed[0][0] / "run.json", folder / "run.json")
    save_state(folder / "states", replace(states[0], values=states[0].values | {"mean": mean}))


def raise_contrast(weights: dict[str, Tensor], by: float) -> None:
    """Have a `LiteGenerator` multiply its cartoons, in [-1, 1], by a number.

    A cartoon is (1 + gain) * photo + offset: `by` times that is another gain and another offset.
    """
    for name, constant in (("gain", by - 1), ("offset", 0.0)):
        weights[f"module.{name}.colour.weight"] *= by
        bias = weights[f"module.{name}.colour.bias"]
        weights[f"module.{name}.colour.bias"] = bias * by + constant


def training_arguments(recipe: Recipe, options: argparse.Namespace) -> list[str | Path]:
    """What `toonvid` is called with to train one style; its cartoons are laid out."""
    runs: Path = options.runs
    arguments: list[str | Path] = ["train", "--preset", recipe.preset, "--photos", options.photos]
    arguments += ["--content-weights", options.content_weights, "--cache", runs / "cache"]
    arguments += ["-o", runs / recipe.style, "--engines", runs / "trials", "--style", recipe.style]
    if options.holdout:
        arguments += ["--holdout", options.holdout]
    if recipe.cartoons:
        artist = recipe.style.partition("-")[0]
        given: Path = getattr(options, artist)
        check(given, recipe.cartoons.sha256)
        arguments += ["--cartoons", select(recipe.cartoons, given, runs / "cartoons" / artist)]
    if recipe.begins_with:
        arguments += ["--start-from", runs / recipe.begins_with]
    for setting in recipe.settings:
        arguments += ["--set", setting]
    return arguments


def train(recipe: Recipe, options: argparse.Namespace) -> None:
    """Make one style and export its engine to `runs/engines`."""
    runs: Path = options.runs
    folder = runs / recipe.style
    if recipe.mixed:
        mix(recipe, runs, folder)
    else:
        run(*training_arguments(recipe, options))

    sources = (*PHOTO_SOURCES, *([recipe.cartoons.source] if recipe.cartoons else []))
    credits = folder / "credits.json"
    credits.write_text(json.dumps([asdict(source) for source in sources]), encoding="utf-8")
    words = ("--description", recipe.description, "--licence", recipe.licence)
    given = ("--credits", credits, "--calibration", options.photos)
    run("export", folder, "--style", recipe.style, "-o", runs / "engines", *words, *given)


def main() -> None:
    """Train the styles that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("styles", nargs="*", choices=[*RECIPES, []], metavar="STYLE")
    for name in ("photos", "pepper", "wiehan", "content-weights"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--holdout", type=Path, help="photos for the contact sheets alone")
    parser.add_argument("-o", dest="runs", type=Path, required=True)
    options = parser.parse_args()
    check(options.photos, PHOTOS_SHA256)
    for style in options.styles or RECIPES:
        train(RECIPES[style], options)


main()

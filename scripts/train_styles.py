"""Train and export the shipped styles; docs/research/styles.md describes them and their pictures.

    python scripts/train_styles.py train --photos DIR --cartoons DIR -o runs [STYLE...]
    python scripts/train_styles.py export --photos DIR -o runs --engines engines [STYLE...]

In: photos, and a folder with `glitch/`, `storybook/` and `pepper/`. Out: a run of `toonvid train`
for each style, which the same command resumes, and engines. `ink` is trained first; the others
begin with its generator. `manga` and `poster` are `ink` with another look, and need no training.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from toonvid.engine import DataSource
from trainer.config import TrainConfig, change_config
from trainer.training.run_folder import RunRecord

PHOTOS = (
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
    DataSource(
        "frames of the clips butterfly and bee",
        "Flutter documentation assets",
        "CC0-1.0",
        "https://github.com/flutter/assets-for-api-docs",
        images=52,
    ),
    DataSource(
        "frames of the clips car-detection, one-by-one-person-detection and person_asl",
        "Intel sample videos",
        "CC-BY-4.0",
        "https://github.com/intel-iot-devkit/sample-videos",
        images=96,
    ),
)

GLITCH = DataSource(
    "Glitch, backgrounds of the game; hubs 64, 71, 88 and 116 left out",
    "Tiny Speck",
    "CC0-1.0",
    images=110,
)
STORYBOOK = DataSource(
    "African Storybook; stories 0014, 0121, 0216, 0235 and 0311 left out",
    "15 illustrators, each named in storybook.credits.csv",
    "CC-BY",
    "https://www.africanstorybook.org",
    images=110,
)
PEPPER = DataSource(
    "Pepper&Carrot, panels and covers; episodes 8 and 19 left out",
    "David Revoy",
    "CC-BY-4.0",
    "https://www.peppercarrot.com",
    images=110,
)


@dataclass(frozen=True)
class Style:
    """A style: how its generator is trained, and how its layers are composed."""

    title: str
    """Title on the card."""
    description: str
    """Description on the card."""
    look: tuple[str, ...]
    """Options `look_*`, which change no weight."""
    license: str = "MIT"
    """License of the engine."""
    cartoons: DataSource | None = None
    """Art of the adversarial phase, in the folder of the style's name; None: no such phase."""
    drawing: tuple[str, ...] = ()
    """Options that change the drawing."""
    trained: bool = True
    """Whether the style has weights of its own; False: those of `ink`."""


STYLES = {
    "ink": Style(
        "Ink",
        "A line comic: flat colors in a few tones, and ink at full opacity along the edges.",
        look=(
            "look_tones=5",
            "look_sharpness=30",
            "look_flatness=0.045",
            "look_saturation=1.3",
            "look_exposure=1.15",
            "look_ink=1.5",
            "look_ink_color=1c110e",
        ),
    ),
    "manga": Style(
        "Manga",
        "Black-and-white manga: ink, white, and grays in shadows.",
        look=(
            "look_saturation=0",
            "look_tones=3",
            "look_sharpness=24",
            "look_flatness=0.05",
            "look_exposure=1.6",
            "look_ink=1.5",
        ),
        trained=False,
    ),
    "poster": Style(
        "Poster",
        "A screen print in four inks: navy, teal, red and cream.",
        look=(
            "look_tones=4",
            "look_sharpness=16",
            "look_flatness=0.05",
            "look_exposure=1.15",
            "look_ink=1.5",
            "look_ink_color=0a2338",
            "look_palette=0a2a43,0f4c6b,d2382f,8fb8b0,fbe6bb",
            "look_palette_share=0.9",
        ),
        trained=False,
    ),
    "glitch": Style(
        "Glitch",
        "A painted background of an animated film: hard-edged color without lines.",
        look=(
            "look_ink=0",
            "look_tones=5",
            "look_sharpness=24",
            "look_flatness=0.025",
            "look_saturation=2.2",
            "look_exposure=1.05",
            "look_ink_color=33204d",
            "look_palette=1b1040,5a3d8c,3fa89a,e8d86a,fff6d8",
            "look_palette_share=0.18",
        ),
        cartoons=GLITCH,
        drawing=("cartoon_colors=0.7", "color_rounding=3"),
    ),
    "storybook": Style(
        "Storybook",
        "A picture book: bold outlines and bright flat fills.",
        license="CC-BY-4.0",
        look=(
            "look_tones=3",
            "look_sharpness=32",
            "look_flatness=0.05",
            "look_saturation=1.6",
            "look_exposure=1.2",
            "look_ink=1.5",
            "look_ink_color=170a05",
            "look_palette=3a1a10,b5532a,f2a93b,ffe2a0,fff8f0",
            "look_palette_share=0.08",
        ),
        cartoons=STORYBOOK,
        drawing=("cartoon_colors=0.5", "ink_growth=1", "color_rounding=2"),
    ),
    "pepper": Style(
        "Pepper",
        "Brown lines over soft paint on warm paper, after David Revoy's Pepper&Carrot.",
        license="CC-BY-4.0",
        look=(
            "look_tones=8",
            "look_sharpness=6",
            "look_flatness=0.03",
            "look_saturation=1.0",
            "look_exposure=1.1",
            "look_ink=1.4",
            "look_ink_color=2c130a",
            "look_palette=12262b,2f5f5e,a98f66,ecd9a8,fff7e3",
            "look_palette_share=0.3",
        ),
        cartoons=PEPPER,
        drawing=("cartoon_colors=0.6",),
    ),
}

TRAINING = (
    *("batch_size=32", "content_images=10", "ema_decay=0.998"),
    *("initialization.learning_rate=1e-3", "initialization.stability_weight=0.5"),
    *("initialization.warmup_steps=200", "initialization.pixel_only_steps=0"),
    *("adversarial.stability_weight=0.5", "adversarial.adversarial_weight=0.25"),
)
"""Options of all trained styles, beside the preset `cel`."""
FIRST_STEPS = 24_000
"""Steps of `ink` from random weights."""
NEXT_STEPS = (2_000, 1_200)
"""Steps of the initialization and the adversarial phase of the styles that begin with `ink`."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "export"):
        command = commands.add_parser(name)
        command.add_argument("--photos", type=Path, required=True)
        command.add_argument("-o", "--runs", type=Path, default=Path("runs"))
        command.add_argument("styles", nargs="*", metavar="STYLE", help=", ".join(STYLES))
        if name == "train":
            command.add_argument("--cartoons", type=Path, required=True)
        else:
            command.add_argument("--engines", type=Path, default=Path("engines"))
    options = parser.parse_args()
    if unknown := set(options.styles) - set(STYLES):
        parser.error(f"no style {min(unknown)}; there are: {', '.join(STYLES)}")
    for name in options.styles or STYLES:
        if options.command == "export":
            export(name, options)
        elif STYLES[name].trained:
            train(name, options)


def train(name: str, options: argparse.Namespace) -> None:
    """Train one style, or go on with it."""
    style = STYLES[name]
    first, second = (FIRST_STEPS, 0) if name == "ink" else NEXT_STEPS
    settings = (*TRAINING, *style.drawing, *style.look)
    steps = (f"initialization.steps={first}", f"adversarial.steps={second}")
    run(
        *("train", "-o", options.runs / name, "--preset", "cel", "--photos", options.photos),
        *(["--cartoons", options.cartoons / name] if style.cartoons else []),
        *(["--start-from", options.runs / "ink"] if name != "ink" else []),
        *("--engines", options.runs / "engines"),
        *set_options((*settings, *steps)),
    )


def export(name: str, options: argparse.Namespace) -> None:
    """Export one style; a style without weights of its own is a copy of the run of `ink`."""
    style, folder = STYLES[name], options.runs / name
    if not style.trained:
        shutil.copytree(options.runs / "ink", folder, dirs_exist_ok=True)
    change_look(folder / "run.json", style)
    sources = (*PHOTOS, *([style.cartoons] if style.cartoons else []))
    credits = folder / "credits.json"
    credits.write_bytes(msgspec.json.encode(sources))
    run(
        *("export", folder, "--style", name, "-o", options.engines, "--title", style.title),
        *("--description", style.description, "--license", style.license),
        *("--credits", credits, "--calibration", options.photos, "--overwrite"),
    )


def change_look(path: Path, style: Style) -> None:
    """Give the record of a run the look of a style; its weights are good for every look."""
    values = json.loads(path.read_text())
    config = change_config(TrainConfig.from_values(values.pop("config")), default_look())
    record = RunRecord(config=change_config(config, style.look), **values)
    path.write_text(json.dumps(asdict(record), indent=2))


def default_look() -> Iterator[str]:
    """Settings of the default of each option `look_*`."""
    for field in TrainConfig.__dataclass_fields__.values():
        if field.name.startswith("look_"):
            yield f"{field.name}={'' if field.default == () else field.default}"


def set_options(settings: tuple[str, ...]) -> list[str]:
    """Arguments of `toonvid train` for settings `name=value`."""
    return [part for setting in settings for part in ("--set", setting)]


def run(*arguments: str | Path) -> None:
    """Run `toonvid`; exit if it fails."""
    done = subprocess.run([sys.executable, "-m", "toonvid", *map(str, arguments)])
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

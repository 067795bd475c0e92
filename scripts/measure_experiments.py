"""Compare the engines that `scripts/run_experiments.py` has trained.

    python scripts/measure_experiments.py table DATA --content-weights FILE -o runs
    python scripts/measure_experiments.py curves DATA -o runs --images docs/images
    python scripts/measure_experiments.py sheets DATA -o runs --images docs/images --clips CLIPS

In: the runs, the data that they were trained with, and a folder of clips. Out: `table` prints the
table of docs/research/experiments.md, and keeps what `toonvid evaluate` measured in
`runs/table.json`; `curves` and `sheets` draw its pictures. `curves` needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from draw_images import fill_cell, read_frames, stylize
from measure_styles import classifier_options
from run_experiments import EXPERIMENTS

from toonvid.backends import open_backend
from toonvid.engine import EngineCard, read_engine
from toonvid.video import Pixels
from toonvid.writing.contact_sheet import contact_sheet, labelled
from trainer.data.images import find_images, read_image, resize_to
from trainer.data.line_art import draw_line_art

COMPARED = ("paper", "improved", "cyclegan", "cel", "distilled", "film")
"""Experiments whose engines make cartoons of photos, in the order of the table."""
CROPS, WHOLE_PHOTOS = 400, 200
"""Amounts that `toonvid evaluate` measures."""

FRAMES = {
    "person_asl_480p_noaudio.mkv": 40,
    "one-by-one-person-detection.mp4": 150,
    "swans_720p.mp4": 5,
    "bee_720p.mp4": 60,
}
"""Clip -> index of a frame, from 0."""
HEIGHT = 288
"""Height in pixels at which frames are stylized: about that of the photos in training."""
CELL = (320, 180)
"""Width and height of a picture on a sheet."""
PAGES = 5
"""Number of held-out pictures that are drawn and painted."""
SMOOTH = 4
"""Number of lines of the log, one every 25 steps, that a point of a curve is the mean of."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("table", "curves", "sheets"))
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("-o", "--runs", type=Path, default=Path("runs"))
    parser.add_argument("--content-weights", type=Path, help="for table")
    parser.add_argument("--clips", type=Path, help="for sheets")
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    needed = {"table": "content_weights", "sheets": "clips"}.get(options.command)
    if needed and not getattr(options, needed):
        parser.error(f"{options.command} needs --{needed.replace('_', '-')}")
    {"table": print_table, "curves": draw_curves, "sheets": draw_sheets}[options.command](options)


def print_table(options: argparse.Namespace) -> None:
    """Measure the engines on held-out photos and art, and print a table in Markdown."""
    found = evaluate(options)
    (options.runs / "table.json").write_text(json.dumps(found, indent=1))
    print(
        "| | steps | to art: FID, KID | to photos: FID, KID | cartoon share | content | change | "
        "parameters | multiply-adds per pixel | memory, MB | SHA-256 |"
    )
    print("|---" * 11 + "|")
    own = found["photos_to_cartoons"]
    share = found["photos_whole"]["cartoon_share"]
    print(f"| photos | | {distance(own)} | | {share:.0%} | 1.00 | 0 | | | | |")
    for engine in found["engines"]:
        print("| " + " | ".join(row(engine, options)) + " |")
    classifier = found["classifier"]
    print(
        f"\nThe classifier is right on {classifier['art_accuracy']:.1%} of "
        f"{classifier['held_out_art']} held-out images of art and on "
        f"{classifier['photo_accuracy']:.1%} of the photos."
    )


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Run `toonvid evaluate` on all engines, with the art that they were trained with."""
    data, art = options.data, options.runs / "art" / "glitch"
    command = [sys.executable, "-m", "toonvid", "evaluate", "--json"]
    command += [str(card_path(name, options)) for name in COMPARED]
    command += ["--photos", str(data / "photos" / "heldout"), "--cartoons", str(art)]
    command += ["--content-weights", str(options.content_weights), "--precision", "bf16"]
    command += ["--crops", str(CROPS), "--whole-photos", str(WHOLE_PHOTOS)]
    command += classifier_options(data)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(engine: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Cells of an engine's row."""
    name = engine["style"]
    card = read_card(name, options)
    memory = max(line["memory_mb"] for line in read_log(name, options))
    first, second = EXPERIMENTS[name].steps
    return [
        f"`{name}`",
        f"{first} + {second:,}",
        distance(engine["to_cartoons"]),
        distance(engine["to_photos"]),
        f"{engine['whole']['cartoon_share']:.0%}",
        f"{engine['content_similarity']:.2f}",
        f"{engine['change']:.0f}",
        f"{card.parameters / 1e6:.2f} million",
        f"{card.multiply_adds_per_pixel / 1e3:,.1f} thousand",
        f"{memory:,.0f}",
        f"`{card.sha256[card.file_name('f32')][:8]}`",
    ]


def distance(found: dict[str, Any]) -> str:
    """FID, and KID times 1,000 with its standard error where it is known, as one cell."""
    value, spread = found["kernel"]["value"], found["kernel"]["spread"]
    error = "" if spread is None else f" ± {1000 * spread:.1f}"
    return f"{found['frechet']:.0f}, {1000 * value:.1f}{error}"


def draw_curves(options: argparse.Namespace) -> None:
    """Draw the losses of the adversarial phase of each run, over its steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(14, 6), layout="constrained")
    for axis, name in zip(axes.flat, EXPERIMENTS, strict=False):
        lines = [line for line in read_log(name, options) if line["phase"] == "adversarial"]
        for loss in sorted({key for line in lines for key in line} - NOT_LOSSES):
            points = [(line["step"], line[loss]) for line in lines if loss in line]
            steps, values = np.array(points).T
            kept = min(SMOOTH, len(values))
            mean = np.convolve(values, np.full(kept, 1 / kept), "valid")
            axis.plot(steps[kept - 1 :], mean, label=loss.replace("_", " "))
        axis.set_title(name)
        axis.set_yscale("log")
        axis.legend(fontsize="x-small")
    for axis in axes.flat[len(EXPERIMENTS) :]:
        axis.remove()
    figure.savefig(options.images / "experiments-curves.svg")


NOT_LOSSES = {
    *("step", "phase", "learning_rate", "images_per_second", "memory_mb"),
    *("levels_from_photo", "levels_deviation"),
}
"""What else a line of a run's log has."""


def draw_sheets(options: argparse.Namespace) -> None:
    """Draw frames of clips in every style, and line art as it is painted."""
    clips = [read_frames(options.clips / clip, (index,)) for clip, index in FRAMES.items()]
    frames = [resize_to(frame, HEIGHT) for [frame] in clips]
    columns = [frames] + [stylize_all(name, frames, options) for name in COMPARED]
    labels = ("source", *COMPARED)
    rows = [[fill_cell(column[line], CELL) for column in columns] for line in range(len(frames))]
    rows[0] = [labelled(cell, label) for cell, label in zip(rows[0], labels, strict=True)]
    cells = [cell for row in rows for cell in row]
    write(options.images / "experiments.jpg", contact_sheet(cells, len(columns)))

    held_out = find_images(options.runs / "art" / "wiehan-heldout", "art")
    chosen = held_out[:: -(-len(held_out) // PAGES)]
    art = [resize_to(read_image(path), 256) for path in chosen]
    lines = [draw_line_art(picture) for picture in art]
    rows = (lines, stylize_all("paint", lines, options), art)
    cells = [fill_cell(picture, CELL) for pictures in rows for picture in pictures]
    write(options.images / "experiments-paint.jpg", contact_sheet(cells, len(art)))
    print("painted:", *(path.name for path in chosen))


def stylize_all(name: str, images: list[Pixels], options: argparse.Namespace) -> list[Pixels]:
    """Stylize images, (H, W, 3) uint8 RGB, by the engine of an experiment, in float32."""
    with open_backend(read_engine(card_path(name, options)), precision="f32") as backend:
        return [stylize(backend, np.ascontiguousarray(image)) for image in images]


def write(path: Path, sheet: Pixels) -> None:
    """Write a sheet as JPEG."""
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def card_path(name: str, options: argparse.Namespace) -> Path:
    """Path of an experiment's card."""
    path: Path = options.runs / "engines" / f"{name}.json"
    return path


def read_card(name: str, options: argparse.Namespace) -> EngineCard:
    """The card of an experiment's engine."""
    return read_engine(card_path(name, options)).card


def read_log(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    path = options.runs / name / "stats.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()

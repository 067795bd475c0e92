"""Measure the shipped styles by `toonvid evaluate`, as docs/research/styles.md prints them.

    python scripts/measure_styles.py DATA --content-weights FILE [--clips FOLDER] [--style STYLE]...

In: DATA with the folders `cartoons/HAND` and `photos/{open,more,heldout}`, and
`ATTRIBUTION_glitch.csv`, which names the hub of each frame of Glitch; a folder of clips; names of
styles or paths of engines. Options that are not known here go to `toonvid evaluate`. Out: its
tables.

This script knows nothing but which images are held out from training.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

from toonvid.engine import list_engines

HELD_OUT = (
    *(f"storybook/{story}_*" for story in ("0014", "0121", "0216", "0235", "0311")),
    "bookdash/sindi-and-the-moon*",
    *("pepper/e08*", "pepper/e19*"),
    *(f"wiehan/{story}_*" for story in ("0072", "0115", "0202", "0289")),
)
"""Art that no style was trained on, and that the cartoon classifier is tested with."""
HELD_OUT_HUBS = ("64", "71", "88", "116")
"""Regions of Glitch that are held out; its file names do not have them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--style", action="append", help="default: all that ship")
    parser.add_argument("--content-weights", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="folder of videos; without it, no flicker")
    options, further = parser.parse_known_args()
    command = [sys.executable, "-m", "toonvid", "evaluate", *further]
    command += options.style or [engine.card.style for engine in list_engines()]
    command += ["--photos", str(options.data / "photos" / "heldout")]
    command += ["--content-weights", str(options.content_weights)]
    command += classifier_options(options.data)
    for clip in sorted(options.clips.iterdir()) if options.clips else ():
        command += ["--video", str(clip)]
    sys.exit(subprocess.run(command, check=False).returncode)


def classifier_options(data: Path) -> list[str]:
    """Return the options of `toonvid evaluate` for the cartoon classifier."""
    command = []
    for folder in sorted((data / "cartoons").iterdir()):
        command += ["--art", str(folder)]
    for name in ("open", "more"):
        command += ["--art-photos", str(data / "photos" / name)]
    for pattern in held_out_art(data):
        command += ["--held-out", pattern]
    return command


def held_out_art(data: Path) -> tuple[str, ...]:
    """Return the patterns of all art that is held out, as `FOLDER/FILE`."""
    return (*HELD_OUT, *glitch_frames(data / "ATTRIBUTION_glitch.csv"))


def glitch_frames(attribution: Path) -> list[str]:
    """Return the patterns of the held-out frames of Glitch."""
    with attribution.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [f"glitch/{row['file']}" for row in rows if row["hub"] in HELD_OUT_HUBS]


if __name__ == "__main__":
    main()

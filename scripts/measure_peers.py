"""Time other programs' networks beside a shipped style, by turns, on one frame.

    python scripts/measure_peers.py whitebox=WHITEBOX.onnx cartoongan=CARTOONGAN.onnx --rounds 3

In: for each network the name of its family (`toonvid styles add --help` lists them) and its ONNX
file. Nothing is fetched; a file that is not there is skipped. Out: a table with the multiply-adds
per pixel, the time of a frame, and the ratio of both times in each turn: the median, and the lowest
and highest.

Both run in OpenVINO on the CPU: the network in float32, as its file is, the style in its fastest
precision. Reading and writing a video is not part of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from toonvid.backends import Backend, open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.choices import FamilyName
from toonvid.engine import DEFAULT_STYLE, Engine, find_engine
from toonvid.importing.families import FAMILIES
from toonvid.importing.import_style import ImportOptions, import_style
from toonvid.importing.read_candidate import read_candidate
from toonvid.stylizing.stylizer import pad_to_multiple
from toonvid.video import Pixels


def main() -> None:
    """Import each network into a temporary folder, and time it beside the style."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("peers", nargs="+", metavar="FAMILY=FILE")
    parser.add_argument("--style", default=DEFAULT_STYLE)
    parser.add_argument("--size", default="1280x720", metavar="WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=3, help="turns, after one that is dropped")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    frames = draw_scene(width, height, 3.5)[None]
    table = Table("network", "multiply-adds a pixel", "s a frame", "style, s a frame", "ratio")
    with open_backend(find_engine(options.style), "openvino") as style:
        for peer in options.peers:
            family, _, name = peer.partition("=")
            path = Path(name)
            if family not in FAMILIES:
                parser.error(f"{family} is no family: {', '.join(FAMILIES)}")
            if not path.is_file():
                table.add_row(f"{family}: {path} is not there, skipped")
                continue
            table.add_row(family, *measure(path, family, style, frames, options.rounds))
    Console().print(table)


def measure(
    path: Path, family: FamilyName, style: Backend, frames: Pixels, rounds: int
) -> tuple[str, ...]:
    """Return the cells of a network's row.

    Args:
        path: ONNX file.
        family: What its values mean.
        style: Open backend of the style.
        frames: One frame, (1, H, W, 3).
        rounds: Turns.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = add_peer(path, family, Path(folder))
        with open_backend(engine, "openvino", precision="f32") as peer:
            turns = [(run(peer, frames), run(style, frames)) for _ in range(rounds + 1)][1:]
    ratios = [theirs / ours for theirs, ours in turns]
    return (
        f"{engine.card.multiply_adds_per_pixel:,}",
        f"{median(theirs for theirs, _ in turns):.3g}",
        f"{median(ours for _, ours in turns):.3g}",
        f"{median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})",
    )


def add_peer(path: Path, family: FamilyName, folder: Path) -> Engine:
    """Import a network as `toonvid styles add --as FAMILY` does, into a folder."""
    candidate = read_candidate(path)
    reading, missing = candidate.guess_reading(FAMILIES[family], None, None, None)
    if reading is None:
        raise SystemExit(f"{path}: not known of its family: {', '.join(missing)}")
    options = ImportOptions(family=family, name="peer")
    return import_style(candidate, reading, options, folder, on_notice=lambda _: None).engine


def run(backend: Backend, frames: Pixels) -> float:
    """Seconds that a backend takes for one frame."""
    padded = np.ascontiguousarray(pad_to_multiple(frames, backend.engine.card.multiple_of))
    began = time.perf_counter()
    backend.run(padded)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

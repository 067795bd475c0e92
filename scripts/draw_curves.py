"""Draw the losses of training runs: `python scripts/draw_curves.py TARGET.svg RUN...`

In: the `stats.jsonl` of each run. Out: an SVG file with a plot for each loss and a line for each
run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LOSSES = (
    "pixel",
    "gradient_difference",
    "content",
    "stability",
    "equivariance",
    "adversarial",
    "discriminator",
)
COLORS = (
    *("#1f5f8b", "#c0492f", "#4c8c4a", "#8a5a9e"),
    *("#b8860b", "#3aa6a6", "#d16ba5", "#555555"),
)
WIDTH, HEIGHT, MARGIN = 360, 200, 36  # pixels, of each plot
WINDOW = 9
"""Number of log entries in the moving average."""


def read_curve(run: Path, loss: str) -> list[tuple[int, float]]:
    """Read the moving average of a loss: steps and values."""
    lines = (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if loss in entry]
    values = [entry[loss] for entry in entries]
    means = [
        sum(part) / len(part)
        for part in (values[max(0, i + 1 - WINDOW) : i + 1] for i in range(len(values)))
    ]
    return [(entry["step"], mean) for entry, mean in zip(entries, means, strict=True)]


def draw_plot(loss: str, runs: list[Path], left: int, top: int) -> list[str]:
    """Draw the plot of a loss as SVG elements; `left` and `top` are its position in pixels."""
    curves = {run.name: read_curve(run, loss) for run in runs}
    points = [point for curve in curves.values() for point in curve]
    last_step, largest = max(p[0] for p in points), max(p[1] for p in points)
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    right, bottom = left + WIDTH - MARGIN, top + HEIGHT - MARGIN
    parts = [
        f'<text x="{left + MARGIN}" y="{top + 20}" font-weight="bold">{loss}</text>',
        f'<text x="{left + 2}" y="{top + MARGIN + 4}">{largest:.2g}</text>',
        f'<text x="{left + 2}" y="{bottom}">0</text>',
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">step {last_step:,}</text>',
        f'<path d="M{left + MARGIN} {top + MARGIN}V{bottom}H{right}" fill="none" stroke="#999"/>',
    ]
    for color, (name, curve) in zip(COLORS, curves.items(), strict=False):
        if not curve:
            continue
        line = " ".join(
            f"{left + MARGIN + inner_width * step / last_step:.1f},"
            f"{bottom - inner_height * value / largest:.1f}"
            for step, value in curve
        )
        title = f"<title>{name}</title>"
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}">{title}</polyline>')
    return parts


def main() -> None:
    """Write the SVG file."""
    target, *folders = map(Path, sys.argv[1:])
    drawn = [loss for loss in LOSSES if any(read_curve(run, loss) for run in folders)]
    parts = []
    for index, loss in enumerate(drawn):
        parts += draw_plot(loss, folders, index % 3 * WIDTH, index // 3 * HEIGHT)
    rows = -(-len(drawn) // 3)
    for index, run in enumerate(folders):
        color = COLORS[index % len(COLORS)]
        position = f'x="{MARGIN + 128 * index}" y="{rows * HEIGHT + 16}"'
        parts.append(f'<text {position} fill="{color}">{run.name}</text>')
    size = f'width="{3 * WIDTH}" height="{rows * HEIGHT + 28}"'
    style = 'font-family="sans-serif" font-size="12"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{background}'
    target.write_text("\n".join([head, *parts, "</svg>"]) + "\n", encoding="utf-8")


main()

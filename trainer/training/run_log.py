"""Log of a run: figures, events and contact sheets.

In: figures and images of a step. Out: `stats.jsonl` (one JSON object per line), TensorBoard files
and contact sheets as JPEG files in the run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
from torch.utils.tensorboard import SummaryWriter

from toonvid.video import Pixels
from trainer.files import write_atomically
from trainer.training.run_folder import Run

SHEET_JPEG_QUALITY = 92  # of 100


class RunLog:
    """Writes the log of a run. Call `close` at the end."""

    def __init__(self, run: Run, steps_done: int) -> None:
        """Open the log of a run.

        Args:
            run: Folder of the run.
            steps_done: Number of steps done. Entries of later steps are deleted: a resumed run does
                those steps again.
        """
        self._run = run
        self._open(steps_done)

    def rewind(self, steps_done: int) -> None:
        """Delete the entries of steps after `steps_done`, for a rollback."""
        self.close()
        self._open(steps_done)

    def write(self, step: int, phase: str, figures: dict[str, float]) -> None:
        """Write the figures of a step.

        Args:
            step: Number of steps done.
            phase: Name of the phase.
            figures: Name -> value.
        """
        for name, value in figures.items():
            self._tensorboard.add_scalar(name, value, step)
        self._write_line({"step": step, "phase": phase, **figures})

    def note(self, step: int, event: str) -> None:
        """Write an event, in words, after a step."""
        self._tensorboard.add_text("event", event, step)
        self._write_line({"step": step, "event": event})

    def draw(self, step: int, sheet: Pixels) -> None:
        """Write a contact sheet, (H, W, 3) uint8 RGB."""
        self._tensorboard.add_image("held-out", sheet, step, dataformats="HWC")
        pixels = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, SHEET_JPEG_QUALITY])[1]
        write_atomically(self._run.sheets / f"step-{step:09d}.jpg", encoded.tobytes())

    def close(self) -> None:
        """Close all files."""
        self._stats.close()
        self._tensorboard.close()

    def _open(self, steps_done: int) -> None:
        stats = self._run.stats
        write_atomically(stats, "".join(_lines_until(stats, steps_done)).encode())
        self._stats = stats.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(self._run.tensorboard, purge_step=steps_done + 1)

    def _write_line(self, values: dict[str, str | int | float]) -> None:
        self._stats.write(json.dumps(values) + "\n")
        self._stats.flush()  # so that a reader sees each entry at once


def _lines_until(stats: Path, step: int) -> Iterator[str]:
    """Yield the complete lines of a log whose step is at most `step`."""
    if not stats.exists():
        return
    for line in stats.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                yield line
        except (ValueError, TypeError, KeyError):
            continue  # cut off by a crash

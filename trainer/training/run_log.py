"""What a run records of its steps: figures, pictures, and what happened to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
from torch.utils.tensorboard import SummaryWriter

from toonvid.video import Pixels
from trainer.files import write_atomically
from trainer.training.run_folder import Run


class RunLog:
    """Writes a run's figures to `stats.jsonl` and TensorBoard, and its pictures; `close` it."""

    def __init__(self, run: Run, first_step: int) -> None:
        """Go on after `first_step`; what was logged of later steps is dropped, they come again."""
        self._run = run
        write_atomically(run.stats, "".join(_lines_until(run.stats, first_step)).encode())
        self._stats = run.stats.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(run.tensorboard, purge_step=first_step + 1)

    def write(self, step: int, phase: str, figures: dict[str, float]) -> None:
        """Log figures of one step by name."""
        for name, value in figures.items():
            self._tensorboard.add_scalar(name, value, step)
        self._write_line({"step": step, "phase": phase, **figures})

    def note(self, step: int, event: str) -> None:
        """Log in words what happened after a step."""
        self._tensorboard.add_text("event", event, step)
        self._write_line({"step": step, "event": event})

    def draw(self, step: int, sheet: Pixels) -> None:
        """Keep a contact sheet, (H, W, 3) uint8, RGB."""
        self._tensorboard.add_image("held-out", sheet, step, dataformats="HWC")
        pixels = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        write_atomically(self._run.sheets / f"step-{step:09d}.jpg", encoded.tobytes())

    def close(self) -> None:
        self._stats.close()
        self._tensorboard.close()

    def _write_line(self, values: dict[str, str | int | float]) -> None:
        self._stats.write(json.dumps(values) + "\n")
        self._stats.flush()


def _lines_until(stats: Path, step: int) -> Iterator[str]:
    """The whole lines of a log that are of steps up to this one."""
    if not stats.exists():
        return
    for line in stats.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                yield line
        except (ValueError, TypeError, KeyError):
            continue  # cut off by a crash

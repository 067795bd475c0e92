"""Watchdogs: a training that goes nowhere is told while it runs, not found out at its end."""

from __future__ import annotations

import logging
import math
from collections import deque

from torch import Tensor

log = logging.getLogger(__name__)

EQUAL_LEVELS = 2.0
"""Cartoons that are nearer to their photos than this (mean difference in levels) are the photos."""

ONE_COLOUR_LEVELS = 3.0
"""Cartoons whose deviation is below this, in levels, show nothing."""

PATIENCE = 5
"""Looks in a row that must find the same before it is told."""


class Watchdog:
    """Looks at cartoons now and then; tells each thing that is wrong once."""

    def __init__(self, may_equal: bool) -> None:
        """Begin to watch.

        Args:
            may_equal: Whether cartoons that equal their photos are what is wanted now: that is the
                aim of the paper's initialization phase.
        """
        self._may_equal = may_equal
        self._looks: deque[tuple[float, float]] = deque(maxlen=PATIENCE)
        self._told: set[str] = set()

    def look(self, photos: Tensor, cartoons: Tensor) -> tuple[dict[str, float], list[str]]:
        """Look at p and G(p), each (N, 3, H, W) in [-1, 1].

        Returns:
            Figures for the log, in levels: how far cartoons are from their photos, and how lively
            they are. And alarms, each with what helps.
        """
        difference = (cartoons - photos).abs().mean().item() * 127.5
        deviation = cartoons.float().std(dim=(1, 2, 3)).mean().item() * 127.5
        self._looks.append((difference, deviation))
        figures = {
            "levels_from_photo": difference,
            "levels_deviation": deviation,
        }
        return figures, [alarm for alarm in self._alarms() if self._is_new(alarm)]

    def _alarms(self) -> list[str]:
        if len(self._looks) < PATIENCE:
            return []
        alarms = []
        differences, deviations = zip(*self._looks, strict=True)
        if max(differences) < EQUAL_LEVELS and not self._may_equal:
            alarms.append("the cartoons equal their photos: a lower content weight gives them room")
        if max(deviations) < ONE_COLOUR_LEVELS:
            alarms.append("the cartoons are of one colour: a higher content weight holds them")
        return alarms

    def _is_new(self, alarm: str) -> bool:
        new = alarm not in self._told
        self._told.add(alarm)
        return new


def find_no_number(losses: dict[str, float]) -> str | None:
    """Which loss is not a number any more, in words; None if all are."""
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"the {name} loss became {value}"
    return None

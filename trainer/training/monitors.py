"""Monitors of a run: divergence, which leads to a rollback, and collapse, which leads to a warning.

In: losses, networks and generated images while the run goes on. Out: a description of what is
wrong. Without monitors, such a run would be found out at its end, days later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

from torch import Tensor

EQUAL_LEVELS = 2.0
"""Cartoons count as equal to their photos below this mean absolute difference, in levels of 255."""

FLAT_LEVELS = 3.0
"""Cartoons count as one single color below this standard deviation, in levels of 255."""

PATIENCE = 5
"""Number of checks in a row that must have the same finding before a warning."""


class CollapseMonitor:
    """Checks generated images now and then; warns of each way of collapsing once."""

    def __init__(
        self,
        may_equal_photos: bool,
        keeping_loss: str = "content",
        average: Callable[[Sequence[float]], list[float]] = list,
    ) -> None:
        """Start without findings.

        Args:
            may_equal_photos: Whether cartoons that equal their photos are the aim, as in the
                initialization phase of the paper.
            keeping_loss: Name of the loss that keeps what the photo shows, for the remedies.
            average: Averages figures over the processes of a run; default: there is one.
        """
        self._average = average
        self._keeping_loss = keeping_loss
        self._may_equal_photos = may_equal_photos
        self._findings: deque[tuple[float, float]] = deque(maxlen=PATIENCE)
        self._warned: set[str] = set()

    def check(self, photos: Tensor, generated: Tensor) -> tuple[dict[str, float], list[str]]:
        """Check p and G(p), each (N, 3, H, W) in [-1, 1].

        Returns:
            Figures for the log in levels of 255 (mean absolute difference from the photos, and mean
            standard deviation within an image), and new warnings, each with a remedy.
        """
        difference = (generated - photos).abs().mean().item() * 127.5
        deviation = generated.float().std(dim=(1, 2, 3)).mean().item() * 127.5
        difference, deviation = self._average([difference, deviation])
        self._findings.append((difference, deviation))
        figures = {"levels_from_photo": difference, "levels_deviation": deviation}
        new = [warning for warning in self._warnings() if warning not in self._warned]
        self._warned.update(new)
        return figures, new

    def _warnings(self) -> list[str]:
        if len(self._findings) < PATIENCE:
            return []
        warnings = []
        differences, deviations = zip(*self._findings, strict=True)
        if max(differences) < EQUAL_LEVELS and not self._may_equal_photos:
            warnings.append(
                f"the cartoons equal their photos: a lower {self._keeping_loss} weight"
                " lets them differ"
            )
        if max(deviations) < FLAT_LEVELS:
            warnings.append(
                f"the cartoons are of one color: a higher {self._keeping_loss} weight keeps"
                " the photo's content"
            )
        return warnings


def find_divergence(losses: dict[str, float]) -> str | None:
    """Describe the first loss that is NaN or infinite; None if all are finite."""
    for name, value in losses.items():
        if not math.isfinite(value):
            return f"the {name} loss became {value}"
    return None

"""Monitors report divergence at once, and a lasting collapse once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainer.training.monitors import PATIENCE, CollapseMonitor, find_divergence


def photos() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def warnings_of(monitor: CollapseMonitor, cartoons: Tensor, checks: int = PATIENCE) -> list[str]:
    return [text for _ in range(checks) for text in monitor.check(photos(), cartoons)[1]]


def test_cartoons_that_equal_their_photos_are_reported_once() -> None:
    monitor = CollapseMonitor(may_equal_photos=False)
    assert warnings_of(monitor, photos() + 0.001, checks=PATIENCE - 1) == []
    (warning,) = warnings_of(monitor, photos() + 0.001, checks=10)
    assert warning.startswith("the cartoons equal their photos: a lower content weight")


def test_cartoons_of_one_color_are_reported() -> None:
    (warning,) = warnings_of(CollapseMonitor(may_equal_photos=True), torch.full_like(photos(), 0.3))
    assert warning.startswith("the cartoons are of one color: a higher content weight")


def test_in_the_papers_initialization_phase_cartoons_may_equal_photos() -> None:
    assert warnings_of(CollapseMonitor(may_equal_photos=True), photos()) == []


def test_proper_cartoons_cause_no_warning() -> None:
    assert warnings_of(CollapseMonitor(may_equal_photos=False), photos() * 0.8, checks=20) == []


def test_one_good_check_resets_the_patience() -> None:
    monitor = CollapseMonitor(may_equal_photos=False)
    for _ in range(4):
        assert warnings_of(monitor, photos(), checks=PATIENCE - 1) == []
        monitor.check(photos(), photos() * 0.5)


def test_figures_are_in_levels() -> None:
    figures, _ = CollapseMonitor(may_equal_photos=True).check(photos(), photos() + 2 / 127.5)
    assert math.isclose(figures["levels_from_photo"], 2, abs_tol=1e-3)
    assert math.isclose(figures["levels_deviation"], photos().std().item() * 127.5, rel_tol=0.05)


def test_a_loss_that_is_not_finite_is_named() -> None:
    assert find_divergence({"pixel": 1.0, "content": math.nan}) == "the content loss became nan"
    assert find_divergence({"pixel": math.inf}) == "the pixel loss became inf"
    assert find_divergence({"pixel": 1.0}) is None

"""Watchdogs tell what goes wrong, once, and only when it lasts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainer.training.monitors import PATIENCE, Watchdog, find_no_number


def photos() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def alarms(watchdog: Watchdog, cartoons: Tensor, looks: int = PATIENCE) -> list[str]:
    return [alarm for _ in range(looks) for alarm in watchdog.look(photos(), cartoons)[1]]


def test_cartoons_that_equal_their_photos_are_told_once() -> None:
    watchdog = Watchdog(may_equal=False)
    assert alarms(watchdog, photos() + 0.001, looks=PATIENCE - 1) == []
    (alarm,) = alarms(watchdog, photos() + 0.001, looks=10)
    assert alarm.startswith("the cartoons equal their photos: a lower content weight")


def test_cartoons_of_one_colour_are_told() -> None:
    (alarm,) = alarms(Watchdog(may_equal=True), torch.full_like(photos(), 0.3))
    assert alarm.startswith("the cartoons are of one colour: a higher content weight")


def test_the_paper_s_initialization_phase_may_repeat_the_photos() -> None:
    assert alarms(Watchdog(may_equal=True), photos()) == []


def test_cartoons_are_left_in_peace() -> None:
    assert alarms(Watchdog(may_equal=False), photos() * 0.8, looks=20) == []


def test_one_good_look_is_enough() -> None:
    watchdog = Watchdog(may_equal=False)
    for _ in range(4):
        assert alarms(watchdog, photos(), looks=PATIENCE - 1) == []
        watchdog.look(photos(), photos() * 0.5)


def test_figures_are_in_levels() -> None:
    figures, _ = Watchdog(may_equal=True).look(photos(), photos() + 2 / 127.5)
    assert math.isclose(figures["levels_from_photo"], 2, abs_tol=1e-3)
    assert math.isclose(figures["levels_deviation"], photos().std().item() * 127.5, rel_tol=0.05)


def test_a_loss_that_is_no_number_is_named() -> None:
    assert find_no_number({"pixel": 1.0, "content": math.nan}) == "the content loss became nan"
    assert find_no_number({"pixel": math.inf}) == "the pixel loss became inf"
    assert find_no_number({"pixel": 1.0}) is None

"""Checks of single values, for `trainer.config`: they say in one line which option is wrong.

In: a config while it is made, and names of its fields. Out: nothing, or a `ValueError`.
"""

from __future__ import annotations

import math
from typing import get_args


def check_counts(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(config, name)}")


def check_not_negative(config: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be at least 0, not {getattr(config, name)}")


def check_fractions(config: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1")


def check_choices(config: object, **choices: object) -> None:
    for name, choice in choices.items():
        if getattr(config, name) not in get_args(choice):
            raise ValueError(f"{name} must be one of {', '.join(get_args(choice))}")

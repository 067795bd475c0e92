"""Every value of a config can be set, and none can be set wrongly."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from toonvid.errors import TrainingError
from trainer.config import COUNTS, HOUSEKEEPING, PRESETS, TrainConfig, change_config

LITE = PRESETS["lite"]


@pytest.mark.parametrize("name", [field.name for field in fields(TrainConfig)])
def test_every_value_can_be_set(name: str) -> None:
    value = asdict(LITE)[name]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert change_config(LITE, [f"{name}={text}"]) == LITE


def test_values_keep_their_types() -> None:
    changed = change_config(
        LITE, ["frame_heights=200,640", "learning_rate=1e-3", "steps=7", "precision=f32"]
    )
    assert changed.frame_heights == (200, 640)
    assert changed.learning_rate == 1e-3
    assert changed.steps == 7
    assert changed.precision == "f32"


def test_the_last_of_two_settings_holds() -> None:
    assert change_config(LITE, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pace=3", "no training option named 'pace'; there are: seed, steps"),
        ("steps", "training option steps: '' is not a value of it"),
        ("steps=many", "training option steps: 'many' is not a value of it"),
        ("steps=1.5", "training option steps: '1.5' is not a value of it"),
        ("steps=0", "steps must be at least 1, not 0"),
        ("warm_up=0", "warm_up must be at least 1, not 0"),
        ("content_weight=-1", "content_weight must be at least 0"),
        ("pixel_weight=nan", "pixel_weight must be at least 0"),
        ("learning_rate=0", "learning_rate must be above 0"),
        ("learning_rate=inf", "learning_rate must be above 0"),
        ("beta1=1", "beta1 must be at least 0 and below 1"),
        ("crop=30", "crop must be a multiple of 4 from 32 on"),
        ("crop=16", "crop must be a multiple of 4 from 32 on"),
        ("frame_heights=", "frame_heights: '' is not a value of it"),
        ("width=2", "width must be at least 3"),
        ("precision=f16", "precision must be one of bf16, f32"),
    ],
)
def test_wrong_values_are_refused(setting: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(LITE, [setting])


def test_names_of_options_are_fields() -> None:
    names = {field.name for field in fields(TrainConfig)}
    assert set(COUNTS) <= names
    assert set(HOUSEKEEPING) <= names


def test_no_frame_heights_are_refused() -> None:
    with pytest.raises(ValueError, match="frame_heights"):
        TrainConfig(frame_heights=())

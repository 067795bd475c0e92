from __future__ import annotations

from pathlib import Path

import pytest

from toonvid.backends import open_backend
from toonvid.bench import Bench, measure
from toonvid.engine import find_engine


def test_every_stage_is_measured(engines_folder: Path) -> None:
    with open_backend(find_engine(str(engines_folder / "negative.onnx"))) as backend:
        found = measure(backend, 64, 48, seconds=0.5, rounds=1)
    assert (found.width, found.height, found.frames) == (64, 48, 12)
    assert min(found.decode, found.stylize, found.encode, found.pipeline) > 0


@pytest.mark.parametrize("slowest", ["decode", "stylize", "encode"])
def test_slowest_stage_has_the_lowest_speed(slowest: str) -> None:
    speeds = {"decode": 9.0, "stylize": 9.0, "encode": 9.0, slowest: 2.0}
    assert Bench(64, 48, 12, pipeline=1.0, **speeds).slowest_stage == slowest

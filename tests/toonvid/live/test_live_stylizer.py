from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slow_backend import SlowBackend

from toonvid.backends import Backend, open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import find_engine
from toonvid.errors import EngineError
from toonvid.live.camera import CapturedFrame
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.stylizing.options import StylizeOptions
from toonvid.video import Frame


def shot(width: int = 96, height: int = 64) -> CapturedFrame:
    return CapturedFrame(Frame(draw_scene(width, height, 0), 5, LIVE_TIME_BASE), 1.5)


@pytest.fixture
def open_style(engines_folder: Path) -> Any:
    return lambda name: open_backend(find_engine(str(engines_folder / f"{name}.onnx")))


def test_paints_in_the_style_and_with_the_options_of_the_moment(open_style: Any) -> None:
    taken = shot()
    with LiveStylizer(open_style, StyleSettings("identity"), None) as stylizer:
        plain = stylizer.stylize(taken, StyleSettings("identity"))
        assert np.array_equal(plain.frame.pixels, taken.frame.pixels)
        assert (plain.frame.pts, plain.frame.time_base, plain.captured_at) == (
            5,
            LIVE_TIME_BASE,
            1.5,
        )
        dark = stylizer.stylize(taken, StyleSettings("negative"))
        assert np.array_equal(dark.frame.pixels, 255 - taken.frame.pixels)
        half = stylizer.stylize(taken, StyleSettings("negative", StylizeOptions(strength=0.5)))
        assert np.abs(half.frame.pixels.astype(int) - 127).max() <= 1
        mirrored = stylizer.stylize(taken, StyleSettings("identity", mirror=True))
        assert np.array_equal(mirrored.frame.pixels, taken.frame.pixels[:, ::-1])
        assert np.array_equal(mirrored.source, mirrored.frame.pixels)


def test_style_that_is_not_there_leaves_the_one_before(open_style: Any) -> None:
    with LiveStylizer(open_style, StyleSettings("negative"), None) as stylizer:
        with pytest.raises(EngineError):
            stylizer.stylize(shot(), StyleSettings("nobody"))
        assert stylizer.style == "negative"
        stylizer.stylize(shot(), StyleSettings("negative"))


def test_pictures_are_painted_in_the_size_that_was_asked_for(open_style: Any) -> None:
    with LiveStylizer(open_style, StyleSettings("identity"), 32) as stylizer:
        painted = stylizer.stylize(shot(), StyleSettings("identity"))
    assert painted.source.shape == painted.frame.pixels.shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("rate", "side", "holds"), [(1, 360, True), (25, 192, True), (10_000, 96, False)]
)
def test_largest_size_that_holds_the_rate_is_chosen(
    identity: Backend, rate: float, side: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowBackend(identity, per_pixel=0.5e-6)  # 427x240 takes 0.051 s, 341x192 0.033 s
    monkeypatch.setattr(time, "perf_counter", lambda: slow.slept)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with LiveStylizer(lambda _: slow, StyleSettings("identity"), None) as stylizer:
        fit = stylizer.choose_size(shot(640, 360), StyleSettings("identity"), rate)
        painted = stylizer.stylize(shot(640, 360), StyleSettings("identity"))
    assert fit.camera_size == (640, 360)
    assert fit.camera_size_rate == pytest.approx(0.9 / 0.1152)
    assert min(fit.size) == painted.frame.pixels.shape[0] == side
    assert (fit.rate >= rate) == holds

"""The live stylizer follows its settings, survives a missing style and chooses a size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slow_backend import SlowBackend
from support.tiny_engines import controlled_cartoon, controlled_engine

from toonvid.backends import Backend, open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import find_engine
from toonvid.errors import EngineError
from toonvid.live.camera import CapturedFrame
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.stylizing.options import StylizeOptions
from toonvid.video import Frame


def captured_frame(width: int = 96, height: int = 64) -> CapturedFrame:
    return CapturedFrame(Frame(draw_scene(width, height, 0), 5, LIVE_TIME_BASE), 1.5)


@pytest.fixture
def open_style(engines_folder: Path) -> Any:
    return lambda name: open_backend(find_engine(str(engines_folder / f"{name}.onnx")))


def test_each_frame_has_the_style_and_options_of_its_settings(open_style: Any) -> None:
    captured = captured_frame()
    pixels = captured.frame.pixels
    with LiveStylizer(open_style, StyleSettings("identity"), None) as stylizer:
        plain = stylizer.stylize(captured, StyleSettings("identity"))
        assert np.array_equal(plain.frame.pixels, pixels)
        assert (plain.frame.pts, plain.frame.time_base) == (5, LIVE_TIME_BASE)
        assert plain.captured_at == 1.5
        negative = stylizer.stylize(captured, StyleSettings("negative"))
        assert np.array_equal(negative.frame.pixels, 255 - pixels)
        half = stylizer.stylize(captured, StyleSettings("negative", StylizeOptions(strength=0.5)))
        assert np.abs(half.frame.pixels.astype(int) - 127).max() <= 1
        mirrored = stylizer.stylize(captured, StyleSettings("identity", mirror=True))
        assert np.array_equal(mirrored.frame.pixels, pixels[:, ::-1])
        assert np.array_equal(mirrored.source, mirrored.frame.pixels)


def test_flicker_is_kept_out_from_one_frame_to_the_next(open_style: Any) -> None:
    def gray(level: int) -> CapturedFrame:
        pixels = np.full((64, 96, 3), level, np.uint8)
        return CapturedFrame(Frame(pixels, 0, LIVE_TIME_BASE), 0.0)

    settings = StyleSettings("identity", StylizeOptions(steady=1))
    with LiveStylizer(open_style, settings, None) as stylizer:
        stylizer.stylize(gray(100), settings)
        held = stylizer.stylize(gray(101), settings)
        assert np.all(held.frame.pixels == 100)
        dark = stylizer.stylize(gray(101), StyleSettings("negative", StylizeOptions(steady=1)))
        assert np.all(dark.frame.pixels == 255 - 101)  # another style begins anew


def test_controls_are_followed_from_frame_to_frame_with_one_open_backend(tmp_path: Path) -> None:
    opened = []

    def open_controlled(name: str) -> Backend:
        opened.append(name)
        return open_backend(controlled_engine(tmp_path), precision="f32")

    captured = captured_frame()
    with LiveStylizer(open_controlled, StyleSettings("controlled"), None) as stylizer:
        for values in ({}, {"ink": 0.5}, {"ink": 0.5, "tones": 8}, {"tones": 2}, {}):
            settings = StyleSettings("controlled", StylizeOptions(**values))
            drawn = stylizer.stylize(captured, settings).frame.pixels
            assert np.array_equal(drawn, controlled_cartoon(captured.frame.pixels, **values))
    assert opened == ["controlled"]


def test_missing_style_leaves_the_previous_one_open(open_style: Any) -> None:
    with LiveStylizer(open_style, StyleSettings("negative"), None) as stylizer:
        with pytest.raises(EngineError):
            stylizer.stylize(captured_frame(), StyleSettings("nobody"))
        assert stylizer.style == "negative"
        stylizer.stylize(captured_frame(), StyleSettings("negative"))


def test_frames_are_resized_to_the_given_short_side(open_style: Any) -> None:
    with LiveStylizer(open_style, StyleSettings("identity"), 32) as stylizer:
        stylized = stylizer.stylize(captured_frame(), StyleSettings("identity"))
    assert stylized.source.shape == stylized.frame.pixels.shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("rate", "short_side", "is_reached"), [(1, 360, True), (25, 192, True), (10_000, 96, False)]
)
def test_largest_size_that_reaches_the_rate_is_chosen(
    identity: Backend,
    rate: float,
    short_side: int,
    is_reached: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowBackend(identity, per_pixel=0.5e-6)  # 427x240 takes 0.051 s, 341x192 0.033 s
    monkeypatch.setattr(time, "perf_counter", lambda: slow.slept)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    captured, settings = captured_frame(640, 360), StyleSettings("identity")
    with LiveStylizer(lambda _: slow, settings, None) as stylizer:
        choice = stylizer.choose_size(captured, settings, rate)
        stylized = stylizer.stylize(captured, settings)
    assert choice.camera_size == (640, 360)
    assert choice.camera_size_rate == pytest.approx(0.9 / 0.1152)
    assert min(choice.size) == stylized.frame.pixels.shape[0] == short_side
    assert (choice.rate >= rate) == is_reached


@pytest.mark.parametrize(
    ("size", "rate", "drawn"),
    [
        ((1280, 720), 1, (1280, 720)),  # fast enough as it is
        ((1280, 720), 3, (960, 540)),
        ((640, 360), 1000, (640, 360)),  # too slow, but small already
    ],
)
def test_large_frames_are_drawn_smaller_where_they_would_be_too_slow(
    identity: Backend,
    size: tuple[int, int],
    rate: float,
    drawn: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowBackend(identity, per_pixel=0.5e-6)
    monkeypatch.setattr(time, "perf_counter", lambda: slow.slept)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    captured, settings = captured_frame(*size), StyleSettings("identity")
    with LiveStylizer(lambda _: slow, settings, None) as stylizer:
        choice = stylizer.choose_quality(captured, settings, rate)
        slept = slow.slept
        stylized = stylizer.stylize(captured, settings)
        took = slow.slept - slept
        best = StyleSettings("identity", StylizeOptions(quality="best"))
        slept = slow.slept
        stylizer.stylize(captured, best)
    assert (choice.camera_size, choice.size) == (size, drawn)
    assert choice.camera_size_rate == pytest.approx(0.9 / (0.5e-6 * size[0] * size[1]))
    assert took == pytest.approx(0.5e-6 * drawn[0] * drawn[1])
    assert slow.slept - slept == pytest.approx(0.5e-6 * 1536 * 864)  # whatever the size is
    assert stylized.frame.pixels.shape == (size[1], size[0], 3)

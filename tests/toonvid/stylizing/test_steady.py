"""The steady stage: flicker goes, changes stay, and a segment's start has one state."""

from __future__ import annotations

import numpy as np
import pytest

from toonvid.stylizing.steady import WARM_UP_FRAMES, SteadyStage
from toonvid.video import Pixels

HEIGHT, WIDTH = 47, 61  # odd on purpose


def noisy(base: Pixels, levels: int, seed: int) -> Pixels:
    """The frame with uniform noise of so many levels."""
    noise = np.random.default_rng(seed).integers(-levels, levels + 1, base.shape)
    return np.clip(base.astype(int) + noise, 0, 255).astype(np.uint8)


def plain(level: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def texture(height: int, width: int) -> Pixels:
    """Smooth spots with edges, about 8 pixels wide, other ones in each channel."""
    spots = np.random.default_rng(7).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    wide = spots.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].astype(float)
    for axis in (0, 1):
        wide = sum(np.roll(wide, shift, axis) for shift in (-2, -1, 0, 1, 2)) / 5
    return wide.astype(np.uint8)


def flicker(frames: list[Pixels]) -> float:
    """Mean change from one frame to the next, in levels."""
    changes = np.diff(np.stack(frames).astype(int), axis=0)
    return float(np.abs(changes).mean())


def test_flicker_over_a_still_source_is_mostly_gone():
    stage = SteadyStage(0.85)
    sources = [noisy(plain(128), 2, seed) for seed in range(20)]
    cartoons = [noisy(plain(128), 20, 100 + seed) for seed in range(20)]
    steady = [stage.apply(s, c) for s, c in zip(sources, cartoons, strict=True)]
    assert flicker(steady[5:]) < 0.35 * flicker(cartoons[5:])


def test_a_part_that_changes_is_drawn_anew_and_the_rest_is_kept():
    stage = SteadyStage(0.85)
    source, cartoon = texture(96, 160), np.full((96, 160, 3), 60, np.uint8)
    stage.apply(source.copy(), cartoon - 10)
    source[:, :40] = 255 - source[:, :40]
    cartoon[:, :40] = 220
    steady = stage.apply(source, cartoon)
    assert (steady[:, :36] == 220).all()
    # 60 - 0.85 * 10, except beside the change, where outlines are drawn anew as well.
    assert (np.abs(steady[:, 80:].astype(int) - 51.5) <= 1).all()


@pytest.mark.parametrize("pixels_per_frame", [1, 3, 9])
def test_flicker_of_a_moving_source_is_mostly_gone(pixels_per_frame):
    scene = texture(120, 400)
    stage = SteadyStage(0.85)
    steady, cartoons = [], []
    for number in range(12):
        source = scene[:, (left := number * pixels_per_frame) : left + 200]
        cartoons.append(noisy(source // 2 + 64, 20, number).astype(int) - (source // 2 + 64))
        cartoon = (source // 2 + 64 + cartoons[-1]).astype(np.uint8)
        steady.append(stage.apply(noisy(source, 2, 50 + number), cartoon) - (source // 2 + 64.0))
    # What is left beside the clean moving cartoon; the edge at which the scene comes in is new.
    left = np.abs(np.stack(steady[6:])[:, 16:-16, 16:-40]).mean()
    assert left < 0.6 * np.abs(np.stack(cartoons[6:])[:, 16:-16, 16:-40]).mean()


def test_an_object_that_leaves_takes_its_outline_along():
    """The outline covers background that looks the same before and after."""
    stage = SteadyStage(0.85)
    with_object, outlined = plain(180), plain(200)
    with_object[10:40, 10:30] = 60
    outlined[7:43, 7:33], outlined[13:37, 13:27] = 0, 80
    for _ in range(5):
        stage.apply(noisy(with_object, 1, 1), outlined)
    steady = stage.apply(noisy(plain(180), 1, 2), plain(200))
    assert np.abs(steady[:, 2:40].astype(int) - 200).max() <= 20


def test_a_cut_shows_the_new_cartoon_as_it_is():
    stage = SteadyStage(0.85)
    stage.apply(noisy(plain(60), 5, 1), plain(10))
    cartoon = noisy(plain(200), 30, 2)
    assert stage.apply(noisy(plain(180), 5, 3), cartoon).tobytes() == cartoon.tobytes()


def test_a_slow_change_is_followed():
    stage = SteadyStage(0.85)
    for level in range(40, 120):
        steady = stage.apply(plain(level), plain(level))
    assert np.abs(steady.astype(int) - 119).max() <= 12


def test_zero_gives_every_cartoon_as_it_is():
    stage = SteadyStage(0)
    for seed in range(3):
        cartoon = noisy(plain(90), 20, seed)
        assert stage.apply(plain(90), cartoon) is cartoon


def test_the_cartoons_given_are_not_changed():
    stage = SteadyStage(0.85)
    cartoons = [noisy(plain(90), 20, seed) for seed in range(3)]
    kept = [cartoon.copy() for cartoon in cartoons]
    for cartoon in cartoons:
        stage.apply(plain(90), cartoon)
    for cartoon, copy in zip(cartoons, kept, strict=True):
        assert cartoon.tobytes() == copy.tobytes()


def test_a_new_size_begins_anew():
    stage = SteadyStage(0.85)
    stage.apply(plain(90), plain(10))
    cartoon = np.full((10, 8, 3), 200, np.uint8)
    assert (stage.apply(np.full((10, 8, 3), 90, np.uint8), cartoon) == 200).all()


@pytest.mark.parametrize("history", [0, 3, 30])
def test_a_segment_begins_with_a_state_of_the_last_frames_alone(history):
    last = [(noisy(plain(90), 3, seed), noisy(plain(90), 20, seed)) for seed in range(40)]
    here, there = SteadyStage(0.85), SteadyStage(0.85)
    for seed in range(history):  # frames that only one of the two has seen
        here.apply(noisy(plain(90), 3, 500 + seed), plain(seed))
    for source, cartoon in last[:WARM_UP_FRAMES]:
        here.apply(source, cartoon)
        there.apply(source, cartoon)
    here.begin_segment()
    there.begin_segment()
    for source, cartoon in last[WARM_UP_FRAMES:]:
        assert here.apply(source, cartoon).tobytes() == there.apply(source, cartoon).tobytes()


def test_without_a_restart_the_history_shows():
    """The test above could not fail if the stage forgot everything by itself."""
    here, there = SteadyStage(0.85), SteadyStage(0.85)
    here.apply(plain(90), plain(0))
    levels = [int(stage.apply(plain(90), plain(200))[0, 0, 0]) for stage in (here, there)]
    assert levels == [30, 200]


def test_frames_of_the_segment_before_last_do_not_count():
    """A resumed run reads no further back than the segment that it goes on behind."""
    stage = SteadyStage(0.85)
    stage.apply(plain(90), plain(0))
    stage.begin_segment()
    stage.begin_segment()  # a segment without frames: nothing is left of the first
    assert (stage.apply(plain(90), plain(200)) == 200).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (9, 90), (70, 7)])
def test_every_size_is_made_steady(size):
    stage = SteadyStage(0.85)
    frame = np.full((*size, 3), 120, np.uint8)
    stage.apply(frame, frame - 20)
    assert (np.abs(stage.apply(frame, frame).astype(int) - 103) <= 1).all()


@pytest.mark.parametrize("size", [(10, 160), (120, 14), (9, 15), (14, 200), (16, 16)])
def test_every_size_is_followed(size):
    """Sizes with a single row or column of cells, too. Waves move along the longer side."""
    along = np.indices((*size, 3))[size.index(max(size))]
    stage = SteadyStage(0.85)
    for shift, level in ((0, 100), (2, 106)):
        source = (128 + 60 * np.sin((along - shift) * np.pi / 16)).astype(np.uint8)
        steady = stage.apply(source, np.full((*size, 3), level, np.uint8))
    assert (steady == 101).all()  # 106 - 0.85 * 6


def test_cartoons_given_before_do_not_change_later():
    """They wait for the encoder while the next ones are made."""
    stage = SteadyStage(0.85)
    given = [stage.apply(plain(90), noisy(plain(90), 20, seed)) for seed in range(4)]
    copies = [cartoon.copy() for cartoon in given]
    for seed in range(4):
        stage.apply(noisy(plain(90), 2, seed), noisy(plain(90), 20, 50 + seed))
    for cartoon, copy in zip(given, copies, strict=True):
        assert cartoon.tobytes() == copy.tobytes()

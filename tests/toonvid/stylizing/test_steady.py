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
    stage.apply(plain(100), plain(50))
    source, cartoon = plain(100), plain(60)
    source[:, :20], cartoon[:, :20] = 200, 220
    steady = stage.apply(source, cartoon)
    assert (steady[:, :16] == 220).all()
    assert (np.abs(steady[:, 24:].astype(int) - 51.5) <= 1).all()  # 60 - 0.85 * 10


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

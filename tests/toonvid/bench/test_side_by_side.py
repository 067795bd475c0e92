"""Two backends by turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from support.bench import QUICK

from toonvid.backends import Backend
from toonvid.bench.side_by_side import OneBatchAtATime, SideBySide, run_side_by_side
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer


def test_turns_are_compared_pairwise() -> None:
    found = SideBySide(first=(2.0, 3.0, 8.0), second=(1.0, 2.0, 2.0))
    assert found.ratios == (2.0, 1.5, 4.0)
    assert (found.ratio, found.spread) == (2.0, (1.5, 4.0))


def test_both_backends_get_the_same_number_of_turns(identity: Backend) -> None:
    found = run_side_by_side(
        identity, OneBatchAtATime(identity), (32, 32), replace(QUICK, seconds=0.1, rounds=2)
    )
    assert len(found.first) == len(found.second) == 2


def test_one_batch_at_a_time_gives_the_same_cartoons(scene_video: Path, identity: Backend) -> None:
    with VideoDecoder(scene_video) as decoder:
        sources = list(decoder.frames())
    found = Stylizer(OneBatchAtATime(identity), StylizeOptions(steady=0)).stylize(sources)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, sources, strict=True))

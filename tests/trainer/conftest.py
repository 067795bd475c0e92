"""What trainer tests share: a folder of small photos, a config that trains in a second, a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pictures import draw_discs, write_picture

from trainer.config import PRESETS, TrainConfig
from trainer.run import Run, Sources
from trainer.train import train


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small noisy pictures of discs."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        write_picture(folder / f"photo {seed}.png", draw_discs(60, 80, seed))
    return folder


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    """The `lite` preset, tiny, without the content loss."""
    return replace(
        PRESETS["lite"],
        steps=6,
        batch_size=2,
        crop=32,
        frame_heights=(36, 48),
        width=6,
        blocks=1,
        pixel_only_steps=1,
        content_weight=0.0,
        save_every=2,
        log_every=1,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path, config: TrainConfig) -> Run:
    """A finished run; tests only read it."""
    run = Run(tmp_path_factory.mktemp("runs") / "trained")
    sources = Sources(photos)
    run.claim("lite", config, sources)
    train(run, config, sources)
    return run

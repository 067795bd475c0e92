"""Fixtures of the trainer's tests: folders of small images, tiny configs, a finished run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.drawn_images import draw_discs, write_image

from trainer.config import TrainConfig, change_config
from trainer.presets import PRESETS
from trainer.training.run_folder import Run, Sources
from trainer.training.train import train


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small noisy images of discs."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        write_image(folder / f"photo {seed}.png", draw_discs(60, 80, seed))
    return folder


@pytest.fixture(scope="session")
def cartoons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four small images of discs with ink outlines."""
    folder = tmp_path_factory.mktemp("cartoons")
    for seed in range(4):
        write_image(folder / f"cartoon {seed}.png", draw_discs(48, 70, seed + 50, ink=True))
    return folder


TINY = (
    *("batch_size=2", "crop=32", "frame_heights=36,48", "cartoon_scales=0.8,1"),
    *("blocks=1", "discriminator_width=4", "save_every=2", "log_every=1"),
    *("initialization.content_weight=0", "adversarial.content_weight=0"),
)
"""Settings that make a preset tiny and remove its need for a content network."""


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    """The preset `lite`, tiny: six steps of the initialization phase alone."""
    lite = ("width=6", "initialization.steps=6", "initialization.pixel_only_steps=1")
    return change_config(PRESETS["lite"], [*TINY, *lite, "adversarial.steps=0"])


@pytest.fixture(scope="session")
def both_phases(config: TrainConfig) -> TrainConfig:
    """The preset `lite`, tiny: three steps of each phase."""
    return change_config(config, ["initialization.steps=3", "adversarial.steps=3"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path, config: TrainConfig) -> Run:
    """A finished run, which tests must not change."""
    run = Run(tmp_path_factory.mktemp("runs") / "trained")
    sources = Sources(photos)
    run.claim("lite", config, sources)
    train(run, config, sources)
    return run

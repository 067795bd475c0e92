"""Which images of the folders a run is trained on."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from trainer.config import TrainConfig, change_config
from trainer.training.open_dataset import open_dataset
from trainer.training.run_folder import Sources


def trained_on(config: TrainConfig, sources: Sources, run: Path) -> set[str]:
    """Names of the images that a dataset may use."""
    dataset = open_dataset(config, sources, run / "cache", run, torch.device("cpu"))
    found = [dataset._photos.images, *([dataset._cartoons.images] if dataset._cartoons else [])]
    return {path.name for images in found for path in images.paths}


def test_held_out_photos_inside_the_folder_of_photos_are_left_out(
    photos: Path, config: TrainConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    family = folder / "family"
    family.mkdir()
    (folder / "photo 0.png").rename(family / "family 0.png")
    sources = Sources(folder, heldout=family)
    names = trained_on(config, sources, tmp_path / "run")
    assert names == {f"photo {number}.png" for number in range(1, 5)}


def test_held_out_photos_that_are_all_photos_are_said_to_be_trained_on(
    photos: Path, config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        names = trained_on(config, Sources(photos, heldout=photos), tmp_path / "run")
    assert len(names) == 5
    assert "the held-out photos are trained on as well" in caplog.text


def test_sheets_of_a_run_inside_the_folder_of_cartoons_are_left_out(
    photos: Path, cartoons: Path, both_phases: TrainConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(cartoons, tmp_path / "cartoons")
    run = folder / "run"
    sheet = run / "sheets" / "step-000000002.png"
    sheet.parent.mkdir(parents=True)
    shutil.copy(folder / "cartoon 0.png", sheet)
    config = change_config(both_phases, ["cartoon_colors=0"])
    assert sheet.name not in trained_on(config, Sources(photos, folder), run)

"""A generator learns from the output of a trained one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.drawn_images import draw_discs
from support.tiny_engines import negative_engine

from toonvid.errors import EngineError, TrainingError
from trainer.config import TrainConfig, change_config
from trainer.data.drawing import drop_short_strokes
from trainer.data.images import to_tensor
from trainer.data.photos import PhotoCrops
from trainer.presets import PRESETS
from trainer.training.distill import open_layer_teacher, open_teacher, read_layered_generator
from trainer.training.run_folder import Run, Sources
from trainer.training.sample_sheet import stylize
from trainer.training.state import load_trained_generator
from trainer.training.train import train

CPU = torch.device("cpu")


@pytest.fixture
def distilled(config: TrainConfig) -> TrainConfig:
    """The initialization phase of the preset, tiny, with the pixel loss alone."""
    tiny = replace(config, content_target="teacher", save_every=200, log_every=10)
    return change_config(
        tiny,
        [
            *("initialization.steps=300", "initialization.pixel_only_steps=300", "batch_size=4"),
            *("initialization.ink_weight=0", "initialization.learning_rate=0.003"),
            "ema_decay=0",
        ],
    )


def test_an_engine_draws_images_of_any_size(tmp_path: Path) -> None:
    negative_engine(tmp_path, multiple_of=8)
    photo = draw_discs(37, 41, 0)
    drawing = open_teacher(str(tmp_path / "negative.onnx"), CPU)
    assert np.array_equal(drawing.draw(photo, 37), 255 - photo)


def test_a_run_draws_with_its_generator(trained: Run, config: TrainConfig) -> None:
    generator, _ = load_trained_generator(trained.states, config)
    photo = draw_discs(40, 44, 0)
    drawing = open_teacher(str(trained.folder), CPU)
    exact = stylize(generator, photo).astype(int)
    assert np.abs(drawing.draw(photo, 40) - exact).max() <= 3  # bfloat16 where the CPU has it
    assert np.abs(photo - exact).max() > 20
    assert drawing.draw(photo[:37, :41], 37).shape == (37, 41, 3)


def test_a_layered_teacher_draws_its_layers_without_short_strokes() -> None:
    photo = draw_discs(48, 48, 0)
    drawing = open_layer_teacher("ink", CPU)
    color, ink = np.vsplit(drawing.draw(photo, 48), 2)
    generator, key = read_layered_generator("ink")
    with torch.no_grad():
        layers = generator.layers(to_tensor(photo[None]))
    wanted = ((layers.color[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)
    assert np.abs(color - wanted).max() <= 0.51
    share = torch.sigmoid(layers.ink_logits)[0, 0].numpy() * 255
    expected = drop_short_strokes(photo, share.round().astype(np.uint8), 48)
    assert np.array_equal(ink[..., 0], expected)
    assert expected.max() > 200
    assert np.array_equal(ink[..., 0], ink[..., 2])
    assert drawing.draw(photo[:37, :41], 37).shape == (2 * 37, 41, 3)
    assert drawing.layers == 2 and key in str(drawing.key)


def test_a_run_without_layers_is_no_layered_teacher(trained: Run) -> None:
    with pytest.raises(TrainingError, match="another generator than cel, and so no layers"):
        open_layer_teacher(str(trained.folder), CPU)


def test_another_teacher_has_other_drawings_in_the_cache(
    tmp_path: Path, photos: Path, trained: Run
) -> None:
    negative_engine(tmp_path)
    teachers = [open_teacher(place, CPU) for place in (f"{tmp_path}/negative.onnx", trained.folder)]
    crops = [
        PhotoCrops(photos, tmp_path / "cache", teacher, frame_heights=(48,), crop=32, seed=1).crop(
            0
        )
        for teacher in teachers
    ]
    assert np.array_equal(crops[0][0], crops[1][0])
    assert not np.array_equal(crops[0][1], crops[1][1])


def test_the_generator_approaches_its_teacher(
    tmp_path: Path, photos: Path, distilled: TrainConfig
) -> None:
    teacher = negative_engine(tmp_path / "engines").folder / "negative.onnx"
    run, sources = Run(tmp_path / "run"), Sources(photos, teacher=str(teacher))
    run.claim("distilled", distilled, sources)
    train(run, distilled, sources)
    generator, _ = load_trained_generator(run.states, distilled)
    photo = draw_discs(48, 48, 0)
    after = np.abs(stylize(generator, photo).astype(int) - (255 - photo)).mean()
    before = np.abs(photo.astype(int) - (255 - photo)).mean()
    assert after < 0.8 * before


def test_the_teacher_is_part_of_the_record(
    tmp_path: Path, photos: Path, distilled: TrainConfig
) -> None:
    teacher = str(negative_engine(tmp_path / "engines").folder / "negative.onnx")
    short = change_config(
        distilled, ["initialization.steps=2", "initialization.pixel_only_steps=2"]
    )
    run = Run(tmp_path / "run")
    run.claim("distilled", short, Sources(photos, teacher=teacher))
    train(run, short, Sources(photos, teacher=teacher))
    with pytest.raises(TrainingError, match="a run with another teacher"):
        run.claim("distilled", short, Sources(photos, teacher="ink"))


def test_a_missing_teacher_is_an_error(
    tmp_path: Path, photos: Path, distilled: TrainConfig
) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(TrainingError, match=r"give --teacher RUN\|STYLE"):
        train(run, distilled, Sources(photos))
    with pytest.raises(EngineError, match="no style named 'nobody'"):
        train(run, distilled, Sources(photos, teacher="nobody"))


def test_the_preset_has_the_paired_losses() -> None:
    preset = PRESETS["distilled"]
    assert preset.content_target == "teacher"
    for phase in (preset.initialization, preset.adversarial):
        assert phase.pixel_weight and phase.content_weight and phase.total_variation_weight
    assert preset.adversarial.adversarial_weight

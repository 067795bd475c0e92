"""The preset `paint` learns from line art of the art, in the common training loop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.run_toonvid import run_here
from torch import Tensor

from toonvid.errors import TrainingError
from trainer.config import change_config
from trainer.data.dataset import Batch
from trainer.presets import PAINT
from trainer.training.losses import content_loss, total_variation
from trainer.training.phases import discriminator_gradients, generator_gradients
from trainer.training.sample_sheet import read_heldout
from trainer.training.state import create_state
from trainer.training.step_inputs import prepare_step

TINY = (
    *("batch_size=2", "crop=32", "frame_heights=36", "width=8", "blocks=2"),
    *("discriminator_width=4", "adversarial.content_weight=0", "precision=f32"),
)


def test_the_losses_are_those_of_auto_painter() -> None:
    config = change_config(PAINT, TINY)
    state = create_state(config, None, torch.device("cpu"))
    state.begin_phase(config.adversarial)
    random = torch.Generator().manual_seed(3)
    lines, art = (torch.rand(2, 3, 32, 32, generator=random) * 2 - 1 for _ in range(2))
    inputs = prepare_step(config, 0, Batch(lines, art))
    losses, painted = generator_gradients(state, inputs, 2)
    assert state.discriminator
    network = state.discriminator.network

    def cross_entropy(images: Tensor, label: float) -> Tensor:
        (logits,) = network(torch.cat([lines, images], dim=1))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    expected = {
        "pixel": 100 * F.l1_loss(painted, art),
        "total_variation": 1e-4 * total_variation(painted),
        "adversarial": cross_entropy(painted, 1.0),
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(losses[name], value), name
    found = discriminator_gradients(state, replace(inputs, generated=painted), 2)
    both = cross_entropy(art, 1.0) + cross_entropy(painted, 0.0)
    assert torch.allclose(found["discriminator"], both)


def test_the_feature_loss_may_take_squares() -> None:
    def features(images: Tensor) -> list[Tensor]:
        return [images]

    features.layer_weights = (1.0,)
    ours, target = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
    assert content_loss(features, ours, target) == 0.5
    assert content_loss(features, ours, target, "l2") == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["discriminator=paper"], "needs discriminator=patch"),
        (["adversarial.style_weight=1"], "content_target=art has no style_weight"),
        (["adversarial.smoothed_weight=1"], "content_target=art has no smoothed_weight"),
        (["adversarial.equivariance_weight=1"], "generator=unet has no equivariance_weight"),
        (["cartoon_colors=0.5"], "content_target=art has no cartoon_colors"),
    ],
)
def test_options_that_would_do_nothing_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(PAINT, settings)


def test_the_command_trains_resumes_draws_a_sheet_exports_and_is_evaluated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, cartoons: Path, photos: Path
) -> None:
    settings = [text for value in TINY for text in ("--set", value)]
    command = ["train", "--preset", "paint", "--cartoons", cartoons, "-o", tmp_path / "painter"]
    command += [*settings, "--engines", tmp_path, "--device", "cpu", "--holdout", photos]
    for steps in (2, 4):  # the second one goes on
        ended = run_here(capsys, *command, "--adversarial-steps", str(steps))
        assert ended.code == 0, ended.err
    lines = (tmp_path / "painter" / "stats.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    assert {"pixel", "adversarial", "discriminator"} <= json.loads(lines[-1]).keys()
    assert len(list((tmp_path / "painter" / "sheets").iterdir())) == 2
    recipe = json.loads((tmp_path / "painter.json").read_text())["recipe"]
    assert "unet generator" in recipe and "from line art of art 36 pixels high" in recipe
    measured = run_here(
        capsys, "evaluate", tmp_path / "painter.onnx", "--paint", "--photos", cartoons, "--json"
    )
    assert measured.code == 0, measured.err
    figures = json.loads(measured.out)
    assert figures["engine"] == "painter" and figures["pictures"] == 4
    assert figures["share"] == pytest.approx(figures["chroma"] / figures["art_chroma"])


def test_held_out_art_becomes_line_art(cartoons: Path) -> None:
    art, lines = read_heldout(cartoons), read_heldout(cartoons, as_line_art=True)
    assert len(lines) == len(art) == 4
    assert all(np.ptp(image, axis=2).max() == 0 for image in lines)
    assert all(np.ptp(image, axis=2).max() > 50 for image in art)


def test_paint_takes_no_photos_and_the_others_need_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, cartoons: Path
) -> None:
    command = ("train", "-o", tmp_path / "run", "--cartoons", cartoons)
    ended = run_here(capsys, *command, "--preset", "paint", "--photos", cartoons)
    assert ended.code == 2
    assert "takes no --photos" in " ".join(ended.err.replace("│", " ").split())
    ended = run_here(capsys, *command)
    assert ended.code == 2
    assert "--preset lite needs --photos" in " ".join(ended.err.split())

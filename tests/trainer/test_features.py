"""ResNet-50 is read from a file and gives features of stages 2 and 3."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from resnet import resnet_weights
from safetensors.torch import save_file

from toonvid.errors import TrainingError
from trainer.features import IMAGENET_MEAN, ContentFeatures, load_content_features


def test_stages_two_and_three_have_strides_four_and_eight() -> None:
    features = ContentFeatures(resnet_weights())(torch.zeros(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [(2, 256, 16, 24), (2, 512, 8, 12)]


def test_pictures_reach_the_network_as_blue_green_red_levels_without_their_mean() -> None:
    weights = resnet_weights()
    weights["conv1.weight"][0, 0, 3, 3] = 1  # the first channel as it comes in: blue
    weights["res2a_branch1.weight"][0, 0] = 1
    picture = torch.full((1, 3, 32, 32), -1.0)
    picture[:, 2] = 200 / 127.5 - 1  # RGB: the last is blue
    stage2 = ContentFeatures(weights)(picture)[0]
    assert stage2[0, 0, 4, 4].item() == pytest.approx(200 - IMAGENET_MEAN[0], abs=1e-3)


def test_weights_are_loaded_from_a_file_in_half_precision(tmp_path: Path) -> None:
    weights = {name: value.half() for name, value in resnet_weights().items()}
    save_file(weights, tmp_path / "resnet.safetensors")
    features = load_content_features(tmp_path / "resnet.safetensors")
    assert features(torch.zeros(1, 3, 32, 32))[1].dtype == torch.float32
    assert not list(features.parameters())  # nothing to train


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(TrainingError, match=r"other\.safetensors is not a ResNet-50.*conv1\.bias"):
        load_content_features(path)


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="cannot read the content weights"):
        load_content_features(path)

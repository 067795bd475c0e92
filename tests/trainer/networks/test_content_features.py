"""Content networks are read from files, and compute the features of the content loss."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from support.resnet import resnet_weights, torchvision_weights
from torch import Tensor

from toonvid.engine import file_sha256
from toonvid.errors import TrainingError
from trainer.config import ContentNetworkName
from trainer.networks import content_features
from trainer.networks.content_features import (
    CAFFE_MEAN,
    TORCHVISION_DEVIATION,
    TORCHVISION_MEAN,
    WEIGHTS_SHA256,
    WEIGHTS_URLS,
    ResNetFeatures,
    VggFeatures,
    load_content_features,
)
from trainer.networks.weights import find_downloaded


def test_stages_two_and_three_have_strides_four_and_eight() -> None:
    features = ResNetFeatures(resnet_weights())(torch.zeros(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [(2, 256, 16, 24), (2, 512, 8, 12)]


def test_images_are_converted_to_bgr_levels_without_the_mean() -> None:
    weights = resnet_weights()
    weights["conv1.weight"][0, 0, 3, 3] = 1  # passes the first input channel, blue, through
    weights["res2a_branch1.weight"][0, 0] = 1
    image = torch.full((1, 3, 32, 32), -1.0)
    image[:, 2] = 200 / 127.5 - 1  # RGB: the last is blue
    stage2 = ResNetFeatures(weights)(image)[0]
    assert stage2[0, 0, 4, 4].item() == pytest.approx(200 - CAFFE_MEAN[0], abs=1e-3)


def test_weights_are_loaded_from_a_file_in_half_precision(tmp_path: Path) -> None:
    weights = {name: value.half() for name, value in resnet_weights().items()}
    save_file(weights, tmp_path / "resnet.safetensors")
    features = load_content_features("resnet50", tmp_path / "resnet.safetensors")
    assert features(torch.zeros(1, 3, 32, 32))[1].dtype == torch.float32
    assert not list(features.parameters())  # nothing to train


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(TrainingError, match=r"other\.safetensors is not a ResNet-50.*conv1\.bias"):
        load_content_features("resnet50", path)


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="cannot read the content weights"):
        load_content_features("resnet50", path)


VGG_CHANNELS = {
    **{0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)},
    **{12: (256, 256), 14: (256, 256), 16: (256, 256), 19: (256, 512)},
    **{21: (512, 512), 23: (512, 512), 25: (512, 512)},
}
"""Index of each convolution of VGG-19 up to conv4_4 in torchvision -> channels, filters."""


def vgg_weights(fill: float = 0.0) -> dict[str, Tensor]:
    weights = {}
    for number, (channels, filters) in VGG_CHANNELS.items():
        weights[f"features.{number}.weight"] = torch.full((filters, channels, 3, 3), fill)
        weights[f"features.{number}.bias"] = torch.zeros(filters)
    return weights


def test_vgg_ends_at_conv4_4_with_stride_eight() -> None:
    (features,) = VggFeatures(vgg_weights())(torch.zeros(2, 3, 64, 96))
    assert features.shape == (2, 512, 8, 12)


def test_conv4_4_is_taken_before_its_relu() -> None:
    weights = vgg_weights()
    weights["features.25.bias"][:] = -1.0
    (features,) = VggFeatures(weights)(torch.zeros(1, 3, 16, 16))
    assert (features == -1).all()


def test_images_are_normalized_for_vgg_as_in_torchvision() -> None:
    weights = vgg_weights()
    for number, (channels, filters) in VGG_CHANNELS.items():
        for channel in range(min(channels, filters)):  # identity
            weights[f"features.{number}.weight"][channel, channel, 1, 1] = 1
    image = torch.full((1, 3, 32, 32), 1.0)
    (features,) = VggFeatures(weights)(image)
    expected = [(1 - m) / d for m, d in zip(TORCHVISION_MEAN, TORCHVISION_DEVIATION, strict=True)]
    assert features[0, :3, 1, 1].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_vgg_is_read_from_both_file_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"vgg{suffix}"
    weights = vgg_weights() | {"classifier.0.weight": torch.zeros(2, 2)}
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    features = load_content_features("vgg19", path)
    assert features(torch.zeros(1, 3, 16, 16))[0].shape == (1, 512, 2, 2)


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(TrainingError, match=r"cannot read the content weights .*weights\.pth"):
        load_content_features("vgg19", path)
    torch.save([1, 2], path)
    with pytest.raises(TrainingError, match="is not a file of weights"):
        load_content_features("vgg19", path)
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(TrainingError, match=r"is not a VGG-19 .* no 'features\.0\.bias'"):
        load_content_features("vgg19", path)


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of what was downloaded; each file holds weights of tiny networks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(content_features, "WEIGHTS_SHA256", {})
    sources = {"vgg19": vgg_weights(), "resnet50": torchvision_weights()}
    for name, weights in sources.items():
        torch.save(weights, tmp_path / name)
        content_features.WEIGHTS_SHA256[name] = file_sha256(tmp_path / name)  # type: ignore[index]
    requested: list[str] = []

    def fetch(url: str, place: str, hash_prefix: str, progress: bool) -> None:
        requested.append(url)
        name = "vgg19" if "vgg19" in url else "resnet50"
        assert hash_prefix == content_features.WEIGHTS_SHA256[name]  # type: ignore[index]
        shutil.copy(tmp_path / name, place)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    return requested


@pytest.mark.parametrize("network", ["vgg19", "resnet50"])
def test_without_a_file_weights_are_downloaded_once_which_is_said_before(
    network: ContentNetworkName, downloads: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    load_content_features(network, None)
    (said,) = caplog.messages
    assert "downloading" in said and WEIGHTS_URLS[network] in said
    load_content_features(network, None)
    assert downloads == [WEIGHTS_URLS[network]]


def test_a_cached_file_that_was_changed_is_refused(downloads: list[str]) -> None:
    load_content_features("vgg19", None)
    path = find_downloaded(WEIGHTS_URLS["vgg19"])
    assert path is not None
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(TrainingError, match=r"SHA-256 differs\): delete it"):
        load_content_features("vgg19", None)


@pytest.mark.parametrize("network", ["vgg19", "resnet50"])
def test_the_whole_hash_is_known_and_begins_as_torchvision_names_the_file(
    network: ContentNetworkName,
) -> None:
    sha256 = WEIGHTS_SHA256[network]
    assert re.fullmatch("[0-9a-f]{64}", sha256)
    assert WEIGHTS_URLS[network].endswith(f"/{network}-{sha256[:8]}.pth")


def test_a_failed_download_advises_to_give_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(TrainingError, match=r"no route.*give the weights by --content-weights"):
        load_content_features("vgg19", None)


def run_torchvision(weights: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    """Compute torchvision's ResNet-50 up to its second stage, written out."""

    def layer(x: Tensor, convolution: str, norm: str, stride: int = 1, padding: int = 0) -> Tensor:
        x = F.conv2d(x, weights[f"{convolution}.weight"], None, stride, padding)
        parts = [weights[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts)

    mean, deviation = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (TORCHVISION_MEAN, TORCHVISION_DEVIATION)
    )
    x = F.relu(layer(((images + 1) / 2 - mean) / deviation, "conv1", "bn1", 2, 3))
    x = F.max_pool2d(x, 3, 2, 1)
    features = []
    for stage, blocks in ((1, 3), (2, 4)):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            skip = x
            if block == 0:
                skip = layer(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = F.relu(layer(x, f"{name}.conv1", f"{name}.bn1"))
            x = F.relu(layer(x, f"{name}.conv2", f"{name}.bn2", stride, 1))
            x = F.relu(skip + layer(x, f"{name}.conv3", f"{name}.bn3"))
        features.append(x)
    return features


def test_torchvisions_weights_give_torchvisions_features(tmp_path: Path) -> None:
    weights = torchvision_weights()
    torch.save(weights, tmp_path / "resnet50.pth")
    network = load_content_features("resnet50", tmp_path / "resnet50.pth")
    images = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for ours, theirs in zip(network(images), run_torchvision(weights, images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)

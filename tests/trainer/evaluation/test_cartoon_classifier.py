"""The classifier tells inked discs from textured ones, and files of the same images not at all."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.drawn_images import draw_discs, write_image
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError
from trainer.evaluation.art import ArtSources
from trainer.evaluation.cartoon_classifier import (
    LEAST_SIDE,
    VIEW,
    CartoonClassifier,
    pool_features,
    standard_view,
    train_classifier,
)
from trainer.evaluation.edits import EDITS
from trainer.evaluation.feature_network import FeatureNetwork
from trainer.evaluation.measure_photos import learn_art
from trainer.networks.content_features import ResNetFeatures

HEIGHT, WIDTH = 250, 300


class FilterBank(torch.nn.Module):
    """In place of a trained network: levels, and how much they change over 1, 2 and 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, images: Tensor) -> list[Tensor]:
        changes = [(images - images.roll(shift, dims=3)).abs() for shift in (1, 2, 4)]
        return [F.avg_pool2d(torch.cat([images, *changes], dim=1), 16)]


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return FeatureNetwork(cast(ResNetFeatures, FilterBank()), "filters")


def photo(seed: int) -> Pixels:
    """Discs with texture that outlives the compression."""
    texture = np.random.default_rng(seed).normal(0, 40, (HEIGHT, WIDTH, 1))
    texture = cv2.GaussianBlur(texture, (0, 0), 0.8)[..., None]
    return np.clip(draw_discs(HEIGHT, WIDTH, seed) + texture, 0, 255).astype(np.uint8)


def art(seed: int) -> Pixels:
    """Inked discs in primary colors."""
    return np.where(draw_discs(HEIGHT, WIDTH, seed, ink=True) < 128, 0, 255).astype(np.uint8)


def written(folder: Path, images: list[Pixels], suffix: str = ".png") -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index}{suffix}" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        write_image(path, image)
    return paths


@pytest.fixture(scope="module")
def classifier(
    network: FeatureNetwork, tmp_path_factory: pytest.TempPathFactory
) -> CartoonClassifier:
    folder = tmp_path_factory.mktemp("images")
    count = 30
    return train_classifier(
        network,
        written(folder / "art", [art(seed) for seed in range(count)]),
        written(folder / "photos", [photo(1000 + seed) for seed in range(count)]),
    )


def art_share(
    network: FeatureNetwork, classifier: CartoonClassifier, images: list[Pixels]
) -> float:
    features = pool_features(network, [standard_view(image) for image in images])
    return float(classifier.is_art(features).mean())


def test_it_tells_other_art_from_other_photos(
    network: FeatureNetwork, classifier: CartoonClassifier
) -> None:
    assert art_share(network, classifier, [art(2000 + n) for n in range(20)]) >= 0.9
    assert art_share(network, classifier, [photo(3000 + n) for n in range(20)]) <= 0.1


@pytest.mark.parametrize("edit", ["saturated", "sharpened"])
def test_a_photo_with_a_simple_edit_stays_a_photo(
    network: FeatureNetwork, classifier: CartoonClassifier, edit: str
) -> None:
    edited = [EDITS[edit](photo(3000 + n)) for n in range(12)]
    assert art_share(network, classifier, edited) <= 0.2


def bordered_jpeg(image: Pixels) -> Pixels:
    """Three times as large, within a white border."""
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    large[:24] = large[-24:] = large[:, :24] = large[:, -24:] = 255
    return large


def test_size_compression_and_borders_of_files_tell_it_nothing(
    network: FeatureNetwork, tmp_path: Path
) -> None:
    """The same kind of image in small PNG and in large JPEG with borders: no better than chance."""
    smooth = [cv2.GaussianBlur(photo(seed), (0, 0), 2) for seed in range(100)]
    small, large = smooth[:30], [bordered_jpeg(image) for image in smooth[30:60]]
    found = train_classifier(
        network, written(tmp_path / "a", large, ".jpg"), written(tmp_path / "b", small)
    )
    others = [bordered_jpeg(image) for image in smooth[60:80]]
    right = art_share(network, found, others) + 1 - art_share(network, found, smooth[80:])
    assert right / 2 == pytest.approx(0.5, abs=0.2)


def test_a_view_has_one_size_and_is_compressed_whatever_the_file_was() -> None:
    image = photo(1)
    view = standard_view(image)
    assert view.shape == (VIEW, VIEW, 3)
    larger = standard_view(cv2.resize(image, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC))
    difference = np.abs(view.astype(int) - larger)
    assert difference.mean() < 3
    again = cv2.imencode(".png", view)[1].size
    assert again < cv2.imencode(".png", image[:VIEW, :VIEW])[1].size  # the noise was thrown out


def test_an_image_that_would_have_to_be_enlarged_is_refused() -> None:
    with pytest.raises(UnusableImageError, match=r"smaller than 224"):
        standard_view(photo(1)[:230])


def test_unusable_images_are_left_out_of_the_training(
    network: FeatureNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = written(tmp_path / "art", [art(1), art(2)[:200], art(3)])
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    done: list[int] = []
    photos = [*written(tmp_path / "photos", [photo(4), photo(5)]), tmp_path / "torn.jpg"]
    classifier = train_classifier(network, paths, photos, done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    assert art_share(network, classifier, [art(1), art(3)]) == 1
    assert art_share(network, classifier, [photo(4), photo(5)]) == 0
    assert (classifier.art, classifier.photos) == (2, 2)
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        f"skipped {paths[1]}",
        f"skipped {tmp_path / 'torn.jpg'}",
    ]


@pytest.mark.parametrize("kind", ["art", "photos", "held-out art"])
def test_images_of_which_none_can_be_used_are_an_error(
    network: FeatureNetwork, tmp_path: Path, kind: str
) -> None:
    found = {
        name: tuple(written(tmp_path / name, [image]))
        for name, image in (("art", art(1)), ("photos", photo(2)), ("held-out art", art(3)))
    }
    found[kind] = tuple(written(tmp_path / "small", [photo(1)[:100]]))
    sources = ArtSources(found["art"], found["photos"], found["held-out art"])
    with pytest.raises(TrainingError, match=f"can use none of the {kind}; .*/0.png: 276 x 92"):
        learn_art(network, sources, lambda _: None)


def test_the_smallest_image_that_it_sees() -> None:
    standard_view(photo(1)[:LEAST_SIDE])
    with pytest.raises(UnusableImageError):
        standard_view(photo(1)[: LEAST_SIDE - 1])

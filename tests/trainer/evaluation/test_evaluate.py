"""Evaluation from images to figures, and the command that prints them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.drawn_images import draw_discs, write_image
from support.run_toonvid import run_here
from support.tiny_engines import identity_engine, negative_engine
from support.tiny_resnet import write_resnet

from toonvid.backends import open_backend
from toonvid.bench.demo_scene import write_scene
from toonvid.engine import find_engine
from toonvid.errors import SourceError, TrainingError
from trainer.evaluation.evaluate import EvaluationProgress, evaluate
from trainer.evaluation.feature_network import (
    content_similarity,
    feature_maps,
    load_feature_network,
)
from trainer.evaluation.results import EvaluateOptions, Evaluation, ImageSet, Surface, to_json

FEW = EvaluateOptions(crops=24, frames=4)
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, cartoons, a video, weights and the engines `identity` and `negative`."""
    place = tmp_path_factory.mktemp("evaluate")
    for kind, count in (("photos", 6), ("cartoons", 5)):
        (place / kind).mkdir()
        for seed in range(count):
            image = draw_discs(180, 200, seed + 100 * (kind == "cartoons"))
            if kind == "cartoons":
                image = image // 64 * 64 * np.array([1, 0, 0], np.uint8)  # flat and red
            write_image(place / kind / f"{seed}.png", image)
    write_scene(place / "scene.mp4", 96, 64, Fraction(12), 1.0)
    write_resnet(place / "resnet.safetensors")
    identity_engine(place / "engines")
    negative_engine(place / "engines", multiple_of=4)
    return place


def evaluated(
    place: Path,
    *styles: str,
    options: EvaluateOptions = FEW,
    videos: int = 0,
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
) -> Evaluation:
    with ExitStack() as stack:
        engines = [find_engine(str(place / "engines" / f"{s}.onnx")) for s in styles]
        return evaluate(
            [stack.enter_context(open_backend(engine, precision="f32")) for engine in engines],
            place / "photos",
            place / "cartoons",
            [place / "scene.mp4"] * videos,
            place / "resnet.safetensors",
            options,
            on_progress,
        )


@pytest.fixture(scope="module")
def reported() -> list[EvaluationProgress]:
    """What was reported while `both` were evaluated."""
    return []


@pytest.fixture(scope="module")
def both(place: Path, reported: list[EvaluationProgress]) -> Evaluation:
    """The figures of `identity` and `negative`, side by side."""
    return evaluated(place, "identity", "negative", videos=1, on_progress=reported.append)


def test_the_identity_engine_equals_its_input_and_the_negative_one_does_not(
    both: Evaluation,
) -> None:
    identity, negative = both.engines
    assert identity.equals_input and identity.change == 0
    assert not negative.equals_input and negative.change > 50


def test_the_identity_engine_is_as_far_from_the_cartoons_as_the_photos(both: Evaluation) -> None:
    identity, negative = both.engines
    assert identity.to_cartoons == both.photos_to_cartoons
    assert identity.kernel_share == identity.frechet_share == 1
    assert identity.to_photos.kernel.value == pytest.approx(0, abs=1e-9)
    assert identity.to_photos.frechet == pytest.approx(0, abs=1e-6)
    assert negative.to_photos.frechet > 0
    assert identity.surface == both.photos.surface
    assert identity.content_similarity == pytest.approx(1, abs=1e-5)
    assert negative.content_similarity < 0.99


def test_a_photo_and_a_cartoon_never_count_as_the_same_image(place: Path) -> None:
    photos = place / "photos"
    same = evaluate([], photos, photos, [], place / "resnet.safetensors", FEW)
    # Pairs of an image with itself count here, as of two images that happen to be equal; were
    # they left out, the value would be 0.
    assert same.photos_to_cartoons.kernel.value < -1e-6


def test_unrelated_photos_are_less_similar_than_a_photo_and_itself(both: Evaluation) -> None:
    assert both.unrelated_similarity is not None
    assert both.unrelated_similarity < both.engines[0].content_similarity


def test_videos_are_measured_by_the_same_motion(both: Evaluation) -> None:
    [video] = both.videos
    assert video.video == "scene.mp4"
    assert video.frames == FEW.frames
    assert video.ratios[0] == 1
    assert video.ratios[1] == pytest.approx(1, rel=1e-3)


def test_the_same_seed_gives_the_same_figures_whatever_other_engines_there_are(
    place: Path, both: Evaluation
) -> None:
    alone = evaluated(place, "negative")
    assert alone.photos == both.photos
    assert alone.cartoons == both.cartoons
    assert alone.engines[0].surface == both.engines[1].surface
    assert alone.engines[0].to_cartoons.frechet == pytest.approx(
        both.engines[1].to_cartoons.frechet, rel=1e-4
    )
    other = evaluated(place, options=EvaluateOptions(crops=24, frames=4, seed=2))
    assert other.photos_to_cartoons != alone.photos_to_cartoons


def test_progress_reaches_every_total(both: Evaluation, reported: list[EvaluationProgress]) -> None:
    assert {one.stage: one.done for one in reported} == {
        "scene.mp4": 4,
        "cartoons": 24,
        "photos": 24,
    }
    assert all(one.done <= one.total for one in reported)


def test_weights_of_another_network_are_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot read the content weights .*nothing"):
        load_feature_network(tmp_path / "nothing")
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(TrainingError, match=r"cannot read the content weights .*text"):
        load_feature_network(tmp_path / "text")
    short = write_resnet(tmp_path / "short", last_stage=3)
    with pytest.raises(TrainingError, match=r"does not hold .* stage 4: .*res4a_branch1"):
        load_feature_network(short)
    wrong = {"conv1.weight": torch.zeros(4, 5, 7, 7)}
    save_file(load_file(place / "resnet.safetensors") | wrong, tmp_path / "wrong")
    with pytest.raises(TrainingError, match="does not hold a ResNet-50 stage 4"):
        load_feature_network(tmp_path / "wrong")


def test_content_similarity_does_not_depend_on_contrast(place: Path) -> None:
    network = load_feature_network(place / "resnet.safetensors")
    images = np.stack([draw_discs(64, 64, seed) for seed in (1, 2)])
    maps = feature_maps(network, images)
    assert maps.shape == (2, 32, 4, 4)
    assert content_similarity(maps, maps * 3).tolist() == pytest.approx([1, 1])
    assert content_similarity(maps[:1], maps[1:]).item() < 0.999


def test_a_bad_video_is_found_before_the_work_begins(place: Path) -> None:
    reported: list[EvaluationProgress] = []
    with pytest.raises(SourceError, match=r"gone\.mp4: no such file"):
        evaluate(
            [],
            place / "photos",
            place / "cartoons",
            [place / "scene.mp4", place / "gone.mp4"],
            place / "resnet.safetensors",
            FEW,
            reported.append,
        )
    assert reported == []


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"self\.crops = 1"):
        EvaluateOptions(crops=1)


def arguments(place: Path, **changed: Path) -> list[str | Path]:
    given = {
        "photos": place / "photos",
        "cartoons": place / "cartoons",
        "content-weights": place / "resnet.safetensors",
    }
    options = (given | {name.replace("_", "-"): path for name, path in changed.items()}).items()
    return [part for name, path in options for part in (f"--{name}", path)]


def test_the_command_prints_what_json_holds(place: Path, both: Evaluation, capsys: Capsys) -> None:
    engines = [place / "engines" / f"{style}.onnx" for style in ("identity", "negative")]
    more = ("--video", place / "scene.mp4", "--crops", "24", "--frames", "4", "--json")
    ended = run_here(capsys, "evaluate", *engines, *arguments(place), *more)
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    assert printed == json.loads(json.dumps(to_json(both)))
    assert printed["feature_net"] == "ResNet-50 stage 4"
    assert printed["engines"][0]["equals_input"] is True
    assert printed["films"][0]["ratios"][0] == 1


def test_json_has_the_names_that_toonvid_0_1_wrote(both: Evaluation) -> None:
    found = to_json(both)
    assert list(found) == [
        *("feature_net", "options", "photos", "cartoons", "photos_to_cartoons"),
        *("unrelated_similarity", "engines", "films"),
    ]
    assert list(found["photos"]) == ["pictures", "crops", "surface", "skipped"]
    assert list(found["photos"]["surface"]) == ["flat_patch_share", "line_sharpness"]
    assert list(found["photos_to_cartoons"]) == ["kernel", "frechet"]
    assert list(found["photos_to_cartoons"]["kernel"]) == ["value", "spread"]
    assert list(found["engines"][0]) == [
        *("style", "runs_on", "to_cartoons", "to_photos", "kernel_share", "frechet_share"),
        *("content_similarity", "surface", "change", "equals_input"),
    ]
    assert list(found["films"][0]) == [
        *("film", "frames", "visible_share", "source", "cartoons", "ratios"),
    ]


def test_paths_of_skipped_images_are_not_renamed() -> None:
    skipped = {"images": "torn"}
    assert to_json(ImageSet(1, 2, Surface(0.5, 1.0), skipped))["skipped"] == skipped


def test_the_table_names_the_network_and_marks_an_engine_that_equals_its_input(
    place: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    engine = place / "engines" / "identity.onnx"
    ended = run_here(capsys, "evaluate", engine, *arguments(place), "--crops", "12")
    assert ended.code == 0, ended.err
    for words in (
        "12 crops of 6 photos, 12 of 5 cartoons",
        "KID x 1000 (ResNet-50 stage 4)",
        "Frechet distance (ResNet-50 stage 4)",
        "0.0 equals its input",
        "flat-patch share",
    ):
        assert words in ended.out
    assert "Warping error" not in ended.out  # no video was given


def test_skipped_images_are_named_and_counted(place: Path, tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        write_image(tmp_path / "photos" / f"{seed}.png", draw_discs(180, 200, seed))
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"torn")
    engine = place / "engines" / "identity.onnx"
    given = arguments(place, photos=tmp_path / "photos")
    ended = run_here(capsys, "evaluate", engine, *given, "--crops", "12", "--json")
    assert "Skipped 1 of the photos" in ended.err
    printed = json.loads(ended.out)["photos"]
    assert printed["pictures"] == 2
    assert list(printed["skipped"]) == [str(tmp_path / "photos" / "torn.jpg")]


def test_bad_input_is_one_line(place: Path, tmp_path: Path, capsys: Capsys) -> None:
    engine = place / "engines" / "identity.onnx"
    ended = run_here(capsys, "evaluate", engine, *arguments(place, cartoons=tmp_path))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"toonvid: no cartoons in {tmp_path}")
    assert ended.err.count("\n") == 1


def test_the_command_takes_its_defaults_from_the_options() -> None:
    command = importlib.import_module("toonvid.commands.evaluate")
    defaults = EvaluateOptions()
    assert defaults.crops == command._CROPS
    assert defaults.frames == command._FRAMES
    assert defaults.seed == command._SEED

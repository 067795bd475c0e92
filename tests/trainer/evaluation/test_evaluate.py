"""Evaluation from images to figures, and the command that prints them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.drawn_images import draw_discs, write_image
from support.resnet import torchvision_weights
from support.run_toonvid import run_here
from support.tiny_engines import identity_engine, negative_engine
from support.tiny_resnet import write_resnet

from toonvid.backends import open_backend
from toonvid.bench.demo_scene import write_scene
from toonvid.engine import find_engine
from toonvid.errors import SourceError, TrainingError
from trainer.data.images import read_image
from trainer.evaluation.art import find_art
from trainer.evaluation.edits import EDITS
from trainer.evaluation.evaluate import EvaluationProgress, EvaluationSources, evaluate
from trainer.evaluation.feature_network import content_similarity, load_feature_network
from trainer.evaluation.programs import EngineProgram, PictureProgram, Program, find_pictures
from trainer.evaluation.results import EvaluateOptions, Evaluation, ImageSet, Surface, to_json
from trainer.networks.content_features import fold_torchvision

FEW = EvaluateOptions(crops=24, frames=4, whole_photos=3)
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, cartoons, a video, weights and the engines `identity` and `negative`.

    `other photos` are for the cartoon classifier, which learns to tell the cartoons from them.
    """
    place = tmp_path_factory.mktemp("evaluate")
    for kind, count in (("photos", 6), ("cartoons", 5), ("other photos", 4)):
        (place / kind).mkdir()
        for seed in range(count):
            image = draw_discs(250, 260, seed + 100 * len(kind))
            if kind == "cartoons":
                image = image // 64 * 64 * np.array([1, 0, 0], np.uint8)  # flat and red
            write_image(place / kind / f"{seed}.png", image)
    write_scene(place / "scene.mp4", 96, 64, Fraction(12), 1.0)
    write_resnet(place / "resnet.safetensors")
    identity_engine(place / "engines")
    negative_engine(place / "engines", multiple_of=4)
    return place


def sources_at(place: Path, videos: int = 0) -> EvaluationSources:
    return EvaluationSources(
        photos=place / "photos",
        cartoons=place / "cartoons",
        videos=[place / "scene.mp4"] * videos,
        content_weights=place / "resnet.safetensors",
        art=find_art([place / "cartoons"], [place / "other photos"], [], FEW.seed),
    )


def evaluated(
    place: Path,
    *styles: str,
    sources: EvaluationSources | None = None,
    options: EvaluateOptions = FEW,
    pictures: tuple[PictureProgram, ...] = (),
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
) -> Evaluation:
    with ExitStack() as stack:
        engines = [find_engine(str(place / "engines" / f"{s}.onnx")) for s in styles]
        programs: list[Program] = [
            EngineProgram(stack.enter_context(open_backend(engine, precision="f32")))
            for engine in engines
        ]
        return evaluate([*pictures, *programs], sources or sources_at(place), options, on_progress)


@pytest.fixture(scope="module")
def reported() -> list[EvaluationProgress]:
    """What was reported while `both` were evaluated."""
    return []


@pytest.fixture(scope="module")
def both(place: Path, reported: list[EvaluationProgress]) -> Evaluation:
    """The figures of `identity` and `negative`, side by side."""
    sources = sources_at(place, videos=1)
    return evaluated(place, "identity", "negative", sources=sources, on_progress=reported.append)


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
    sources = replace(sources_at(place), cartoons=place / "photos", art=None)
    same = evaluate([], sources, FEW)
    # Pairs of an image with itself count here, as of two images that happen to be equal; were
    # they left out, the value would be 0.
    assert same.photos_to_cartoons is not None
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
    other = evaluated(place, options=replace(FEW, seed=2))
    assert other.photos_to_cartoons != alone.photos_to_cartoons


def test_progress_reaches_every_total(both: Evaluation, reported: list[EvaluationProgress]) -> None:
    assert {one.stage: one.done for one in reported} == {
        "scene.mp4": 4,
        "cartoons": 24,
        "photos": 24,
        "art": 8,
        "whole photos": 3,
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


@pytest.mark.parametrize("name", ["resnet50-0676ba61.pth", "resnet50.safetensors"])
def test_the_file_that_training_downloads_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """Under any name: the content of the file says what it is."""
    torch.save(torchvision_weights(), tmp_path / name)
    network = load_feature_network(tmp_path / name)
    assert network.name == "ResNet-50 stage 4, torchvision"
    images = np.stack([draw_discs(64, 96, seed) for seed in (1, 2)])
    found = network.maps(images)
    assert found.shape == (2, 1024, 4, 6)
    save_file(fold_torchvision(torchvision_weights()), tmp_path / "folded")
    other = load_feature_network(tmp_path / "folded")
    assert other.name == "ResNet-50 stage 4"  # read as Caffe's, which has another mean and stride
    assert not torch.allclose(found, other.maps(images), rtol=0.1)


def test_content_similarity_does_not_depend_on_contrast(place: Path) -> None:
    network = load_feature_network(place / "resnet.safetensors")
    images = np.stack([draw_discs(64, 64, seed) for seed in (1, 2)])
    maps = network.maps(images)
    assert maps.shape == (2, 32, 4, 4)
    assert content_similarity(maps, maps * 3).tolist() == pytest.approx([1, 1])
    assert content_similarity(maps[:1], maps[1:]).item() < 0.999


def test_a_bad_video_is_found_before_the_work_begins(place: Path) -> None:
    reported: list[EvaluationProgress] = []
    sources = replace(sources_at(place), videos=[place / "scene.mp4", place / "gone.mp4"])
    with pytest.raises(SourceError, match=r"gone\.mp4: no such file"):
        evaluate([], sources, FEW, reported.append)
    assert reported == []


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"self\.crops = 1"):
        EvaluateOptions(crops=1)


def arguments(place: Path, **changed: Path) -> list[str | Path]:
    given = {
        "photos": place / "photos",
        "cartoons": place / "cartoons",
        "content-weights": place / "resnet.safetensors",
        "art": place / "cartoons",
        "art-photos": place / "other photos",
        "whole-photos": 3,
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
        *("whole_photos", "photos_whole", "classifier", "left_out"),
    ]
    assert list(found["photos"]) == ["pictures", "crops", "surface", "skipped"]
    assert list(found["photos"]["surface"]) == ["flat_patch_share", "line_sharpness", "tone_steps"]
    assert list(found["photos_to_cartoons"]) == ["kernel", "frechet"]
    assert list(found["photos_to_cartoons"]["kernel"]) == ["value", "spread"]
    assert list(found["engines"][0]) == [
        *("style", "runs_on", "to_cartoons", "to_photos", "kernel_share", "frechet_share"),
        *("content_similarity", "surface", "change", "equals_input", "whole"),
    ]
    assert list(found["films"][0]) == [
        *("film", "frames", "visible_share", "source", "cartoons", "ratios", "plain", "steady"),
    ]


def test_paths_of_skipped_images_are_not_renamed() -> None:
    skipped = {"images": "torn"}
    assert to_json(ImageSet(1, 2, Surface(0.5, 1.0, 0.1), skipped))["skipped"] == skipped


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
        "cartoon share",
        "Edited photos that it calls art: blurred",
    ):
        assert words in ended.out
    assert "Warping error" not in ended.out  # no video was given


def test_the_cartoon_share_has_the_classifiers_accuracy_beside_it(both: Evaluation) -> None:
    identity, negative = both.engines
    assert identity.whole == both.photos_whole
    assert negative.whole != both.photos_whole
    classifier = both.classifier
    assert classifier is not None and both.photos_whole.cartoon_share is not None
    assert classifier.photo_accuracy == 1 - both.photos_whole.cartoon_share
    assert (classifier.learned_art, classifier.learned_photos) == (4, 4)
    assert (classifier.held_out_art, classifier.tested_photos) == (1, 3)
    assert set(classifier.edited_photos) == set(EDITS)


def test_photos_that_are_too_small_for_the_classifier_are_said(place: Path, tmp_path: Path) -> None:
    for seed in range(2):
        write_image(tmp_path / f"{seed}.png", draw_discs(200, 260, seed))
    found = evaluated(place, sources=replace(sources_at(place), photos=tmp_path, cartoons=None))
    assert found.classifier is None
    assert any("photos with a short side of 244 pixels" in line for line in found.left_out)


def test_without_weights_the_other_figures_are_printed_and_what_is_missing_is_said(
    place: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing has been downloaded
    engine = place / "engines" / "negative.onnx"
    given = ("--photos", place / "photos", "--crops", "12", "--whole-photos", "3")
    more = ("--video", place / "scene.mp4", "--frames", "3")
    ended = run_here(capsys, "evaluate", engine, *given, *more)
    assert ended.code == 0, ended.err
    for words in ("ink kept of the drawing", "tone steps", "change of the photo", "over gain"):
        assert words in ended.out
    assert "Left out: KID, Frechet distance, content similarity and cartoon share" in ended.out
    assert "--content-weights FILE" in ended.out
    assert "KID x 1000" not in ended.out
    assert "cartoon share  " not in ended.out


def test_weights_that_training_has_downloaded_are_found(
    place: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    weights = tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    torch.save(torchvision_weights(), weights)
    engine = place / "engines" / "identity.onnx"
    given = ("--photos", place / "photos", "--crops", "2", "--whole-photos", "2")
    ended = run_here(capsys, "evaluate", engine, *given, "--json")
    assert ended.code == 0, ended.err
    printed = json.loads(ended.out)
    assert printed["feature_net"] == "ResNet-50 stage 4, torchvision"
    assert printed["engines"][0]["content_similarity"] == pytest.approx(1, abs=1e-5)
    assert printed["engines"][0]["to_cartoons"] is None


def test_pictures_of_another_program_are_measured_like_an_engines(
    place: Path, both: Evaluation, tmp_path: Path
) -> None:
    for path in (place / "photos").iterdir():
        pixels = 255 - read_image(path)
        write_image(tmp_path / f"{path.stem}_other.png", pixels)
    pictures = find_pictures(f"other={tmp_path}/*_other.png", place / "photos")
    found = evaluated(place, "identity", pictures=(pictures,))
    identity, other = found.engines
    assert (identity.style, other.style, other.runs_on) == ("identity", "other", "pictures")
    negative = both.engines[1]
    assert other.surface == negative.surface
    assert other.whole == negative.whole
    assert other.change == negative.change


def test_photos_without_a_picture_are_left_out_for_all(place: Path, tmp_path: Path) -> None:
    for path in sorted((place / "photos").iterdir())[:2]:
        write_image(tmp_path / f"{path.stem}.png", read_image(path))
    sources = replace(sources_at(place), content_weights=None, art=None, cartoons=None)
    pictures = (find_pictures(f"other={tmp_path}", place / "photos"),)
    found = evaluated(place, "identity", sources=sources, pictures=pictures)
    assert (found.photos.images, found.whole_photos) == (2, 2)
    identity, other = found.engines
    assert identity.surface == other.surface == found.photos.surface


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "name an ENGINE, or give --pictures"),
        (("x", "--art", "art"), "--art and --art-photos go together"),
        (("x", "--held-out", "a*"), "--art and --art-photos go together"),
        (("--pictures", "a=b", "--video", "x.mp4"), "--video needs an ENGINE"),
    ],
)
def test_options_that_need_others_are_refused(
    place: Path, capsys: Capsys, given: tuple[str, ...], message: str
) -> None:
    ended = run_here(capsys, "evaluate", "--photos", place / "photos", *given)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())


def test_skipped_images_are_named_once_and_counted(
    place: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        write_image(tmp_path / "photos" / f"{seed}.png", draw_discs(250, 260, seed))
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"torn")
    (tmp_path / "photos" / "\x1b[31m.jpg").write_bytes(b"torn")
    engine = place / "engines" / "identity.onnx"
    given = arguments(place, photos=tmp_path / "photos")
    ended = run_here(capsys, "evaluate", engine, *given, "--crops", "12", "--json")
    assert "Skipped 2 of the photos.\n" in ended.err
    assert ended.err.count("torn.jpg: not a readable image") == 1
    assert ended.err.count(r"\x1b[31m.jpg: not a readable image") == 1
    assert "\x1b[31m" not in ended.err
    printed = json.loads(ended.out)
    assert (printed["photos"]["pictures"], printed["whole_photos"]) == (2, 2)
    assert str(tmp_path / "photos" / "torn.jpg") in printed["photos"]["skipped"]


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
    assert defaults.whole_photos == command._WHOLE_PHOTOS

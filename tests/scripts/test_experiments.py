"""The scripts of docs/research/experiments.md ask for what the trainer knows, and split the art."""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import make_clips
import measure_experiments
import numpy as np
import pytest
import run_experiments
from run_experiments import EXPERIMENTS, link_art, training_options

from toonvid.engine import EngineCard
from trainer.config import change_config
from trainer.presets import find_preset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with three pictures of each hand, one of them held out."""
    folder = tmp_path / "data"
    names = {
        "glitch": ("A.png", "B.png", "C.png"),
        "storybook": ("0014_01.png", "0001_01.png", "0002_01.png"),
        "wiehan": ("0072_01.png", "0005_01.png", "0005_02.png"),
        "bookdash": ("sindi-and-the-moon_01.png", "other_01.png", "other_02.png"),
    }
    for hand, files in names.items():
        (folder / "cartoons" / hand).mkdir(parents=True)
        for shade, file in enumerate(files):
            picture = np.full((60, 80, 3), 40 * shade, np.uint8)
            picture[20:40, 20:60] = 200
            cv2.imwrite(str(folder / "cartoons" / hand / file), picture)
    (folder / "ATTRIBUTION_glitch.csv").write_text("file,hub\nA.png,64\nB.png,1\nC.png,2\n")
    return folder


def options_for(data: Path) -> Namespace:
    return Namespace(
        data=data, runs=data.parent / "runs", cache=None, content_weights=Path("weights")
    )


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_trainer_knows_every_setting(
    name: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_experiments, "film_of", lambda art: art.with_suffix(".mp4"))
    arguments = training_options(name, options_for(data))
    settings = [arguments[at + 1] for at, part in enumerate(arguments) if part == "--set"]
    config = change_config(find_preset(EXPERIMENTS[name].preset), settings)
    assert (config.initialization.steps, config.adversarial.steps) == EXPERIMENTS[name].steps


@pytest.mark.parametrize("hand", ["glitch", "storybook", "wiehan", "bookdash"])
def test_held_out_art_is_not_trained_on(hand: str, data: Path) -> None:
    options = options_for(data)
    kept = {path.name for path in link_art((hand,), options).iterdir()}
    held_out = {path.name for path in link_art((hand,), options, held_out=True).iterdir()}
    assert (len(kept), len(held_out)) == (2, 1)
    assert kept | held_out == {path.name for path in (data / "cartoons" / hand).iterdir()}


@pytest.mark.parametrize("further", [(), ("--line-art",)], ids=["color", "line art"])
def test_a_film_has_a_shot_of_each_picture(
    further: tuple[str, ...], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = data / "film.mp4"
    pictures = data / "cartoons" / "glitch"
    command = ["make_clips.py", str(pictures), str(film), "--shots", "2", "--seconds", "0.16"]
    monkeypatch.setattr("sys.argv", [*command, *further])
    make_clips.main()
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(540, 960, 3)] * 8
    colors = max(float(np.ptp(frame.astype(int), axis=2).max()) for frame in frames)
    assert colors < 10  # the pictures are gray
    if further:  # black lines on white
        assert all(np.median(frame) > 240 and frame.min() < 120 for frame in frames)
    else:  # cuts are larger than movements
        steps = [np.abs(np.subtract(a, b, dtype=int)).mean() for a, b in pairwise(frames)]
        assert np.argmax(steps) == 3


def test_the_table_has_a_row_for_each_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = {"frechet": 12.3, "kernel": {"value": 0.0456, "spread": None}}
    engine = {
        "to_cartoons": apart,
        "to_photos": apart | {"kernel": {"value": 0.001, "spread": 0.0002}},
        "whole": {"cartoon_share": 0.5},
        "content_similarity": 0.61,
        "change": 20.4,
    }
    found = {
        "photos_to_cartoons": apart,
        "photos_whole": {"cartoon_share": 0.01},
        "engines": [{**engine, "style": name} for name in measure_experiments.COMPARED],
        "classifier": {"art_accuracy": 0.9, "held_out_art": 10, "photo_accuracy": 0.95},
    }
    card = EngineCard(
        style="x",
        title="X",
        description="",
        sha256={"x.onnx": "0123456789abcdef" * 4},
        parameters=1_500_000,
        multiply_adds_per_pixel=6_452,
        license="MIT",
    )
    monkeypatch.setattr(measure_experiments, "evaluate", lambda options: found)
    monkeypatch.setattr(measure_experiments, "read_card", lambda name, options: card)
    monkeypatch.setattr(
        measure_experiments, "read_log", lambda name, options: [{"memory_mb": 900.0}]
    )
    measure_experiments.print_table(Namespace(runs=tmp_path))
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[0] for row in rows[3:]] == [f"`{name}`" for name in measure_experiments.COMPARED]
    assert rows[3][2:] == [
        *("12, 45.6", "12, 1.0 ± 0.2", "50%", "0.61", "20"),
        *("1.50 million", "6.5 thousand", "900", "`01234567`"),
    ]

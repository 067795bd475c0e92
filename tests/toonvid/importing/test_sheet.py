"""The sheet shows every order and range, and a wrong one can be seen on it."""

from __future__ import annotations

import av
import numpy as np
import pytest
from support.cartoonizers import BUILDERS
from support.run_toonvid import run_here
from support.small_networks import first_channel_doubled, save

from toonvid.bench.demo_scene import draw_scene
from toonvid.importing.network import Network
from toonvid.importing.sheet import TILE_WIDTH, draw_sheet, fit_picture
from toonvid.importing.sizes import Sizes
from toonvid.video import Pixels

Capsys = pytest.CaptureFixture[str]
GAP = 8


def tiles_of(sheet: Pixels, width: int, height: int) -> list[list[Pixels]]:
    """Cut a sheet into its rows of tiles."""
    return [
        [
            sheet[top : top + height, left : left + width]
            for left in range(0, sheet.shape[1], width + GAP)
        ]
        for top in range(0, sheet.shape[0], height + GAP)
    ]


def test_a_wrong_order_or_range_is_another_picture():
    picture = draw_scene(96, 64, 1.0)
    network = Network(first_channel_doubled().SerializeToString())
    rows = tiles_of(draw_sheet(network, "NCHW", Sizes(1), None, picture), 96, 64)
    assert [len(row) for row in rows] == [4, 4]
    for row in rows:
        assert np.array_equal(row[0], picture)
    # In the range -1..1 the network enlarges one channel about the middle, and inverts the others.
    levels = picture.astype(float) - 127.5
    for row, factors in zip(rows, ([2, -1, -1], [-1, -1, 2]), strict=True):
        wanted = np.clip(levels * factors + 127.5, 0, 255)
        assert np.abs(row[1] - wanted).max() <= 1
    for row in rows:  # in the others, what is inverted is below 0: black
        for tile in row[2:]:
            assert tile.mean() < row[1].mean() - 20
    apart = np.abs(rows[0][1].astype(int) - rows[1][1]).mean()
    assert apart > 20


def test_pictures_are_fitted_to_the_network():
    assert fit_picture(np.zeros((900, 1600, 3), np.uint8), 32).shape == (192, TILE_WIDTH, 3)
    assert fit_picture(np.zeros((20, 30, 3), np.uint8), 32).shape == (32, 32, 3)
    assert fit_picture(np.zeros((65, 61, 3), np.uint8), 4).shape == (64, 60, 3)


def test_the_sheet_alone_adds_nothing(tmp_path, styles_folder, capsys: Capsys):
    path = save(BUILDERS["whitebox"](17), tmp_path / "mine.onnx")
    sheet = tmp_path / "sheet.png"
    ended = run_here(capsys, "styles", "add", path, "--sheet", sheet)
    assert ended.code == 0, ended.err
    assert "upper row RGB, lower row BGR" in ended.out
    assert "Nothing was added yet: give --order and --range, or --as." in ended.out
    assert not styles_folder.exists()
    with av.open(str(sheet)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert image.shape == (216 * 2 + GAP, TILE_WIDTH * 4 + GAP * 3, 3)


def test_a_picture_of_ones_own_is_on_the_sheet(tmp_path, scene_video, capsys: Capsys):
    path = save(BUILDERS["cartoongan"](17), tmp_path / "mine.onnx")
    options = ("--sheet", tmp_path / "s.png", "--picture", scene_video, "--as", "cartoongan")
    ended = run_here(capsys, "styles", "add", path, *options)
    assert ended.code == 0, ended.err
    assert "Added mine to " in ended.out
    with av.open(str(tmp_path / "s.png")) as container:
        image = next(container.decode(video=0))
    assert (image.width, image.height) == (96 * 4 + GAP * 3, 64 * 2 + GAP)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "does not say its order: give --order rgb or bgr, or --as FAMILY"),
        ((), "(its input is named as in --as whitebox)"),
        (("--order", "rgb"), "does not say its range: give --range -1..1, 0..1 or 0..255"),
        (("--picture", "a.png"), "is shown on a sheet: give --sheet too"),
        (("--as", "pixar"), "'pixar'"),
        (("--order", "rgb", "--range", "-1..1", "--name", "../up"), "style name '../up'"),
    ],
)
def test_what_is_missing_is_named_with_its_option(options, line, tmp_path, capsys: Capsys):
    path = save(BUILDERS["whitebox"](17), tmp_path / "mine.onnx")
    ended = run_here(capsys, "styles", "add", path, *options)
    assert ended.code in (1, 2)
    assert line in " ".join(ended.err.replace("│", " ").split())


def test_on_a_terminal_the_choices_are_asked_for(tmp_path, monkeypatch, capsys: Capsys):
    from toonvid.commands import styles_add
    from toonvid.engine import find_engine

    answers = iter(["green", "BGR", "-1..1"])
    monkeypatch.setattr(styles_add, "_can_ask", lambda: True)
    monkeypatch.setattr(styles_add.typer, "prompt", lambda question: next(answers))
    path = save(BUILDERS["whitebox"](17), tmp_path / "mine.onnx")
    ended = run_here(capsys, "styles", "add", path)
    assert ended.code == 0, ended.err
    assert find_engine("mine").card.recipe.endswith("; NHWC, BGR, -1..1")

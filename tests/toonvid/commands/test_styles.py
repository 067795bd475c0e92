"""`toonvid styles` with cards of strangers: broken ones get a line each, and the rest is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from support.run_toonvid import run_here
from support.tiny_engines import identity_engine, negative_engine

from toonvid import engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with engines besides the shipped ones: `identity` and `negative`."""
    monkeypatch.setenv("TOONVID_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    identity_engine(tmp_path / "engines")
    negative_engine(tmp_path / "engines")
    return tmp_path / "engines"


def change_card(folder: Path, **fields: object) -> None:
    """Change fields of the card of `identity`."""
    path = folder / "identity.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_text_of_a_card_is_neither_markup_nor_control_characters(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "[/x][red]\x1b]0;title\x07"
    change_card(folder, title=hostile, description=hostile, licence=hostile, recipe=hostile)
    for words in (("styles",), ("styles", "show", "identity"), ("styles", "verify")):
        ended = run_here(capsys, *words)
        assert ended.code == 0
        assert "\x1b]" not in ended.out + ended.err
        assert words[-1] == "verify" or r"[/x][red]\x1b]0;title\x07" in ended.out


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("card", "identity.json is not an engine card"),
        ("missing", "identity: cannot read"),
        ("device", "identity.json is not a file"),
    ],
)
def test_a_broken_style_gets_a_line_and_the_rest_is_listed(
    broken: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if broken == "card":
        change_card(folder, metrics={"fid": None})
    elif broken == "missing":
        (folder / "identity.onnx").unlink()
    else:
        (folder / "identity.json").unlink()
        (folder / "identity.json").symlink_to("/dev/zero")
    ended = run_here(capsys, "styles")
    assert ended.code == 0
    assert "Negative" in ended.out
    assert "Identity" not in ended.out
    assert [line for line in ended.err.splitlines() if message in line] == ended.err.splitlines()
    assert run_here(capsys, "styles", "verify").code == 1


def test_a_sheet_is_not_written_over_its_own_source(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), "red").save(photo)
    content = photo.read_bytes()
    refused = run_here(capsys, "styles", "try", photo, "-o", photo, "--overwrite")
    assert refused.code == 1
    assert "would be written over itself" in refused.err
    assert photo.read_bytes() == content


def test_a_damaged_style_is_left_out_of_the_sheet(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "shipped_engines", lambda: tmp_path / "none")
    (folder / "identity.onnx").write_bytes(b"damaged")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), "red").save(photo)
    ended = run_here(capsys, "styles", "try", photo, "-o", tmp_path / "sheet.png")
    assert ended.code == 1
    assert "left out identity: " in ended.err
    assert "the source, negative, row by row" in ended.out

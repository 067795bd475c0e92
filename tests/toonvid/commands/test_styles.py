"""`toonvid styles` with cards of strangers: broken ones get a line each, and the rest is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.run_toonvid import run_here
from support.tiny_engines import identity_engine, negative_engine


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

"""Engines and their cards: where they are found, and what is not trusted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.tiny_engines import identity_engine, negative_engine

from toonvid import engine as engines
from toonvid.engine import DataSource, Engine, EngineCard, find_engine, list_engines, user_engines
from toonvid.errors import EngineError


@pytest.fixture
def folders(tmp_path, monkeypatch) -> dict[str, Path]:
    """The three places where a name is looked up, all empty."""
    data = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(engines.sys, "platform", "linux")
    asked = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setenv("TOONVID_ENGINES", ":".join(map(str, asked)))
    monkeypatch.setattr(engines, "shipped_engines", lambda: tmp_path / "shipped")
    found = {"first": asked[0], "second": asked[1], "user": data / "toonvid" / "engines"}
    return found | {"shipped": tmp_path / "shipped"}


def test_names_are_looked_up_in_order(folders):
    for name in ("shipped", "user", "second", "first"):
        identity_engine(folders[name])
        assert find_engine("identity").folder == folders[name]
    assert user_engines() == folders["user"]


def test_without_the_variables_the_usual_places_are_searched(folders, monkeypatch, tmp_path):
    monkeypatch.delenv("TOONVID_ENGINES")
    monkeypatch.delenv("XDG_DATA_HOME")
    home = tmp_path / "home" / ".local" / "share" / "toonvid" / "engines"
    assert user_engines() == home
    identity_engine(home)
    assert find_engine("identity").folder == home


def test_a_path_needs_no_search(tmp_path):
    folder = identity_engine(tmp_path / "any where").folder
    for name in ("identity.onnx", "identity.json", "identity.int8.onnx"):
        assert find_engine(str(folder / name)).card.style == "identity"


def test_engines_are_listed_once_each_and_broken_cards_left_out(folders):
    identity_engine(folders["shipped"])
    identity_engine(folders["user"])
    negative_engine(folders["shipped"])
    (folders["user"] / "broken.json").write_text("{")
    listed = list_engines()
    assert [(e.card.style, e.folder) for e in listed] == [
        ("identity", folders["user"]),
        ("negative", folders["shipped"]),
    ]


def test_unknown_style_names_those_there_are(folders):
    with pytest.raises(EngineError, match="no style named 'inc'; there are: none"):
        find_engine("inc")
    identity_engine(folders["user"])
    with pytest.raises(EngineError, match="no style named 'inc'; there are: identity"):
        find_engine("inc")


@pytest.mark.parametrize(
    ("asked", "meant"), [("ident", "identity"), ("Identity", "identity"), ("negativ", "negative")]
)
def test_unknown_style_names_the_one_that_is_most_like_it(asked, meant, folders):
    identity_engine(folders["user"])
    negative_engine(folders["user"])
    with pytest.raises(EngineError, match=f"identity, negative; did you mean {meant}\\?$"):
        find_engine(asked)


@pytest.mark.parametrize("asked", ["nobody", ""])
def test_unknown_style_that_is_like_no_other_gets_no_advice(asked, folders):
    identity_engine(folders["user"])
    with pytest.raises(EngineError, match="there are: identity$"):
        find_engine(asked)


def test_shipped_engines_lie_at_the_top_of_a_checkout():
    assert engines.shipped_engines().name == "engines"


# Cards.

CARD = EngineCard(
    style="ink",
    title="Ink",
    description="Lines and “flat” colours.",
    sha256={"ink.onnx": "00", "ink.int8.onnx": "11"},
    parameters=12,
    multiply_adds_per_pixel=13,
    licence="MIT",
    trained_on=(DataSource("photos", "somebody", "CC0-1.0", "https://example.org", 7),),
    metrics={"warping_error_ratio": 1.5},
    multiple_of=4,
)


def test_a_card_comes_back_from_its_text_as_it_was():
    assert EngineCard.from_json(CARD.to_json()) == CARD
    assert "“" in CARD.to_json()
    assert CARD.precisions == ("f32", "int8")
    assert CARD.file_name("int8") == "ink.int8.onnx"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"card_version": 2}, "card version 2; this toonvid reads 1"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"style": "../evil"}, "style name '../evil'"),
        ({"style": "Ink"}, "style name 'Ink'"),
        ({"style": 7}, ""),
        ({"multiple_of": 0}, "multiple_of"),
        ({"sha256": {"other.onnx": "00"}}, "unknown file 'other.onnx'"),
        ({"sha256": {"ink.int8.onnx": "00"}}, "no SHA-256 of the float32 file"),
        ({"sha256": 5}, ""),
        ({"trained_on": [{"nickname": "x"}]}, "nickname"),
        ({"trained_on": 3}, ""),
        ({"multiple_of": "4"}, ""),
    ],
)
def test_a_card_that_does_not_fit_is_refused_in_one_line(change, message, tmp_path):
    values = json.loads(CARD.to_json()) | change
    (tmp_path / "ink.json").write_text(json.dumps(values))
    with pytest.raises(EngineError, match=f"is not an engine card: .*{message}") as refused:
        find_engine(str(tmp_path / "ink.json"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "null", "\x00\x01", '{"style": "ink"}', "{}", "[" * 100000]
)
def test_garbage_is_no_card(text, tmp_path):
    (tmp_path / "ink.json").write_text(text)
    with pytest.raises(EngineError, match="is not an engine card"):
        find_engine(str(tmp_path / "ink.onnx"))


def test_bytes_that_are_no_text_are_no_card(tmp_path):
    (tmp_path / "ink.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="is not an engine card"):
        find_engine(str(tmp_path / "ink.json"))


def test_a_missing_card_is_one_line(tmp_path):
    with pytest.raises(EngineError, match=r"cannot read the engine card .*ink\.json: No such file"):
        find_engine(str(tmp_path / "ink.onnx"))


def test_a_card_under_another_name_is_refused(tmp_path):
    (tmp_path / "pepper.json").write_text(CARD.to_json())
    with pytest.raises(EngineError, match=r"is the card of style 'ink': name it ink\.json"):
        find_engine(str(tmp_path / "pepper.json"))


# Files.


def test_the_file_a_card_describes_is_given(tmp_path):
    engine = identity_engine(tmp_path)
    assert engine.path() == tmp_path / "identity.onnx"
    assert engine.card_path == tmp_path / "identity.json"


def test_a_file_that_was_changed_is_refused(tmp_path):
    engine = identity_engine(tmp_path)
    with (tmp_path / "identity.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EngineError, match="is not the file its card describes"):
        engine.path()


def test_a_file_that_is_missing_is_refused(tmp_path):
    engine = identity_engine(tmp_path)
    (tmp_path / "identity.onnx").unlink()
    with pytest.raises(EngineError, match=r"cannot read .*No such file"):
        engine.path()


def test_a_precision_without_a_file_is_refused(tmp_path):
    with pytest.raises(EngineError, match=r"style identity has no int8 engine \(it has f32\)"):
        identity_engine(tmp_path).path("int8")


def test_values_are_frozen(tmp_path):
    engine = identity_engine(tmp_path)
    assert isinstance(engine, Engine)
    changed = replace(engine.card, title="Other")
    assert asdict(changed)["title"] == "Other"
    assert engine.card.title == "Identity"


def test_a_file_too_large_for_an_engine_is_refused_before_it_is_read(tmp_path):
    engine = identity_engine(tmp_path)
    with engine.path().open("r+b") as file:
        file.truncate(2**30 + 1)  # a hole: it takes no room
    with pytest.raises(EngineError, match="1073741825 bytes: an engine's has 1073741824 at the"):
        engine.path()
    with engine.card_path.open("r+b") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(EngineError, match="1048577 bytes: an engine's has 1048576 at the most"):
        engines.read_engine(engine.card_path)

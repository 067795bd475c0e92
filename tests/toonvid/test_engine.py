"""Engines and their cards: where they are found, and which files are refused."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace
from support.tiny_engines import identity_engine, negative_engine

from toonvid import engine as engine_module
from toonvid.engine import (
    Control,
    DataSource,
    Engine,
    EngineCard,
    copy_engine,
    find_engine,
    list_engines,
    read_engine,
    user_engines,
)
from toonvid.errors import ControlError, EngineError, TargetError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="about XDG_DATA_HOME")


@pytest.fixture
def folders(tmp_path, monkeypatch) -> dict[str, Path]:
    """The folders in which a name is searched for, in order of preference; all are empty."""
    data = tmp_path / "data"
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    listed = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setenv("TOONVID_ENGINES", os.pathsep.join(map(str, listed)))
    monkeypatch.setattr(engine_module, "shipped_engines", lambda: tmp_path / "shipped")
    found = {"first": listed[0], "second": listed[1], "user": data / "toonvid" / "engines"}
    return found | {"shipped": tmp_path / "shipped"}


@on_linux
def test_names_are_searched_for_in_order_of_the_folders(folders):
    for name in ("shipped", "user", "second", "first"):
        identity_engine(folders[name])
        assert find_engine("identity").folder == folders[name]
    assert user_engines() == folders["user"]


@on_linux
def test_without_environment_variables_the_default_folders_are_searched(
    folders, monkeypatch, tmp_path
):
    monkeypatch.delenv("TOONVID_ENGINES")
    monkeypatch.delenv("XDG_DATA_HOME")
    home = tmp_path / "home" / ".local" / "share" / "toonvid" / "engines"
    assert user_engines() == home
    identity_engine(home)
    assert find_engine("identity").folder == home


def test_a_path_is_not_searched_for(tmp_path):
    folder = identity_engine(tmp_path / "any where").folder
    for name in ("identity.onnx", "identity.json", "identity.int8.onnx"):
        assert find_engine(str(folder / name)).card.style == "identity"


def test_engines_are_listed_once_and_broken_cards_are_left_out(folders):
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
    with pytest.raises(EngineError, match=r"there are: identity$"):
        find_engine(asked)


def test_shipped_engines_lie_at_the_top_of_a_checkout():
    assert engine_module.shipped_engines().name == "engines"


# Cards.


def control(default: float, minimum: float, maximum: float, step: float = 0.1) -> dict[str, float]:
    return {"default": default, "minimum": minimum, "maximum": maximum, "step": step}


CARD = EngineCard(
    style="ink",
    title="Ink",
    description="Lines and “flat” colors.",
    sha256={"ink.onnx": "00", "ink.int8.onnx": "11"},
    parameters=12,
    multiply_adds_per_pixel=13,
    license="MIT",
    trained_on=(DataSource("photos", "somebody", "CC0-1.0", "https://example.org", 7),),
    metrics={"warping_error_ratio": 1.5},
    multiple_of=4,
)


def test_a_card_survives_a_round_trip_through_json():
    assert EngineCard.from_json(CARD.to_json()) == CARD
    assert "“" in CARD.to_json()
    assert CARD.precisions == ("f32", "int8")
    assert CARD.file_name("int8") == "ink.int8.onnx"


def test_a_card_keeps_the_field_names_of_format_version_1():
    values = json.loads(CARD.to_json())
    assert values["licence"] == "MIT"
    assert values["trained_on"] == [
        {
            "name": "photos",
            "author": "somebody",
            "licence": "CC0-1.0",
            "url": "https://example.org",
            "pictures": 7,
        }
    ]


def test_a_card_names_controls_only_if_there_are_any():
    assert "controls" not in json.loads(CARD.to_json())
    controls = {"ink": Control(default=1, minimum=0, maximum=2, step=0.1)}
    card = replace(CARD, controls=controls)
    assert EngineCard.from_json(card.to_json()) == card
    assert json.loads(card.to_json())["controls"] == {
        "ink": {"default": 1, "minimum": 0, "maximum": 2, "step": 0.1}
    }


def test_control_values_are_the_defaults_and_what_was_asked_for():
    controls = {
        "ink": Control(default=1, minimum=0, maximum=2, step=0.1),
        "tones": Control(default=6, minimum=2, maximum=12, step=1),
    }
    card = replace(CARD, controls=controls)
    assert card.control_values() == {"ink": 1, "tones": 6}
    assert card.control_values({"tones": 12}) == {"ink": 1, "tones": 12}
    assert CARD.control_values({}) == {}
    for wrong, message in (
        ({"tones": 12.5}, "tones 12.5 is outside the range of style ink: 2 to 12"),
        ({"ink": float("nan")}, "ink nan is outside the range of style ink: 0 to 2"),
        ({"saturation": 1}, r"style ink has no control saturation \(it has ink, tones\)"),
    ):
        with pytest.raises(ControlError, match=message):
            card.control_values(wrong)


def test_shipped_cards_are_written_back_byte_for_byte():
    cards = sorted(engine_module.shipped_engines().glob("*.json"))
    assert cards
    for path in cards:
        text = path.read_text(encoding="utf-8")
        assert EngineCard.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"card_version": 2}, "card version 2; this toonvid reads 1"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"style": "../evil"}, "style name '../evil'"),
        ({"style": "Ink"}, "style name 'Ink'"),
        ({"style": 7}, r"Expected `str`, got `int` - at `\$\.style`"),
        ({"multiple_of": 0}, "multiple_of"),
        ({"sha256": {"other.onnx": "00"}}, "unknown file 'other.onnx'"),
        ({"sha256": {"ink.int8.onnx": "00"}}, "no SHA-256 of the float32 file"),
        ({"sha256": 5}, r"Expected `object`, got `int` - at `\$\.sha256`"),
        ({"sha256": {"ink.onnx": 5}}, r"Expected `str`, got `int` - at `\$\.sha256\["),
        (
            {"trained_on": [{"nickname": "x"}]},
            r"unknown field `nickname` - at `\$\.trained_on\[0\]`",
        ),
        ({"trained_on": 3}, r"Expected `array`, got `int` - at `\$\.trained_on`"),
        ({"controls": {"ink": {"default": 1}}}, "missing required field `minimum`"),
        ({"controls": {"gloss": control(1, 0, 2)}}, "Invalid enum value 'gloss'"),
        ({"controls": {"ink": control(3, 0, 2)}}, "default 3 is not in 0 to 2"),
        ({"controls": {"ink": control(1, 2, 0)}}, "default 1 is not in 2 to 0"),
        ({"controls": {"ink": control(1, 0, 2, step=0)}}, "step = 0"),
        ({"multiple_of": 10**9}, "multiple_of = 1000000000; it is 1 to 256"),
        ({"parameters": 10**400}, r"Expected `int` <= 9007199254740992 - at `\$\.parameters`"),
        ({"parameters": -1}, r"Expected `int` >= 0 - at `\$\.parameters`"),
        ({"metrics": {"fid": None}}, r"Expected `int \| float`, got `null` - at `\$\.metrics"),
        ({"metrics": {"fid": 10**400}}, r"Expected `int` <= .* - at `\$\.metrics"),
        ({"title": "\ud800"}, "JSON is malformed"),
        ({"multiple_of": "4"}, r"Expected `int`, got `str` - at `\$\.multiple_of`"),
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
def test_text_that_is_not_a_card_is_refused(text, tmp_path):
    (tmp_path / "ink.json").write_text(text)
    with pytest.raises(EngineError, match="is not an engine card"):
        find_engine(str(tmp_path / "ink.onnx"))


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "ink.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="is not an engine card"):
        find_engine(str(tmp_path / "ink.json"))


def test_a_missing_card_is_an_error_of_one_line(tmp_path):
    with pytest.raises(EngineError, match=r"cannot read the engine card .*ink\.json: No such file"):
        find_engine(str(tmp_path / "ink.onnx"))


def test_a_card_under_another_name_is_refused(tmp_path):
    (tmp_path / "pepper.json").write_text(CARD.to_json())
    with pytest.raises(EngineError, match=r"is the card of style 'ink': name it ink\.json"):
        find_engine(str(tmp_path / "pepper.json"))


# Files.


def test_path_returns_the_file_that_the_card_describes(tmp_path):
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


def test_replace_leaves_the_original_card_unchanged(tmp_path):
    engine = identity_engine(tmp_path)
    assert isinstance(engine, Engine)
    changed = replace(engine.card, title="Other")
    assert asdict(changed)["title"] == "Other"
    assert engine.card.title == "Identity"


def test_a_file_too_large_for_an_engine_is_refused_before_it_is_read(tmp_path):
    engine = identity_engine(tmp_path)
    with engine.path().open("r+b") as file:
        file.truncate(2**30 + 1)  # a hole: it takes no room
    with pytest.raises(EngineError, match="1073741825 bytes; at most 1073741824 are allowed"):
        engine.path()
    with engine.card_path.open("r+b") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(EngineError, match="1048577 bytes; at most 1048576 are allowed"):
        engine_module.read_engine(engine.card_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["ink.json", "ink.onnx"])
@pytest.mark.parametrize("kind", ["pipe", "link to a device", "folder"])
def test_what_is_not_a_file_is_refused_before_it_is_opened(kind, name, tmp_path):
    """A pipe that nobody writes to is silent for ever, and /dev/zero never ends."""
    (tmp_path / "ink.onnx").write_bytes(b"x")
    (tmp_path / "ink.json").write_text(CARD.to_json())
    (tmp_path / name).unlink()
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(EngineError, match=rf"{name.replace('.', '[.]')} is not a file"):
        find_engine(str(tmp_path / "ink.onnx")).path()


def test_a_copied_engine_replaces_an_older_one_as_a_whole(tmp_path: Path) -> None:
    old = identity_engine(tmp_path / "styles")
    (old.folder / "identity.int8.onnx").write_bytes(b"of the older engine")
    hashes = {**old.card.sha256, "identity.int8.onnx": "0" * 64}
    old.card_path.write_text(replace(old.card, sha256=hashes).to_json())
    new = identity_engine(tmp_path / "new", multiple_of=4)
    copy = copy_engine(new, old.folder)
    copy.check_files()
    assert read_engine(copy.card_path).card.multiple_of == 4
    assert sorted(path.name for path in old.folder.iterdir()) == ["identity.json", "identity.onnx"]


@pytest.mark.parametrize("card", [None, "no card", "of an engine"])
def test_copying_an_engine_deletes_no_files_of_others(card, tmp_path):
    engine, folder = identity_engine(tmp_path / "engines"), tmp_path / "mine"
    folder.mkdir()
    others = {folder / f"identity{suffix}" for suffix in (".xml", ".bin", ".int8.onnx")}
    for path in others:
        path.write_bytes(b"of the user")
    if card is not None:
        engine_card = engine.card.to_json() if card == "of an engine" else card
        (folder / "identity.json").write_text(engine_card)
    copy_engine(engine, folder).check_files()
    assert all(path.read_bytes() == b"of the user" for path in others)


def test_an_engine_that_cannot_be_copied_leaves_the_older_one(tmp_path: Path) -> None:
    old = identity_engine(tmp_path / "styles")
    new = identity_engine(tmp_path / "new", multiple_of=4)
    content = b"a second file, in whose place there is a folder"
    (new.folder / "identity.f16.onnx").write_bytes(content)
    hashes = {**new.card.sha256, "identity.f16.onnx": hashlib.sha256(content).hexdigest()}
    (old.folder / "identity.f16.onnx").mkdir()
    with pytest.raises(TargetError, match="cannot copy the style identity"):
        copy_engine(Engine(replace(new.card, sha256=hashes), new.folder), old.folder)
    read_engine(old.card_path).check_files()
    assert read_engine(old.card_path).card.multiple_of == 1

"""Generated input for times, sizes, templates and cards: a value, or one clear error."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from toonvid.commands.arguments import parse_size, parse_time
from toonvid.engine import EngineCard
from toonvid.errors import TargetError
from toonvid.writing.output_paths import plan_targets

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
GOOD_CARD = {
    "style": "ink",
    "title": "Ink",
    "description": "",
    "sha256": {"ink.onnx": "0" * 64},
    "parameters": 1,
    "multiply_adds_per_pixel": 1,
    "licence": "MIT",
}


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_card_or_a_value_error(text):
    with pytest.raises(ValueError):
        EngineCard.from_json(text)


@given(st.dictionaries(st.sampled_from([*GOOD_CARD, "trained_on", "tolerance", "opset"]), ANY_JSON))
def test_a_card_with_any_values_is_read_or_refused(values):
    try:
        card = EngineCard.from_json(json.dumps(GOOD_CARD | values))
    except ValueError:
        return
    assert EngineCard.from_json(card.to_json()) == card
    assert isinstance(card.sha256, dict) and isinstance(card.multiple_of, int)
    assert isinstance(card.title, str) and isinstance(card.trained_on, tuple)


@given(st.integers(0, 99), st.integers(0, 59), st.decimals(0, 59, places=3))
def test_a_time_that_is_written_is_read(hours, minutes, seconds):
    expected = hours * 3600 + minutes * 60 + Fraction(seconds)
    assert parse_time(f"{hours}:{minutes:02}:{seconds}") == expected


@given(st.text() | st.from_regex(r"[0-9:. ]{1,12}", fullmatch=True))
def test_any_text_is_a_time_or_refused(text):
    try:
        assert parse_time(text) >= 0
    except typer.BadParameter as error:
        assert "is not a time" in str(error)


@given(st.text())
def test_any_text_is_a_size_or_refused(text):
    try:
        assert parse_size(text) is not None
    except typer.BadParameter as error:
        assert "is not a size" in str(error)


@given(st.text() | st.lists(st.sampled_from(["{stem}", "{style}", "{ext}", "{", "}", "a", "/"]))
       .map("".join))  # fmt: skip
def test_any_template_names_a_target_or_is_refused(template):
    try:
        [job] = plan_targets(["video.mkv"], "x{" + template, "ink")
    except TargetError as error:
        assert "is not a field" in str(error)
        return
    assert job.target.startswith("x")


@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_template_gives_the_name_of_the_source_and_nothing_above_it(name):
    if name in (".", ".."):
        return
    [job] = plan_targets([f"folder/{name}.mkv"], "out/{stem}.{style}{ext}", "ink")
    assert job.target == f"out/{name}.ink.mkv"

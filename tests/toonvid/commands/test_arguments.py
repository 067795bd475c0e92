from __future__ import annotations

from fractions import Fraction

import pytest
import typer

from toonvid.commands.arguments import parse_size, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1:30", 90),
        ("0:01:30.5", Fraction(181, 2)),
        ("1:00:00", 3600),
        ("0.04", "1/25"),
    ],
)
def test_times_are_exact(text: str, seconds: Fraction | int | str) -> None:
    assert parse_time(text) == Fraction(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "soon", "1:", "1e3"])
def test_other_words_are_no_times(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        parse_time(text)


def test_sizes_are_boxes_or_short_sides() -> None:
    assert parse_size("1280x720") == (1280, 720)
    assert parse_size("720p") == 720
    assert parse_size(None) is None


@pytest.mark.parametrize("text", ["", "720", "0p", "0x10", "10x", "1280x720p", "-4p"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no size"):
        parse_size(text)

"""Parsing of times, sizes and lists on the command line."""

from __future__ import annotations

from fractions import Fraction

import pytest
import typer

from toonvid.commands.arguments import (
    even_frame_size,
    format_size,
    parse_size,
    parse_sizes,
    parse_time,
    wide_frame_size,
)


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
def test_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time"):
        parse_time(text)


def test_sizes_are_boxes_or_short_sides() -> None:
    assert parse_size("1280x720") == (1280, 720)
    assert parse_size("720p") == 720
    assert parse_size(" 720p ") == 720


def test_a_short_side_alone_means_a_frame_of_16_to_9() -> None:
    assert wide_frame_size(720) == (1280, 720)
    assert wide_frame_size((640, 480)) == (640, 480)
    assert even_frame_size(100) == (178, 100)
    assert even_frame_size((97, 1)) == (96, 2)


def test_sizes_are_separated_by_commas() -> None:
    assert parse_sizes(["360p,65x48", "720p"], ()) == [360, (64, 48), 720]
    assert parse_sizes(None, ("720p",)) == [720]
    assert [format_size(size) for size in (720, (64, 48))] == ["720p", "64x48"]


@pytest.mark.parametrize("text", ["", "720", "0p", "0x10", "10x", "1280x720p", "-4p"])
def test_other_text_is_not_a_size(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size"):
        parse_size(text)

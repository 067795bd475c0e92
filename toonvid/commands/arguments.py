"""Parsing of times, sizes, core counts and settings: text of the command line becomes values."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TypeAlias

import typer

from toonvid.choices import BACKENDS, REQUESTED_PRECISIONS

Size: TypeAlias = tuple[int, int] | int
"""A box (width, height) or the short side, in pixels."""

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")
_BOX = re.compile(r"(\d+)x(\d+)")
_SHORT_SIDE = re.compile(r"(\d+)p")
_WIDE_ASPECT = Fraction(16, 9)  # of a frame of which only the short side is given


def parse_time(text: str) -> Fraction:
    """Parse `90`, `1:30` or `0:01:30.5`.

    Returns:
        Seconds, exact.

    Raises:
        typer.BadParameter: The text is not a time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a time; write 90, 1:30 or 0:01:30.5")
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_size(text: str) -> Size:
    """Parse `1280x720` (a box) or `720p` (a short side).

    Raises:
        typer.BadParameter: The text is neither, or has no pixels.
    """
    box, side = _BOX.fullmatch(text.strip()), _SHORT_SIDE.fullmatch(text.strip())
    if box is not None and min(int(box[1]), int(box[2])) > 0:
        return int(box[1]), int(box[2])
    if side is not None and int(side[1]) > 0:
        return int(side[1])
    raise typer.BadParameter(f"{text!r} is not a size; write 1280x720 or 720p", param_hint="--size")


def parse_sizes(texts: list[str] | None, default: tuple[str, ...]) -> list[Size]:
    """Parse `360p,1280x720`; the sides of a box are rounded to even numbers.

    Args:
        texts: Sizes, with commas between; None for the default.
        default: Sizes to take when none are given.
    """
    sizes = [parse_size(text) for text in ",".join(texts or default).split(",")]
    return [_even(*size) if isinstance(size, tuple) else size for size in sizes]


def wide_frame_size(size: Size) -> tuple[int, int]:
    """Width and height of a frame in pixels; a short side alone means a frame of 16:9."""
    return size if isinstance(size, tuple) else (round(size * _WIDE_ASPECT), size)


def even_frame_size(size: Size) -> tuple[int, int]:
    """Like `wide_frame_size`, rounded to even numbers, as encoders need them."""
    return _even(*size) if isinstance(size, tuple) else _even(size * _WIDE_ASPECT, size)


def format_size(size: Size) -> str:
    """Format a size as it may be typed."""
    return f"{size[0]}x{size[1]}" if isinstance(size, tuple) else f"{size}p"


def parse_cores(text: str) -> list[int]:
    """Parse `1,2` as counts of CPU cores that this machine has.

    Raises:
        typer.BadParameter: The text is not such a list, or the system cannot pin processes.
    """
    from toonvid.bench.child_process import can_pin
    from toonvid.bench.work_time import core_count

    if not can_pin():
        raise typer.BadParameter("this system cannot pin a process to cores", param_hint="--cores")
    words = [word.strip() for word in text.split(",")]
    available = core_count()
    if not all(word.isdecimal() and 0 < int(word) <= available for word in words):
        raise typer.BadParameter(
            f"{text!r}: write numbers from 1 to {available}, with commas between",
            param_hint="--cores",
        )
    return [int(word) for word in words]


def parse_other(text: str) -> dict[str, str]:
    """Parse `ink,precision=f32` as settings: style, backend, precision, at-once.

    Raises:
        typer.BadParameter: A part is not one of the settings.
    """
    known = {"backend": BACKENDS, "precision": REQUESTED_PRECISIONS, "at-once": ("1",)}
    settings: dict[str, str] = {}
    for number, part in enumerate(text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not equals and number == 0:
            if name:
                settings["style"] = name
        elif name in known and value in known[name]:
            settings[name] = value
        else:
            names = "; ".join(f"{key}={'|'.join(values)}" for key, values in known.items())
            raise typer.BadParameter(
                f"{part!r} is not a setting; there are {names}", param_hint="--compare-with"
            )
    return settings


def _even(width: Fraction | int, height: int) -> tuple[int, int]:
    return max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)

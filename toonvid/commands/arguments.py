"""How words of the command line become values."""

from __future__ import annotations

import re
from fractions import Fraction

import typer

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")
_BOX = re.compile(r"(\d+)x(\d+)")
_SHORT_SIDE = re.compile(r"(\d+)p")


def parse_time(text: str) -> Fraction:
    """Seconds from `90`, `1:30`, `0:01:30.5`.

    Raises:
        typer.BadParameter: It is none of these.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write 90, 1:30 or 0:01:30.5")
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_size(text: str | None) -> tuple[int, int] | int | None:
    """A box from `1280x720`, a short side from `720p`, None from nothing.

    Raises:
        typer.BadParameter: It is neither, or has no pixels.
    """
    if text is None:
        return None
    box, side = _BOX.fullmatch(text.strip()), _SHORT_SIDE.fullmatch(text.strip())
    if box is not None and min(int(box[1]), int(box[2])) > 0:
        return int(box[1]), int(box[2])
    if side is not None and int(side[1]) > 0:
        return int(side[1])
    raise typer.BadParameter(f"{text!r} is no size; write 1280x720 or 720p", param_hint="--size")

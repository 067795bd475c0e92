"""How words of `toonvid bench` become values."""

from __future__ import annotations

from typing import TypeAlias

import typer

from toonvid.choices import BACKENDS, REQUESTED_PRECISIONS
from toonvid.commands.arguments import parse_size

Size: TypeAlias = tuple[int, int] | int
"""A box or a short side, in pixels."""


def parse_other(text: str) -> dict[str, str]:
    """`ink,precision=f32` as its settings."""
    known = {"backend": BACKENDS, "precision": REQUESTED_PRECISIONS, "at-once": ("1",)}
    found: dict[str, str] = {}
    for number, part in enumerate(text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not equals and number == 0:
            if name:
                found["style"] = name
        elif name in known and value in known[name]:
            found[name] = value
        else:
            names = "; ".join(f"{key}={'|'.join(values)}" for key, values in known.items())
            raise typer.BadParameter(
                f"{part!r} is no setting; there are {names}", param_hint="--compare-with"
            )
    return found


def parse_sizes(texts: list[str] | None, default: tuple[str, ...]) -> list[Size]:
    """`360p,1280x720` as numbers, both sides even."""
    sizes: list[Size] = []
    for text in ",".join(texts or default).split(","):
        size = parse_size(text)
        assert size is not None
        if isinstance(size, tuple):
            size = (max(2, round(size[0] / 2) * 2), max(2, round(size[1] / 2) * 2))
        sizes.append(size)
    return sizes


def parse_cores(text: str) -> list[int]:
    """`1,2` as numbers of cores that are here."""
    from toonvid.bench.child_process import can_pin
    from toonvid.bench.work_time import core_count

    if not can_pin():
        raise typer.BadParameter("this system pins no process to cores", param_hint="--cores")
    words = [word.strip() for word in text.split(",")]
    here = core_count()
    if not all(word.isdecimal() and 0 < int(word) <= here for word in words):
        raise typer.BadParameter(
            f"{text!r}: write numbers from 1 to {here}, with commas between", param_hint="--cores"
        )
    return [int(word) for word in words]


def describe(size: Size) -> str:
    """As it may be typed."""
    return f"{size[0]}x{size[1]}" if isinstance(size, tuple) else f"{size}p"

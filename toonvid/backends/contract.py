"""What backends have in common: DESIGN's contract of an engine, and how its breach is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from toonvid.engine import Engine
from toonvid.errors import BackendError


def check_port(engine: Engine, role: str, names: Sequence[str], fits: bool, found: str) -> None:
    """Hold one side of an engine's graph to the contract: a single uint8 (N, H, W, 3).

    Args:
        engine: Whose card names the port.
        role: `input` or `output`.
        names: All that the graph has on this side.
        fits: Whether type and shape are the contract's, as far as they are known.
        found: The type and shape it has, in words.

    Raises:
        BackendError: It is something else.
    """
    style, name = engine.card.style, getattr(engine.card, role)
    if list(names) != [name]:
        raise BackendError(f"engine {style} has no single {role} {name!r}")
    if not fits:
        raise BackendError(f"engine {style}: {role} is {found}, not uint8 (N, H, W, 3)")


def frames_failed(library: str, shape: Sequence[int], reason: str) -> BackendError:
    """The error of frames, (N, H, W, 3), that a library could not turn into cartoons."""
    size = "x".join(str(side) for side in shape)
    return BackendError(f"{library} failed with frames of {size}: {reason}")


def one_line(error: Exception | str, which: Literal["first", "last"] = "first") -> str:
    """The line of a long message that says most: libraries put it at either end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0 if which == "first" else -1] if lines else "unknown error"

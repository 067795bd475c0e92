"""The tensors of a training state, to compare two states."""

from __future__ import annotations

from torch import Tensor


def tensors(values: object, path: str = "") -> dict[str, Tensor]:
    """All tensors of a training state, by their path in it."""
    if isinstance(values, Tensor):
        return {path: values}
    found: dict[str, Tensor] = {}
    for name, inner in values.items() if isinstance(values, dict) else ():
        found |= tensors(inner, f"{path}/{name}")
    return found

"""Families of cartoonizers whose files many people have, and what their networks expect.

In: the name of a family. Out: color order, value range and frame sizes, which no graph states.
Layout and size are read from the file itself (`toonvid.importing.facts`).
"""

from __future__ import annotations

from dataclasses import dataclass

from toonvid.choices import ColorOrder, FamilyName, ValueRange

# Beginnings of the names that the projects' own exports give to the input, in lower case.
_INPUT_NAMES: dict[str, FamilyName] = {
    "animeganv3_input": "animeganv3",
    "generator_input": "animeganv2",
    "input_photo": "whitebox",
}


@dataclass(frozen=True)
class Family:
    """What the networks of one family expect and give."""

    title: str
    """Name of the project."""
    order: ColorOrder
    """Order of the color channels of input and output."""
    value_range: ValueRange
    """Range of the values of input and output."""
    multiple_of: int
    """Sides of frames, in pixels, that the project's own code rounds to."""
    smallest_side: int = 1
    """Smallest side of frames, in pixels, that the project's own code uses."""


# The own inference code of each project, except face-paint: bryandlee/animegan2-pytorch.
FAMILIES: dict[FamilyName, Family] = {
    "animeganv3": Family("AnimeGANv3", "rgb", "-1..1", multiple_of=8, smallest_side=256),
    "animeganv2": Family("AnimeGANv2", "rgb", "-1..1", multiple_of=32, smallest_side=256),
    "face-paint": Family("face-paint (animegan2-pytorch)", "rgb", "-1..1", multiple_of=32),
    "whitebox": Family("White-box Cartoonization", "bgr", "-1..1", multiple_of=4),
    "cartoongan": Family("CartoonGAN (the authors')", "bgr", "-1..1", multiple_of=4),
    "cartoongan-tf": Family("CartoonGan-tensorflow", "rgb", "-1..1", multiple_of=4),
    "fast-neural-style": Family(
        "fast neural style (ONNX model zoo)", "rgb", "0..255", multiple_of=4
    ),
}


def likely_family(input_name: str) -> FamilyName | None:
    """Return the family whose own exports name their input so; None if no family is known to.

    A name is no proof: it is good for advice, and not for a choice.
    """
    name = input_name.lower()
    return next((found for start, found in _INPUT_NAMES.items() if name.startswith(start)), None)

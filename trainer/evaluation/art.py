"""Which images the cartoon classifier learns from, and which it is tested with.

Folders of art, folders of photos and patterns of held-out art go in; lists of paths come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from toonvid.errors import TrainingError
from trainer.data.images import find_images

LEARNED_IMAGES = 800
"""Largest number of images of each kind, shared evenly between the folders."""
HELD_OUT_SHARE = 0.2
"""Share of each folder that is held out where no pattern says which images."""
HELD_OUT_IMAGES = 400
"""Largest number of held-out images of art."""


@dataclass(frozen=True)
class ArtSources:
    """Paths of the images that the classifier learns from and is tested with."""

    art: tuple[Path, ...]
    """Art to learn from."""
    photos: tuple[Path, ...]
    """Photos to learn from."""
    held_out: tuple[Path, ...]
    """Art to test with."""


def find_art(
    art: Sequence[Path], photos: Sequence[Path], held_out: Sequence[str], seed: int
) -> ArtSources:
    """Lists images of art and photos.

    Args:
        art: Folders of art, one for each hand; each contributes as many images.
        photos: Folders of photos, none of which is evaluated.
        held_out: Patterns of paths relative to the parent of a folder, such as `pepper/e08*`. None:
            the last fifth of each folder by name, so that pages of one work stay together.
        seed: Decides which images of a large folder are used.

    Raises:
        TrainingError: A folder has no images, or nothing is held out, or all is.
    """
    random = np.random.default_rng(seed)
    learned, tested = [], []
    for folder in art:
        paths = find_images(folder, "art")
        if held_out:
            names = [path.relative_to(folder.parent).as_posix() for path in paths]
            apart = [any(fnmatch(name, pattern) for pattern in held_out) for name in names]
        else:
            first = round((1 - HELD_OUT_SHARE) * len(paths))
            apart = [index >= first for index in range(len(paths))]
        learned.append([path for path, is_apart in zip(paths, apart, strict=True) if not is_apart])
        tested.append([path for path, is_apart in zip(paths, apart, strict=True) if is_apart])
    if not any(learned) or not any(tested):
        kind = "learn from" if not any(learned) else "test with"
        raise TrainingError(f"no art is left to {kind}: see --held-out")
    chosen = _sample(learned, LEARNED_IMAGES, random)
    others = [find_images(folder, "photos") for folder in photos]
    return ArtSources(
        art=chosen,
        photos=_sample(others, len(chosen), random),
        held_out=_sample(tested, HELD_OUT_IMAGES, random),
    )


def _sample(
    groups: Sequence[Sequence[Path]], count: int, random: np.random.Generator
) -> tuple[Path, ...]:
    """Draws up to `count` paths, as many of each group as of the others or all of a small one."""
    ordered = sorted(groups, key=len)
    chosen: list[Path] = []
    for index, group in enumerate(ordered):
        share = (count - len(chosen)) // (len(ordered) - index)
        picked = random.permutation(len(group))[:share]
        chosen += [group[number] for number in sorted(picked)]
    return tuple(chosen)

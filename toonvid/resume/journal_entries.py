"""FinishedSegment: what the journal of a conversion says of a segment, and of the whole source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toonvid.resume.journal import JournalEntry
from toonvid.resume.segment_file import Segment
from toonvid.video import Frame


@dataclass(frozen=True)
class FinishedSegment:
    """A finished segment, and what has to be known to go on behind it."""

    number: int
    """From 0."""
    segment: Segment
    film_seconds: float
    """Where its last frame ends."""
    tail: list[list[str]]
    """(time, hash) of its last source frames."""
    whole: bool
    """Whether the source was in order so far."""
    like: list[str]
    """Width, height and time base of the film's first cartoon, and whether one sees through it."""

    @classmethod
    def describe(
        cls,
        number: int,
        segment: Segment,
        film_seconds: float,
        tail: list[list[str]],
        whole: bool,
        first: Frame,
    ) -> FinishedSegment:
        """Put together what was just written."""
        height, width = first.pixels.shape[:2]
        like = [str(width), str(height), str(first.time_base), str(first.alpha is not None)]
        return cls(number, segment, film_seconds, tail, whole, like)

    @classmethod
    def from_entry(cls, entry: JournalEntry) -> FinishedSegment:
        """Read a line of the journal."""
        segment = Segment(**entry["segment"])  # type: ignore[arg-type]
        return cls(**{**entry, "segment": segment})  # type: ignore[arg-type]

    @property
    def first(self) -> Frame:
        """A black frame of the first cartoon's kind."""
        width, height = int(self.like[0]), int(self.like[1])
        alpha = np.zeros((height, width), np.uint8) if self.like[3] == str(True) else None
        pixels = np.zeros((height, width, 3), np.uint8)
        return Frame(pixels, 0, Fraction(self.like[2]), alpha=alpha)


@dataclass(frozen=True)
class SourceEnd:
    """What is known once the source was read to its end."""

    segments: int
    frames: int
    film_seconds: float
    notices: list[str]
    damage: str | None

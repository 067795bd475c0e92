"""Cut: where a film is cut into segments, and how the end of one is found again in the source."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from toonvid.video import Frame

_LEAST_FRAMES = 2  # of a segment: lone key frames in a row look like one to a player


class Cutter:
    """Tells to which segment a frame belongs, by nothing but the frames since the last cut."""

    def __init__(self, seconds: Fraction, number: int) -> None:
        """Remember which segment the next frame begins, and how long segments are."""
        self._seconds, self._number = seconds, number
        self._begin: Fraction | None = None
        self._frames = 0

    def __call__(self, frame: Frame) -> int:
        if self._begin is None:
            self._begin = frame.seconds
        is_long = frame.seconds - self._begin >= self._seconds
        if is_long and self._frames >= _LEAST_FRAMES:
            self._number += 1
            self._begin, self._frames = frame.seconds, 0
        self._frames += 1
        return self._number


def read_tail(tail: list[list[str]], frames: Iterator[Frame]) -> list[Frame] | None:
    """Read the frames up to the end of a finished segment.

    Args:
        tail: (time in seconds, hash) of the segment's last source frames.
        frames: Source frames, from the first of the tail or from before it. Those after the tail
            are left unread.

    Returns:
        The frames of the tail; None if they are not those that the segment had.
    """
    found: list[Frame] = []
    wanted = deque(tail)
    for frame in frames:
        time, picture = wanted[0]
        if frame.seconds < Fraction(time):
            continue
        if frame.seconds > Fraction(time) or digest(frame) != picture:
            return None
        found.append(frame)
        wanted.popleft()
        if not wanted:
            return found
    return None


def remembered(frames: Iterable[Frame], tail: deque[Frame]) -> Iterator[Frame]:
    """The frames; `tail` keeps the last of them."""
    for frame in frames:
        tail.append(frame)
        yield frame


def digest(frame: Frame) -> str:
    """What tells a frame's picture from any other."""
    return hashlib.blake2b(frame.pixels.data, digest_size=16).hexdigest()

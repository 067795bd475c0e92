"""Boundaries: where a video is split into segments, and how the end of one is found again.

In: frames of the source, in order. Out: the number of each frame's segment, and hashes of the last
frames of a segment, by which a later run knows that it reads on at the right place.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from toonvid.video import Frame

# Frames in a segment: a row of single key frames looks like images, not a video, to some players.
_LEAST_FRAMES = 2


class Splitter:
    """Numbers the segment of each frame.

    The number depends on nothing but the frames since the last boundary, so that a run that goes
    on behind a finished segment splits the rest as an undisturbed run does.
    """

    def __init__(self, segment_seconds: Fraction, first_number: int) -> None:
        """Begin before a boundary.

        Args:
            segment_seconds: Least length of a segment, in seconds.
            first_number: Number of the segment that the next frame begins.
        """
        self._segment_seconds = segment_seconds
        self._number = first_number
        self._begin: Fraction | None = None  # of the segment, in seconds
        self._frame_count = 0  # in the segment so far

    def __call__(self, frame: Frame) -> int:
        """Return the number of the segment of the next frame."""
        return self.segment_at(frame.seconds)

    def segment_at(self, seconds: Fraction) -> int:
        """Return the number of the segment of the next frame, which begins at a time."""
        if self._begin is None:
            self._begin = seconds
        is_long = seconds - self._begin >= self._segment_seconds
        if is_long and self._frame_count >= _LEAST_FRAMES:
            self._number += 1
            self._begin, self._frame_count = seconds, 0
        self._frame_count += 1
        return self._number


def read_last_frames(last_frames: list[list[str]], frames: Iterator[Frame]) -> list[Frame] | None:
    """Read the frames up to the end of a finished segment.

    Args:
        last_frames: What `identify` returned for the last source frames of the segment.
        frames: Source frames, from the first of these or from before it. Those behind the segment
            are left unread.

    Returns:
        The last frames of the segment; None if they are not those that it had, because the source
        was not read from the place that was sought.
    """
    found: list[Frame] = []
    missing = deque(last_frames)
    for frame in frames:
        seconds, digest = missing[0]
        if frame.seconds < Fraction(seconds):
            continue
        if frame.seconds > Fraction(seconds) or _digest(frame) != digest:
            return None
        found.append(frame)
        missing.popleft()
        if not missing:
            return found
    return None


def keep_last(frames: Iterable[Frame], last: deque[Frame]) -> Iterator[Frame]:
    """Yield the frames unchanged; `last`, of a limited length, holds the latest of them."""
    for frame in frames:
        last.append(frame)
        yield frame


def identify(frames: Iterable[Frame]) -> list[list[str]]:
    """Return [time in seconds, hash of the pixels] of each frame, as the journal stores it."""
    return [[str(frame.seconds), _digest(frame)] for frame in frames]


def _digest(frame: Frame) -> str:
    return hashlib.blake2b(frame.pixels.data, digest_size=16).hexdigest()

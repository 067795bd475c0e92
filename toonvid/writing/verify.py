"""Verify: a finished target is read again before it goes to its place. Nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from toonvid.errors import TargetError
from toonvid.video import is_cover


def verify(file: Path, target: str, frame_count: int, times: Sequence[Fraction] | None) -> None:
    """See that every frame is in a file, the first and last as far apart as they were written.

    Args:
        file: The finished target, where it lies so far.
        target: What to call it in a message.
        frame_count: How many frames were written.
        times: When they are shown, in seconds, the first and the last at the ends; None where that
            is not to be looked at.

    Raises:
        TargetError: Frames are missing, or their times are others.
    """
    count, first, last = 0, None, None
    with av.open(str(file), metadata_errors="replace") as container:
        stream = next(s for s in container.streams.video if not is_cover(s))
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                count += 1
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                last = time if last is None else max(last, time)
        tick = stream.time_base or Fraction(1)
    if count != frame_count or first is None or last is None:
        raise TargetError(
            f"cannot write {target}: {count} of {frame_count} frames arrived; is the disk full?"
        )
    if times is not None and abs(last - first - (times[-1] - times[0])) > 2 * tick:
        raise TargetError(f"cannot write {target}: its container cannot keep the times")

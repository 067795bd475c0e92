"""Helpers for tests of the bench: quick options, and what is in a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from toonvid.bench.measure import BenchOptions
from toonvid.reading.decoder import VideoDecoder

QUICK = BenchOptions(seconds=0.5, rounds=1, real_time=False)


def frame_times(video: Path) -> list[Fraction]:
    """Return the time of each frame, in seconds."""
    with VideoDecoder(video) as decoder:
        return [frame.seconds for frame in decoder.frames()]


def packets(video: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return (decoding time in seconds, content) of the packets of the first stream of a kind."""
    with av.open(str(video)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.dts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]

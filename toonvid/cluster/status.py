"""Status: how far a run on a cluster has come, and how fast each node is.

In: nothing. Out: a value for each report. How it is shown is left to `toonvid.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoStatus:
    """One source that is under way."""

    source: str
    finished_seconds: float
    """Length of its finished segments, in seconds of the video."""
    duration_seconds: float | None
    """Length of the video; None where the source does not state it."""
    frames: int
    """Number of frames in its finished segments."""


@dataclass(frozen=True)
class ClusterStatus:
    """A run."""

    sources: int
    """Number of sources."""
    done: int
    """Number of sources that are finished or have failed."""
    videos: tuple[VideoStatus, ...]
    """Sources under way."""
    kept_seconds: float
    """Seconds of video in the segments that this run has finished, of all sources."""
    frames: int
    """Number of frames that this run has made."""
    seconds: float
    """Seconds since the run began."""
    node_frames: dict[str, int]
    """Name of a node -> number of frames that it has made."""
    missing_bytes: int = 0
    """Bytes that a disk lacks for the rest of a video, as far as can be told."""

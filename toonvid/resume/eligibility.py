"""Eligibility: which conversions are done in segments, and why others are written in one go.

In: names of source and target, and the codec. Out: a reason in words, or None. No file is opened.
"""

from __future__ import annotations

from pathlib import Path

from toonvid.ffmpeg.hardware import NVENC
from toonvid.video import PIPE
from toonvid.writing.containers import VIDEO_CONTAINERS
from toonvid.writing.options import EncodeOptions

JOINABLE_CODECS = {
    "libx264",
    "libx264rgb",
    "libx265",
    "libsvtav1",
    "libvpx-vp9",
    "mpeg4",
    "prores_ks",
    "dnxhd",
    "ffv1",
    "mjpeg",
}
"""Encoders that begin each segment with a key frame and give the same bytes each time, as tests
show. Any other may encode whole videos only."""
INEXACT_CODECS = set(NVENC)
"""Encoders whose segments can be joined too, but may be other bytes each time."""


def why_in_one_go(source: str | Path, target: str | Path, encoding: EncodeOptions) -> str | None:
    """Say why a conversion cannot be resumed.

    Args:
        source: A path, an address, or `-`.
        target: A path, or `-`.
        encoding: How the target is written.

    Returns:
        A clause in plain words; None when the conversion can be resumed, which is from a file to a
        video whose segments can be joined.
    """
    container = VIDEO_CONTAINERS.get(Path(target).suffix.lower())
    if str(target) == PIPE:
        return "standard output keeps nothing"
    if not Path(source).is_file():
        return "what comes through a pipe or from an address cannot be read twice"
    if container is None:
        return "an image is made at once"
    if container == "gif":
        return "the frames of a .gif depend on each other from first to last"
    if encoding.codec is not None and encoding.codec not in JOINABLE_CODECS | INEXACT_CODECS:
        return f"segments of {encoding.codec} cannot be joined"
    return None

"""Resumable: which conversions are done in segments, and why the others are written in one go."""

from __future__ import annotations

from pathlib import Path

from toonvid.ffmpeg.hardware import NVENC
from toonvid.video import PIPE
from toonvid.writing.containers import VIDEO_CONTAINERS
from toonvid.writing.options import EncodeOptions

JOINABLE_CODECS = {
    *("libx264", "libx264rgb", "libx265", "libsvtav1", "libvpx-vp9"),
    *("mpeg4", "prores_ks", "dnxhd", "ffv1", "mjpeg"),
}
"""Encoders that begin each segment with a key frame, in the same way each time: tests hold them to
it. Any other is trusted with whole films only."""
ALIKE_CODECS = set(NVENC)
"""Encoders that are joined as well, and whose segments may be other bytes each time."""


def why_in_one_go(source: str | Path, target: str | Path, encoding: EncodeOptions) -> str | None:
    """Why a conversion cannot be resumed, in words; None when it can: from a file to a film that
    can be joined.

    Args:
        source: A path, an address, or `-`.
        target: A path, or `-`.
        encoding: How the target is written.
    """
    container = VIDEO_CONTAINERS.get(Path(target).suffix.lower())
    if str(target) == PIPE:
        return "standard output keeps nothing"
    if not Path(source).is_file():
        return "what comes through a pipe or from an address cannot be read twice"
    if container is None:
        return "a picture is made at once"
    if container == "gif":
        return "the frames of a .gif hang together from first to last"
    if encoding.codec is not None and encoding.codec not in JOINABLE_CODECS | ALIKE_CODECS:
        return f"films of {encoding.codec} are not joined of segments"
    return None

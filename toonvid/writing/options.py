"""What is asked of an encoder. Writing is `toonvid.writing.encoder`'s, defaults are `toonvid.writing.codec`'s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodeOptions:
    """How a target is written. None leaves a choice to the codec's own good default."""

    codec: str | None = None
    """FFmpeg's name of the video encoder; None: H.264, or what the container asks for."""
    crf: int | None = None
    """Constant quality, in the codec's own scale; lower is finer."""
    preset: str | None = None
    """The codec's trade of speed against size."""
    pix_fmt: str | None = None
    """FFmpeg's name of the pixel format."""
    audio: bool = True
    subtitles: bool = True
    overwrite: bool = False
    """Whether a target that is there already is replaced."""

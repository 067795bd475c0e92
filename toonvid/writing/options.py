"""EncodeOptions: the choices of a user for the target. Defaults of each codec are in `codec`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodeOptions:
    """Codec, quality and streams of a target. A job's identity contains the names of the fields."""

    codec: str | None = None
    """FFmpeg's name of the video encoder; None: H.264, or what the container asks for."""
    crf: int | None = None
    """Constant quality, in the codec's own scale; lower is finer; None: the codec's default."""
    preset: str | None = None
    """The codec's trade of speed against size; None: the codec's default."""
    pix_fmt: str | None = None
    """FFmpeg's name of the pixel format; None: yuv420p, or what the codec takes."""
    audio: bool = True
    """Whether audio streams are copied."""
    subtitles: bool = True
    """Whether subtitle streams are copied."""
    overwrite: bool = False
    """Whether a target that is there already is replaced."""

    def __post_init__(self) -> None:
        if self.crf is not None and self.crf < 0:
            raise ValueError(f"crf is 0 or more, not {self.crf}")

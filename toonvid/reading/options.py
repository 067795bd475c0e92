"""Options of reading: time range, frame size, limits and decoder.

The field names are part of a job's identity (`toonvid.resume`): renaming one would make unfinished
conversions unresumable. `toonvid.reading.decoder` applies the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from toonvid.choices import DecoderName


@dataclass(frozen=True)
class DecodeOptions:
    """Which part of a source is read, how large its frames become, and what decodes it."""

    size: tuple[int, int] | int | None = None
    """A box (width, height) or a short side, in pixels, to which frames are scaled; None keeps the
    size of the source."""
    upscale: bool = False
    """Whether `size` may enlarge frames."""
    start: Fraction | None = None
    """Start of the requested part, in seconds from the beginning; None for the beginning."""
    end: Fraction | None = None
    """End of the requested part (exclusive), in seconds from the beginning; None for the end."""
    key_frames_only: bool = False
    """Whether to decode key frames only: a hundredth of the work, one frame every few seconds."""
    low_delay: bool = False
    """Whether to decode with the least delay, and to keep frames whose time does not increase, as
    live sources send them when their clock is set back."""
    max_pixels: int = 2**27
    """Largest frame that is decoded, in pixels; a file of some kilobytes can claim a huge image."""
    stall_seconds: float = 30.0
    """Seconds without data after which an address, a pipe or a file on a network mount is given up;
    0 waits without limit."""
    decode: DecoderName = "auto"
    """Decoder; `auto` uses NVDEC where it works and gives exactly the frames of software."""

    def __post_init__(self) -> None:
        sides = self.size if isinstance(self.size, tuple) else (self.size,)
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(f"{self.size = }")
        if self.max_pixels < 1:
            raise ValueError(f"{self.max_pixels = }")
        if self.stall_seconds < 0:
            raise ValueError(f"{self.stall_seconds = }")
        if self.start is not None and self.start < 0:
            raise ValueError(f"{self.start = }")
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"{self.end = } with {self.start = }")


def fitted(width: int, height: int, options: DecodeOptions) -> tuple[int, int]:
    """Return the width and height of frames of this size after scaling to `options.size`.

    Both are even when they change, because most encoders need it; the aspect ratio is kept as
    nearly as even sides allow.
    """
    if options.size is None:
        return width, height
    if isinstance(options.size, int):
        scale = Fraction(options.size, min(width, height))
    else:
        scale = min(Fraction(options.size[0], width), Fraction(options.size[1], height))
    if scale == 1 or (scale > 1 and not options.upscale):
        return width, height
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))

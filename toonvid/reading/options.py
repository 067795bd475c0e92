"""What is asked of a decoder: a part, and a size of frames. Reading them is `toonvid.reading.decoder`'s."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from toonvid.choices import DecoderName


@dataclass(frozen=True)
class DecodeOptions:
    """Which part of a source is read, and how large its frames become."""

    size: tuple[int, int] | int | None = None
    """A box (width, height) or a short side, in pixels, that frames fit; None keeps their size."""
    upscale: bool = False
    """Whether `size` may enlarge frames."""
    start: Fraction | None = None
    """Seconds from the beginning; frames before it are left out. None: from the beginning."""
    end: Fraction | None = None
    """Seconds from the beginning; frames from here on are left out. None: to the end."""
    key_frames_only: bool = False
    """Whether to decode key frames alone: a hundredth of the work, and one frame in seconds."""
    low_delay: bool = False
    """Whether frames come as soon as they can, and also where the source's clock is set back."""
    max_pixels: int = 2**27
    """Frames with more pixels are not decoded: a small file can claim to hold a huge picture."""
    stall_seconds: float = 30.0
    """How long an address, a pipe or a file on a network mount may stay silent before it is given
    up; 0: as long as it likes."""
    decode: DecoderName = "auto"
    """What decodes; `auto` takes NVDEC where it works and gives the very frames of software."""

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
    """The size that fits what was asked for, the shape kept as nearly as even sides allow."""
    if options.size is None:
        return width, height
    if isinstance(options.size, int):
        scale = Fraction(options.size, min(width, height))
    else:
        scale = min(Fraction(options.size[0], width), Fraction(options.size[1], height))
    if scale == 1 or (scale > 1 and not options.upscale):
        return width, height
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))

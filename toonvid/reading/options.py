"""Options of reading: time range, frame size, limits and decoder.

The field names are part of a job's identity (`toonvid.resume`): renaming one would make unfinished
conversions unresumable. `toonvid.reading.decoder` applies the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral

from toonvid.choices import DECODERS, DecoderName
from toonvid.errors import SourceError


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
        sides = self.size if isinstance(self.size, tuple) else (self.size,) * 2
        if self.size is not None and (len(sides) != 2 or not all(_is_side(each) for each in sides)):
            raise ValueError(
                f"size is a short side, or (width, height), in pixels from 1, not {self.size!r}"
            )
        # NumPy's integers would not fit into JSON.
        if isinstance(self.size, tuple):
            object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        elif self.size is not None:
            object.__setattr__(self, "size", int(self.size))
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels is at least 1, not {self.max_pixels}")
        if not self.stall_seconds >= 0:
            raise ValueError(f"stall_seconds is 0 or more, not {self.stall_seconds}")
        if self.start is not None and not self.start >= 0:
            raise ValueError(f"start is 0 or more, in seconds, not {self.start}")
        if self.end is not None and not self.end > (self.start or 0):
            raise ValueError(f"end is after the start ({self.start or 0}), not {self.end}")
        if self.decode not in DECODERS:
            raise ValueError(f"decode is one of {', '.join(DECODERS)}, not {self.decode!r}")


def fitted(width: int, height: int, options: DecodeOptions) -> tuple[int, int]:
    """Return the width and height of frames of this size after scaling to `options.size`.

    Both are even when they change, because most encoders need it; the aspect ratio is kept as
    nearly as even sides allow.

    Raises:
        SourceError: They would have more than `options.max_pixels`.
    """
    if options.size is None:
        return width, height
    if not isinstance(options.size, tuple):
        scale = Fraction(options.size, min(width, height))
    else:
        scale = min(Fraction(options.size[0], width), Fraction(options.size[1], height))
    if scale == 1 or (scale > 1 and not options.upscale):
        return width, height
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    if width * height > options.max_pixels:
        raise SourceError(
            f"frames enlarged to {width} x {height} would have more than {options.max_pixels}"
            " pixels; give a smaller --size"
        )
    return width, height


def _is_side(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1  # NumPy has integers of its own

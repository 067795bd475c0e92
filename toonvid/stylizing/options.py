"""Options of stylizing. Loads no numpy, so that the command line can show their defaults.

The frames themselves are stylized in `toonvid.stylizing.stylizer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from toonvid.choices import COMPARISONS, CONTROLS, QUALITIES, Comparison, ControlName, Quality


@dataclass(frozen=True)
class StylizeOptions:
    """How the cartoon is mixed with its source, kept from flickering, and shown beside it."""

    strength: float = 1.0
    """Share of the cartoon in the output, 0..1; the rest is the source frame."""
    keep_color: bool = False
    """Whether the output keeps the source's colors and takes only the luma from the cartoon."""
    compare: Comparison = "none"
    """Layout that shows the source beside its cartoon; `none` shows the cartoon alone."""
    steady: float = 0.85
    """Share of the last cartoon that is kept where the source has not changed, 0..1; 0 is off."""
    ink: float | None = None
    """Strength of the lines, in the range of the style; None for the style's default, here and
    below. An error in styles without this control."""
    tones: float | None = None
    """Number of tonal steps from black to white."""
    saturation: float | None = None
    """Factor on the distance of a color from gray; 0 is black and white."""
    quality: Quality = "auto"
    """How large frames are drawn (`toonvid.stylizing.drawing_size`): `fast` draws large ones
    smaller, `best` small ones larger, `normal` all at their own size; `auto` is `best` for images
    and `normal` for videos."""

    @property
    def controls(self) -> dict[ControlName, float]:
        """The controls of the style that are not to have their default."""
        values = {name: getattr(self, name) for name in CONTROLS}
        return {name: value for name, value in values.items() if value is not None}

    def with_controls(self, controls: Mapping[ControlName, float]) -> StylizeOptions:
        """Return these options with the given controls, and no others."""
        return replace(
            self,
            ink=controls.get("ink"),
            tones=controls.get("tones"),
            saturation=controls.get("saturation"),
        )

    def for_source(self, is_image: bool) -> StylizeOptions:
        """Return what these options mean for an image or a video: which quality `auto` is."""
        return replace(self, quality="best") if is_image and self.quality == "auto" else self

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is between 0 and 1, not {self.strength}")
        if not 0 <= self.steady <= 1:
            raise ValueError(f"steady is between 0 and 1, not {self.steady}")
        if self.compare not in COMPARISONS:
            raise ValueError(f"compare is one of {', '.join(COMPARISONS)}, not {self.compare!r}")
        if self.quality not in QUALITIES:
            raise ValueError(f"quality is one of {', '.join(QUALITIES)}, not {self.quality!r}")

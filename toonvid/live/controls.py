"""The controls: what the user has asked for so far, by keys, page or command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toonvid.choices import ControlName
from toonvid.engine import Control
from toonvid.live.live_stylizer import StyleSettings


class Controls:
    """Style settings, wipe and recording, as the user wants them now.

    Read by the live loop before each frame. Any thread may set an attribute: each is replaced as a
    whole.
    """

    def __init__(
        self,
        settings: StyleSettings,
        styles: Sequence[str],
        recording: bool = False,
        style_controls: Mapping[str, Mapping[ControlName, Control]] | None = None,
    ) -> None:
        """Set the initial values.

        Args:
            settings: The first style settings.
            styles: Names of the styles that `next_style` goes through.
            recording: Whether to record from the beginning.
            style_controls: Style -> its ink, tones and saturation, as on its card. None: no style
                has any.
        """
        self._style_controls = style_controls or {}
        self.settings = settings
        """How the next frame is stylized."""
        self.styles = tuple(dict.fromkeys([settings.style, *styles]))
        """Names of the styles to choose from, the initial one first."""
        self.recording = recording
        """Whether frames are recorded."""
        self.wipe: float | None = None
        """Where the source ends and its cartoon begins, 0..1 of the width; None shows the cartoon
        alone."""
        self.is_quitting = False
        """Whether the live loop ends after the present frame."""

    def next_style(self) -> None:
        """Change to the style after the present one; the last is followed by the first."""
        current = self.settings.style
        index = self.styles.index(current) if current in self.styles else -1
        following = self.styles[(index + 1) % len(self.styles)]
        self.settings = self.settings.in_style(following)

    def controls_of(self, style: str) -> Mapping[ControlName, Control]:
        """Return ink, tones and saturation of a style, as far as it has them."""
        return self._style_controls.get(style, {})

    def style_values(self) -> dict[ControlName, float]:
        """Return the present values of the present style's ink, tones and saturation."""
        settings = self.settings
        defaults = {n: c.default for n, c in self.controls_of(settings.style).items()}
        return defaults | settings.options.controls

    def move_style_value(self, name: ControlName, steps: int) -> bool:
        """Move a value of the present style by steps of its card, as far as its range goes.

        Returns:
            Whether the style has this control.
        """
        settings = self.settings
        control = self.controls_of(settings.style).get(name)
        if control is None:
            return False
        present = settings.options.controls.get(name, control.default)
        # Rounded, because a tenth has no exact float: 1.0 + 0.1 + 0.1 + 0.1 - 0.3 is not 1.0.
        moved = round(present + steps * control.step, 6)
        value = min(max(moved, control.minimum), control.maximum)
        if value == present:
            return True
        values = {**settings.options.controls, name: value}
        self.settings = replace(settings, options=settings.options.with_controls(values))
        return True

    def reset_style_values(self) -> None:
        """Give the present style its own ink, tones and saturation again."""
        settings = self.settings
        self.settings = replace(settings, options=settings.options.with_controls({}))

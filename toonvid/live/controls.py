"""The controls: what the user has asked for so far, by keys, page or command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toonvid.live.live_stylizer import StyleSettings


class Controls:
    """Style settings, wipe and recording, as the user wants them now.

    Read by the live loop before each frame. Any thread may set an attribute: each is replaced as a
    whole.
    """

    def __init__(
        self, settings: StyleSettings, styles: Sequence[str], recording: bool = False
    ) -> None:
        """Set the initial values.

        Args:
            settings: The first style settings.
            styles: Names of the styles that `next_style` goes through.
            recording: Whether to record from the beginning.
        """
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
        self.settings = replace(self.settings, style=following)

"""Messages of `toonvid styles add`: what a file says, what was added, how fast it will be.

In: a candidate and the style that was made of it. Out: lines. Nothing is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toonvid.commands.messages import error_console, output_console, say

if TYPE_CHECKING:
    from toonvid.importing.candidate import Candidate
    from toonvid.importing.import_style import ImportedStyle
    from toonvid.importing.network import Reading

_SMOOTH_RATE = 10.0  # frames per second below which a smaller size is suggested
_SHORT_SIDES = (720, 540, 480, 360, 240)  # in pixels
_ASPECT = 16 / 9


def show_candidate(candidate: Candidate) -> None:
    """Print what the file says about itself."""
    sizes = candidate.sizes
    if sizes.fixed is not None:
        height, width = sizes.fixed
        show_notice(
            f"It works at {width}x{height} only: every frame is resized to that size and back,"
            f" which costs detail; --size {min(height, width)}p loses least"
        )
    elif sizes.was_freed and candidate.facts.fixed_size is not None:
        height, width = candidate.facts.fixed_size
        show_notice(f"It states {width}x{height}, and works at other sizes too")
    if candidate.model is None:
        show_notice("It is read by OpenVINO, and runs on the backend openvino alone")


def show_added(added: ImportedStyle, candidate: Candidate, reading: Reading) -> None:
    """Print what was added, what it costs and how fast it will be."""
    from toonvid.importing.import_style import describe_reading

    card = added.engine.card
    precisions = " ".join(card.precisions) or "for OpenVINO alone"
    console = output_console()
    say(
        console,
        f"Added {card.style} to {added.engine.folder} ({precisions}):"
        f" {describe_reading(candidate, reading)}, multiples of {card.multiple_of}."
        f" License: {card.license}.",
    )
    say(console, describe_rate(added))


def describe_rate(added: ImportedStyle) -> str:
    """Say multiply-adds and the expected rate, and which size would be smooth."""
    card = added.engine.card
    cost = f"{card.multiply_adds_per_pixel:,} multiply-adds per pixel"
    rate = added.frames_per_second
    if added.is_fixed_size:
        return f"{cost} of its own size: about {rate:.1f} frames per second here at any --size."
    pixel_rate = rate * added.measured_pixels
    rates = {side: pixel_rate / (side * side * _ASPECT) for side in _SHORT_SIDES}
    line = f"{cost}: about {rates[720]:.1f} frames per second at 1280x720 here, without the rest"
    if rates[720] >= _SMOOTH_RATE:
        return f"{line}."
    fast = next((side for side in _SHORT_SIDES if rates[side] >= _SMOOTH_RATE), _SHORT_SIDES[-1])
    return f"{line}. That is slow: --size {fast}p makes it about {rates[fast]:.1f}."


def show_notice(line: str) -> None:
    """Print what was decided or left out."""
    say(error_console(), f"note: {line}", "yellow")

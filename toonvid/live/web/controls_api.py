"""The JSON of the page's controls: reports their values, checks and applies changes."""

from __future__ import annotations

from dataclasses import asdict, replace

from toonvid.live.controls import Controls
from toonvid.live.meter import LiveStatistics


def page_state(controls: Controls, statistics: LiveStatistics) -> dict[str, object]:
    """Return the JSON object of `GET /state`: what the page shows."""
    settings, options = controls.settings, controls.settings.options
    return {
        "figures": asdict(statistics),
        "styles": controls.styles,
        "style": settings.style,
        "strength": options.strength,
        "keep_color": options.keep_color,
        "mirror": settings.mirror,
        "wipe": controls.wipe,
        "recording": controls.recording,
    }


def apply_changes(controls: Controls, changes: object) -> None:
    """Apply the JSON of `POST /controls`.

    Args:
        controls: Changed only if all changes are valid.
        changes: Object with any of the keys `style`, `strength`, `keep_color`, `mirror`, `wipe` and
            `recording`.

    Raises:
        ValueError: A key or a value is not valid.
    """
    if not isinstance(changes, dict):
        raise ValueError("not an object")
    unknown = dict(changes)
    settings = controls.settings
    style = unknown.pop("style", settings.style)
    if style not in controls.styles:
        raise ValueError("no such style")
    strength = _share(unknown.pop("strength", settings.options.strength), "strength")
    keep_color = _boolean(unknown.pop("keep_color", settings.options.keep_color), "keep_color")
    mirror = _boolean(unknown.pop("mirror", settings.mirror), "mirror")
    recording = _boolean(unknown.pop("recording", controls.recording), "recording")
    wipe = unknown.pop("wipe", controls.wipe)
    wipe = None if wipe is None else _share(wipe, "wipe")
    if unknown:
        raise ValueError("no such control")
    options = replace(settings.options, strength=strength, keep_color=keep_color)
    controls.settings = replace(settings, style=style, options=options, mirror=mirror)
    controls.wipe, controls.recording = wipe, recording


def _share(value: object, name: str) -> float:
    """Return a number in 0..1. NaN, which Python's JSON accepts, fails the comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is not between 0 and 1")
    return float(value)


def _boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is not true or false")
    return value

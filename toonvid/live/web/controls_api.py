"""The JSON of the page's controls: reports their values, checks and applies changes."""

from __future__ import annotations

from dataclasses import asdict, replace

import msgspec

from toonvid.choices import CONTROLS, ControlName
from toonvid.engine import Control
from toonvid.live.controls import Controls
from toonvid.live.meter import LiveStatistics


def page_state(controls: Controls, statistics: LiveStatistics) -> dict[str, object]:
    """Return the JSON object of `GET /state`: what the page shows."""
    settings, options = controls.settings, controls.settings.options
    values = controls.style_values()
    return {
        "figures": asdict(statistics),
        "styles": controls.styles,
        "style": settings.style,
        "strength": options.strength,
        "keep_color": options.keep_color,
        "mirror": settings.mirror,
        "wipe": controls.wipe,
        "recording": controls.recording,
        "style_controls": {
            name: msgspec.to_builtins(control) | {"value": values[name]}
            for name, control in controls.controls_of(settings.style).items()
        },
    }


def apply_changes(controls: Controls, changes: object) -> None:
    """Apply the JSON of `POST /controls`.

    Args:
        controls: Changed only if all changes are valid.
        changes: Object with any of the keys `style`, `strength`, `keep_color`, `mirror`, `wipe`,
            `recording`, `ink`, `tones` and `saturation`. null for one of the last three is the
            style's own value, which they all have in another style.

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
    settings = settings.in_style(style)
    values = settings.options.controls
    for name in CONTROLS:
        if name in unknown:
            control = controls.controls_of(style).get(name)
            values[name] = _style_value(unknown.pop(name), name, control)
    if unknown:
        raise ValueError("no such control")
    options = replace(settings.options, strength=strength, keep_color=keep_color)
    options = options.with_controls(values)
    controls.settings = replace(settings, options=options, mirror=mirror)
    controls.wipe, controls.recording = wipe, recording


def _share(value: object, name: str) -> float:
    """Return a number in 0..1. NaN, which Python's JSON accepts, fails the comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is not between 0 and 1")
    return float(value)


def _style_value(value: object, name: ControlName, control: Control | None) -> float:
    if control is None:
        raise ValueError(f"the style has no control {name}")
    if value is None:
        return control.default
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not control.minimum <= value <= control.maximum
    ):
        raise ValueError(f"{name} is not in the range {control.range_text}")
    return float(value)


def _boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is not true or false")
    return value

"""Remote control: what a page may ask of the controls, and what it is told, as JSON objects."""

from __future__ import annotations

from dataclasses import asdict, replace

from toonvid.live.session import Controls, Figures


def state_of(controls: Controls, figures: Figures) -> dict[str, object]:
    """What a page shows."""
    look, options = controls.look, controls.look.options
    return {
        "figures": asdict(figures),
        "styles": controls.styles,
        "style": look.style,
        "strength": options.strength,
        "keep_color": options.keep_color,
        "mirror": look.mirror,
        "wipe": controls.wipe,
        "recording": controls.recording,
    }


def apply_changes(controls: Controls, asked: object) -> None:
    """Set controls to what a page asks for.

    Args:
        controls: Changed only when all that was asked for is fit.
        asked: Name -> value, of `style`, `strength`, `keep_color`, `mirror`, `wipe`, `recording`.

    Raises:
        ValueError: A name or value is not fit.
    """
    if not isinstance(asked, dict):
        raise ValueError("not an object")
    left = dict(asked)
    look = controls.look
    style = left.pop("style", look.style)
    if style not in controls.styles:
        raise ValueError("no such style")
    strength = _share(left.pop("strength", look.options.strength), "strength")
    keep_color = _switch(left.pop("keep_color", look.options.keep_color), "keep_color")
    mirror = _switch(left.pop("mirror", look.mirror), "mirror")
    recording = _switch(left.pop("recording", controls.recording), "recording")
    wipe = left.pop("wipe", controls.wipe)
    wipe = None if wipe is None else _share(wipe, "wipe")
    if left:
        raise ValueError("no such control")
    options = replace(look.options, strength=strength, keep_color=keep_color)
    controls.look = replace(look, style=style, options=options, mirror=mirror)
    controls.wipe, controls.recording = wipe, recording


def _share(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is not between 0 and 1")
    return float(value)


def _switch(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is not true or false")
    return value

"""The recipe on an engine's card: how the generator was trained, in words.

The record of a training run goes in, one line of text comes out.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from trainer.config import PhaseConfig, PhaseName, TrainConfig
from trainer.training.run_folder import RunRecord

STATISTICS = {
    "cel": "",
    "lite": "",
    "paper": " (BatchNorm folded)",
    "cyclegan": " (instance norm: statistics of each image, at run time, in float32)",
    "improved": " (instance norm: statistics of each image, at run time, in float32)",
    "unet": " (instance norm: statistics of each image, at run time, in float32)",
}
"""Generator -> what its recipe says about normalization."""


def describe_recipe(record: RunRecord) -> str:
    """Returns preset, generator, data, phases, precision and seed of a run, separated by "; "."""
    config = record.config
    heights = ", ".join(str(height) for height in config.frame_heights)
    scales = ", ".join(f"{scale:g}" for scale in config.cartoon_scales)
    kind = "line art of art" if config.content_target == "art" else "photos"
    uses_scales = config.adversarial.steps and config.content_target != "art"
    parts = [
        f"preset {record.preset}: {config.generator} generator{STATISTICS[config.generator]}",
        f"begun with that of {record.start_sha256[:12]}" if record.start_from else "",
        f"after the {'layers' if config.generator == 'cel' else 'output'} of "
        f"{Path(record.teacher).stem} ({record.teacher_sha256[:12]})"
        if record.teacher
        else "",
        f"{config.batch_size} crops of {config.crop} pixels a step",
        f"pools of {config.image_pool} images" if config.image_pool else "",
        f"from {kind} {heights} pixels high",
        f"noise on {config.noisy_share:g} of them" if config.noisy_share else "",
        _describe_sampling(config),
        _describe_look(config) if config.generator == "cel" else "",
        _describe_phase("initialization", config.initialization, config),
        _describe_phase("adversarial", config.adversarial, config),
        f"cartoons at {scales} of their size" if uses_scales else "",
        f"precision {config.precision}, seed {config.seed}",
    ]
    return "; ".join(part for part in parts if part)


def _describe_look(config: TrainConfig) -> str:
    """How the layers of `cel` are composed."""
    look = (
        f"composed in {config.look_tones:g} tones of sharpness {config.look_sharpness:g}, "
        f"saturation {config.look_saturation:g}, ink {config.look_ink:g} in "
        f"#{config.look_ink_color}, exposure {config.look_exposure:g}"
    )
    if config.look_flatness:
        look += f", areas of a contrast below {config.look_flatness:g} flat"
    if config.look_palette_share:
        colors = ", ".join(f"#{color}" for color in config.look_palette)
        look += f", {config.look_palette_share:.0%} of the color from {colors}"
    return look


def _describe_sampling(config: TrainConfig) -> str:
    """Which crops are taken, and how drawings are changed; empty for no such options."""
    parts = [
        f"enlarged at most {config.max_enlargement:g} times" if config.max_enlargement else "",
        f"{config.skin_share:.0%} of the crops chosen for faces" if config.skin_share else "",
        f"lines wider by {config.ink_growth} pixels a side" if config.ink_growth else "",
        f"color rounded by {config.color_rounding} pixels" if config.color_rounding else "",
        f"{config.cartoon_colors:.0%} of the cartoons' palette"
        if config.cartoon_colors and config.adversarial.steps
        else "",
    ]
    return ", ".join(part for part in parts if part)


def _describe_phase(name: PhaseName, phase: PhaseConfig, config: TrainConfig) -> str:
    if not phase.steps:
        return ""
    fall = " falling to 0" if phase.learning_rate_schedule != "constant" else ""
    weights = [f.name for f in fields(phase) if f.name.endswith("_weight")]
    used = {n.removesuffix("_weight"): getattr(phase, n) for n in weights if getattr(phase, n)}
    if not phase.adversarial_weight:
        used.pop("smoothed", None)
    losses = ", ".join(f"{n.replace('_', ' ')} {weight:g}" for n, weight in used.items())
    against = (
        "" if config.generator == "cyclegan" else f", content against the {config.content_target}"
    )
    alone = f" (pixel alone for {phase.pixel_only_steps})" if phase.pixel_only_steps else ""
    return (
        f"{name} phase of {phase.steps} steps{alone}, learning rate {phase.learning_rate:g}{fall}, "
        f"weights {losses}{against}"
    )

"""Configs that `toonvid train --preset NAME` starts from.

In: the name of a preset. Out: a `TrainConfig`, whose values `--set` may change. Only values that
differ from the defaults of `TrainConfig`, which are the paper's, stand here.
docs/research/training.md lists the departures of each preset from the paper.
"""

from __future__ import annotations

from dataclasses import replace

from toonvid.errors import TrainingError
from trainer.config import PhaseConfig, TrainConfig

PAPER = TrainConfig(
    initialization=PhaseConfig(
        steps=6_750,  # 10 epochs of the paper's 5,402 photos
        learning_rate=2e-4,
        content_weight=10.0,
    ),
    adversarial=PhaseConfig(
        steps=60_000,  # our choice: the paper counts epochs of a dataset that is not published
        learning_rate=2e-4,
        adversarial_weight=1.0,
        content_weight=10.0,
    ),
)
"""CartoonGAN as published: figure 2, equations 1 to 4, content weight 10, Adam at 2e-4."""

IMPROVED = replace(
    PAPER,
    generator="improved",
    objective="least-squares",
    content_network="resnet50",
    frame_heights=(256, 384, 512),
    cartoon_scales=(0.6, 0.8, 1.0),
    ema_decay=0.998,
)
"""CartoonGAN with instance norm, LeakyReLU and resizing instead of transposed convolutions in the
generator, content features of ResNet-50, the least-squares objective, several image scales, and an
EMA of the weights."""

LITE = TrainConfig(
    initialization=PhaseConfig(
        steps=8_000,
        learning_rate=2e-3,
        learning_rate_schedule="cosine",
        warmup_steps=50,
        beta1=0.9,
        pixel_only_steps=5_500,
        pixel_weight=6.0,
        gradient_difference_weight=12.0,
        ink_weight=10.0,
        content_weight=0.25,
        stability_weight=12.0,
        equivariance_weight=1000.0,
    ),
    adversarial=PhaseConfig(
        steps=12_000,
        learning_rate=2e-4,
        warmup_steps=50,
        adversarial_weight=1.0,
        smoothed_weight=0.5,
        content_weight=0.25,
        pixel_weight=0.7,
        gradient_difference_weight=1.4,
        ink_weight=4.0,
        color_weight=0.05,
        stability_weight=6.0,
        equivariance_weight=300.0,
    ),
    crop=160,
    frame_heights=(288, 432, 720),
    cartoon_scales=(0.5, 0.7, 1.0),
    generator="lite",
    width=32,
    blocks=2,
    discriminator="lite",
    objective="least-squares",
    content_network="resnet50",
    content_target="drawing",
    content_images=2,
    ema_decay=0.998,
)
"""The real-time generator, which learns from drawings of the photos before it sees cartoons."""

DISTILLED = replace(
    LITE,
    initialization=replace(LITE.initialization, ink_weight=0.0, total_variation_weight=0.02),
    adversarial=replace(
        LITE.adversarial, steps=4_000, pixel_weight=2.0, total_variation_weight=0.02
    ),
    content_target="teacher",
)
"""The real-time generator, which learns from the output of a trained generator (the teacher)."""

CEL = TrainConfig(
    initialization=PhaseConfig(
        steps=24_000,
        learning_rate=2e-3,
        learning_rate_schedule="cosine",
        warmup_steps=100,
        beta1=0.9,
        beta2=0.99,
        gradient_clip=1.0,
        pixel_only_steps=8_000,
        layer_color_weight=1.0,
        layer_gradient_weight=1.2,
        layer_ink_weight=0.25,
        layer_stability_weight=0.5,
    ),
    adversarial=PhaseConfig(
        steps=4_000,
        learning_rate=6e-4,
        learning_rate_schedule="cosine",
        warmup_steps=200,
        beta2=0.99,
        gradient_clip=1.0,
        adversarial_weight=0.15,
        smoothed_weight=0.5,
        layer_color_weight=1.0,
        layer_gradient_weight=1.2,
        layer_ink_weight=0.25,
        layer_stability_weight=0.5,
    ),
    crop=160,
    frame_heights=(288, 432, 576, 720, 1080),
    cartoon_scales=(0.5, 0.7, 1.0),
    generator="cel",
    width=32,
    blocks=1,
    mix=False,
    discriminator="lite",
    objective="least-squares",
    content_target="layers",
    cartoon_colors=0.5,
    look_tones=5.0,
    look_sharpness=40.0,
    look_flatness=0.05,
    look_saturation=1.6,
    look_exposure=1.12,
    content_images=3,
    skin_share=0.35,
    max_enlargement=1.6,
    noisy_share=0.6,
    ema_decay=0.999,
)
"""The layered generator, which learns the two layers of a drawing of each photo."""

CYCLEGAN = TrainConfig(
    initialization=PhaseConfig(steps=0, learning_rate=2e-4),
    adversarial=PhaseConfig(
        steps=200_000,  # 200 epochs of a thousand images
        learning_rate=2e-4,
        learning_rate_schedule="linear",
        adversarial_weight=1.0,
        smoothed_weight=0.0,
        cycle_weight=10.0,
        identity_weight=5.0,
    ),
    batch_size=1,
    crop=256,
    frame_heights=(286,),
    generator="cyclegan",
    blocks=0,
    discriminator="patch",
    discriminator_width=64,
    objective="least-squares",
    image_pool=50,
)
"""CycleGAN (Zhu et al., 2017), which the reports compare CartoonGAN with: two generators that undo
each other, and a discriminator for each kind of image."""

PAINT = TrainConfig(
    initialization=PhaseConfig(steps=0, learning_rate=2e-4),
    adversarial=PhaseConfig(
        steps=60_000,
        learning_rate=2e-4,
        adversarial_weight=1.0,
        smoothed_weight=0.0,
        pixel_weight=100.0,
        content_weight=0.01,
        total_variation_weight=1e-4,
    ),
    batch_size=4,
    crop=256,
    frame_heights=(256, 320, 384),
    generator="unet",
    width=128,
    blocks=5,
    discriminator="patch",
    discriminator_width=64,
    content_target="art",
    content_norm="l2",
    ema_decay=0.998,
)
"""Auto-painter (Liu et al., 2017): a U-Net that colors line art, which is drawn from the art."""

PRESETS = {
    "paper": PAPER,
    "improved": IMPROVED,
    "lite": LITE,
    "distilled": DISTILLED,
    "cel": CEL,
    "cyclegan": CYCLEGAN,
    "paint": PAINT,
}
"""Name as `--preset` takes it -> config."""


def find_preset(name: str, with_cartoons: bool = True) -> TrainConfig:
    """Return the config of a preset.

    Args:
        name: Name of the preset.
        with_cartoons: Whether cartoons are available; False leaves the adversarial phase out.

    Raises:
        TrainingError: There is no such preset, or it cannot learn a style without cartoons.
    """
    if name not in PRESETS:
        raise TrainingError(f"no preset named {name!r}; there are: {', '.join(PRESETS)}")
    config = PRESETS[name]
    if with_cartoons:
        return config
    if config.content_target == "art":
        raise TrainingError(f"the preset {name} learns to color from art: give --cartoons DIR")
    if config.content_target == "photo":
        raise TrainingError(
            f"the preset {name} learns from cartoons: give --cartoons DIR "
            "(its initialization phase alone reproduces the photo)"
        )
    return replace(config, adversarial=replace(config.adversarial, steps=0))

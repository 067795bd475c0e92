"""Every value of a config can be set, and none can be set wrongly."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from operator import attrgetter

import pytest

from toonvid.errors import TrainingError
from trainer.config import HOUSEKEEPING, TrainConfig, change_config, option_names
from trainer.presets import LITE, PAPER, PRESETS, find_preset


@pytest.mark.parametrize("name", option_names(LITE))
def test_every_value_can_be_set(name: str) -> None:
    value = attrgetter(name)(LITE)
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    assert change_config(LITE, [f"{name}={text}"]) == LITE


def test_values_keep_their_types() -> None:
    changed = change_config(
        LITE,
        [
            "frame_heights=200,640",
            "adversarial.learning_rate=1e-3",
            "initialization.steps=7",
            "precision=f32",
            "cartoon_scales=1",
        ],
    )
    assert changed.frame_heights == (200, 640)
    assert changed.adversarial.learning_rate == 1e-3
    assert changed.initialization.steps == 7
    assert changed.cartoon_scales == (1.0,)
    assert changed.precision == "f32"


def test_photos_do_not_take_on_the_cartoons_colours() -> None:
    assert change_config(LITE, ["cartoon_colours=0.5"]).cartoon_colours == 0.5
    with pytest.raises(TrainingError, match="cartoon_colours needs drawings"):
        change_config(PAPER, ["cartoon_colours=0.5"])


def test_the_last_of_two_settings_holds() -> None:
    assert change_config(LITE, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pace=3", "no training option named 'pace'; there are: initialization.steps, "),
        ("batch_size", "training option batch_size: '' is not a value of it"),
        ("batch_size=many", "training option batch_size: 'many' is not a value of it"),
        ("batch_size=1.5", "training option batch_size: '1.5' is not a value of it"),
        ("batch_size=0", "batch_size must be at least 1, not 0"),
        ("gradient_checkpointing=1", "gradient_checkpointing: '1' is not a value of it"),
        ("adversarial.warm_up=0", "warm_up must be at least 1, not 0"),
        ("adversarial.steps=-1", "steps must be at least 0, not -1"),
        ("adversarial.content_weight=-1", "content_weight must be at least 0"),
        ("adversarial.pixel_weight=nan", "pixel_weight must be at least 0"),
        ("initialization.pixel_weight=0", "pixel_only_steps needs a pixel_weight above 0"),
        ("initialization.learning_rate=0", "learning_rate must be above 0"),
        ("initialization.learning_rate=inf", "learning_rate must be above 0"),
        ("initialization.beta1=1", "beta1 must be at least 0 and below 1"),
        ("initialization.fall=deep", "fall must be one of cosine, none"),
        ("generator=huge", "generator must be one of cel, lite, paper, improved"),
        ("cartoon_scales=0", "cartoon_scales must name at least one, all above 0"),
        ("crop=30", "crop must be a multiple of 4 from 32 on"),
        ("crop=16", "crop must be a multiple of 4 from 32 on"),
        ("frame_heights=", "frame_heights: '' is not a value of it"),
        ("cartoon_colours=1.5", "cartoon_colours must be from 0 to 1, not 1.5"),
        ("width=3", "width must be at least 4"),
        ("precision=f8", "precision must be one of auto, f32, bf16, f16"),
    ],
)
def test_wrong_values_are_refused(setting: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(LITE, [setting])


def test_housekeeping_names_options() -> None:
    assert set(HOUSEKEEPING) <= set(option_names(LITE))


def test_no_frame_heights_are_refused() -> None:
    with pytest.raises(ValueError, match="frame_heights"):
        replace(LITE, frame_heights=())


def test_a_run_without_any_step_is_refused() -> None:
    phases = {f.name: replace(getattr(LITE, f.name), steps=0) for f in fields(LITE)[:2]}
    with pytest.raises(ValueError, match="must not both be 0"):
        replace(LITE, **phases)


def test_a_phase_without_a_loss_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"at least one of adversarial_weight, .* above 0"):
        change_config(PRESETS["paper"], ["initialization.content_weight=0"])


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_survives_json(name: str) -> None:
    values = json.loads(json.dumps(asdict(PRESETS[name])))
    assert TrainConfig.from_values(values) == PRESETS[name]


def test_steps_belong_to_their_phases() -> None:
    config = change_config(LITE, ["initialization.steps=10", "adversarial.steps=5"])
    assert config.steps == 15
    assert config.phase_after(9) == ("initialization", config.initialization, 9)
    assert config.phase_after(10) == ("adversarial", config.adversarial, 0)


def test_the_paper_s_numbers_are_the_paper_s() -> None:
    paper = PRESETS["paper"]
    assert (paper.generator, paper.discriminator, paper.objective) == ("paper", "paper", "bce")
    assert (paper.content_network, paper.content_target) == ("vgg19", "photo")
    assert (paper.crop, paper.width, paper.blocks) == (256, 256, 8)
    for phase in (paper.initialization, paper.adversarial):
        assert (phase.content_weight, phase.learning_rate, phase.beta1) == (10, 2e-4, 0.5)
        ours = ["pixel", "gradient_difference", "colour", "style", "total_variation"]
        ours += ["stability", "equivariance"]
        assert not any(getattr(phase, f"{name}_weight") for name in ours)


def test_a_preset_is_found_by_its_name() -> None:
    assert find_preset("lite") == LITE
    with pytest.raises(TrainingError, match="no preset named 'heavy'; there are: paper, impro"):
        find_preset("heavy")


def test_without_cartoons_lite_has_one_phase_and_the_others_are_refused() -> None:
    assert find_preset("lite", with_cartoons=False).steps == LITE.initialization.steps
    for name in ("paper", "improved"):
        with pytest.raises(TrainingError, match=f"the preset {name} learns from cartoons: give"):
            find_preset(name, with_cartoons=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["crop=100"], "crop must be a multiple of 8"),
        (["content_target=photo", "cartoon_colours=0"], "layer weights need generator=cel"),
        (["noisy_share=1.5"], "noisy_share must be from 0 to 1"),
    ],
)
def test_cel_checks_its_options(settings: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(PRESETS["cel"], settings)


def test_other_generators_take_no_layer_weights() -> None:
    with pytest.raises(TrainingError, match="layer weights need generator=cel"):
        change_config(PRESETS["lite"], ["initialization.layer_ink_weight=1"])

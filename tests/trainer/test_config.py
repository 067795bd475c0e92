"""Every option of a config can be set, and wrong values are refused."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from operator import attrgetter

import pytest

from toonvid.errors import TrainingError
from trainer.config import (
    CHANGEABLE_ON_RESUME,
    OLD_OPTION_NAMES,
    OLD_OPTION_VALUES,
    OPTIONS_ADDED_LATER,
    TrainConfig,
    change_config,
    option_names,
)
from trainer.presets import LITE, PAPER, PRESETS, find_preset

PAPER_WITH_DRAWINGS = replace(PAPER, content_target="drawing")


@pytest.mark.parametrize("name", option_names(LITE))
def test_every_option_can_be_set(name: str) -> None:
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


def test_photos_cannot_be_recolored_to_the_cartoons_palette() -> None:
    assert change_config(LITE, ["cartoon_colors=0.5"]).cartoon_colors == 0.5
    with pytest.raises(TrainingError, match="cartoon_colors needs drawings"):
        change_config(PAPER, ["cartoon_colors=0.5"])


def test_the_last_of_two_settings_counts() -> None:
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
        ("adversarial.warmup_steps=0", "warmup_steps must be at least 1, not 0"),
        ("adversarial.steps=-1", "steps must be at least 0, not -1"),
        ("adversarial.content_weight=-1", "content_weight must be at least 0"),
        ("adversarial.pixel_weight=nan", "pixel_weight must be at least 0"),
        ("initialization.pixel_weight=0", "pixel_only_steps needs a pixel_weight above 0"),
        ("initialization.learning_rate=0", "learning_rate must be above 0"),
        ("initialization.learning_rate=inf", "learning_rate must be above 0"),
        ("initialization.beta1=1", "beta1 must be at least 0 and below 1"),
        (
            "initialization.learning_rate_schedule=step",
            "learning_rate_schedule must be one of cosine, constant",
        ),
        ("generator=huge", "generator must be one of cel, lite, paper, improved"),
        ("cartoon_scales=0", "cartoon_scales must name at least one, all above 0"),
        ("crop=30", "crop must be a multiple of 4 from 32 on"),
        ("crop=16", "crop must be a multiple of 4 from 32 on"),
        ("frame_heights=", "frame_heights: '' is not a value of it"),
        ("cartoon_colors=1.5", "cartoon_colors must be from 0 to 1, not 1.5"),
        ("width=3", "width must be at least 4"),
        ("precision=f8", "precision must be one of auto, f32, bf16, f16"),
    ],
)
def test_wrong_values_are_refused(setting: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(LITE, [setting])


def test_a_loss_whose_crops_the_generator_cannot_take_is_refused() -> None:
    with pytest.raises(TrainingError, match="generator=cel has no equivariance_weight: set it"):
        change_config(PRESETS["cel"], ["initialization.equivariance_weight=1"])


@pytest.mark.parametrize(("old", "new"), OLD_OPTION_NAMES.items())
def test_old_option_names_are_accepted(old: str, new: str) -> None:
    names = [name for name in option_names(LITE) if name.rpartition(".")[2] == new]
    assert names
    for name in names:
        phase, dot, _ = name.rpartition(".")
        value = attrgetter(name)(LITE)
        assert change_config(PAPER_WITH_DRAWINGS, [f"{phase}{dot}{old}={value}"]) == change_config(
            PAPER_WITH_DRAWINGS, [f"{name}={value}"]
        )


def test_old_option_values_are_accepted() -> None:
    for option, renamed in OLD_OPTION_VALUES.items():
        for old, new in renamed.items():
            place = f"adversarial.{option}" if option == "learning_rate_schedule" else option
            changed = change_config(LITE, [f"{place}={old}"])
            assert attrgetter(place)(changed) == new


def test_a_config_of_an_earlier_version_is_read() -> None:
    values = json.loads(json.dumps(asdict(LITE)))
    for old, new in OLD_OPTION_NAMES.items():
        for owner in (values, values["initialization"], values["adversarial"]):
            if new in owner:
                owner[old] = owner.pop(new)
    values["adversarial"]["fall"] = "none"
    values |= {"content_target": "abstraction", "discriminator_sees": "colour"}
    assert TrainConfig.from_values(values) == LITE


def test_options_that_may_change_on_resume_exist() -> None:
    assert set(CHANGEABLE_ON_RESUME) <= set(option_names(LITE))


def test_an_empty_list_is_refused() -> None:
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
def test_a_config_is_read_back_from_json(name: str) -> None:
    values = json.loads(json.dumps(asdict(PRESETS[name])))
    assert TrainConfig.from_values(values) == PRESETS[name]


def test_each_step_belongs_to_a_phase() -> None:
    config = change_config(LITE, ["initialization.steps=10", "adversarial.steps=5"])
    assert config.steps == 15
    assert config.phase_at(9) == ("initialization", config.initialization, 9)
    assert config.phase_at(10) == ("adversarial", config.adversarial, 0)


def test_the_preset_paper_has_the_values_of_the_paper() -> None:
    paper = PRESETS["paper"]
    assert (paper.generator, paper.discriminator, paper.objective) == ("paper", "paper", "bce")
    assert (paper.content_network, paper.content_target) == ("vgg19", "photo")
    assert (paper.crop, paper.width, paper.blocks) == (256, 256, 8)
    for phase in (paper.initialization, paper.adversarial):
        assert (phase.content_weight, phase.learning_rate, phase.beta1) == (10, 2e-4, 0.5)
        ours = ["pixel", "gradient_difference", "color", "style", "total_variation"]
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
        (["content_target=photo", "cartoon_colors=0"], "layer weights need generator=cel"),
        (["noisy_share=1.5"], "noisy_share must be from 0 to 1"),
        (["look_tones=0.5"], "look_tones must be at least 1"),
    ],
)
def test_cel_checks_its_options(settings: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(PRESETS["cel"], settings)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("initialization.layer_ink_weight=1", "layer weights need generator=cel"),
        ("mix=false", "mix=false needs generator=cel"),
    ],
)
def test_other_generators_take_no_options_of_cel(setting: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        change_config(PRESETS["lite"], [setting])


def test_a_config_from_before_cel_is_read() -> None:
    values = asdict(LITE)
    for name in OPTIONS_ADDED_LATER:
        del values[name]
    for phase in ("initialization", "adversarial"):
        values[phase] = {n: v for n, v in values[phase].items() if not n.startswith("layer_")}
    assert TrainConfig.from_values(values) == LITE

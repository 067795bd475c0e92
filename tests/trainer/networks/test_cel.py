"""`cel` gives layers of the photo's size, and composes them in tonal steps with opaque ink."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F

from trainer.networks import cel
from trainer.networks.build import count_multiply_adds
from trainer.networks.cel import (
    CONTROL_RANGES,
    CONTROL_STEPS,
    DARKEST,
    INK_BIAS,
    INK_COLOR,
    INK_SOFTNESS,
    CelGenerator,
    Layers,
    Look,
    _enlarge,
    _tint,
    compose,
    compose_shares,
    enlarging_filters,
    grade,
    parse_color,
    ungrade,
)
from trainer.networks.flat_areas import flatten_areas


@pytest.fixture
def generator() -> CelGenerator:
    torch.manual_seed(3)
    return CelGenerator(width=8, blocks=1).eval()


def gray(*levels: float) -> torch.Tensor:
    """(1, 3, 1, W) with these levels of gray."""
    return torch.tensor(levels).view(1, 1, 1, -1).expand(1, 3, 1, -1)


def test_it_takes_at_most_4100_multiply_adds_a_pixel() -> None:
    assert count_multiply_adds(CelGenerator()) <= 4_100
    assert 6_000 < count_multiply_adds(CelGenerator(blocks=2, mix=True)) <= 6_500


@pytest.mark.parametrize(("blocks", "dilations"), [(1, [1, 2]), (2, [1, 2, 1]), (3, [1, 2, 2, 1])])
def test_inner_blocks_look_further(blocks: int, dilations: list[int]) -> None:
    found = [block.first.dilation[0] for block in CelGenerator(8, blocks).eighth_blocks]
    assert found == dilations


def test_layers_have_the_photos_size_and_cartoons_its_range(generator: CelGenerator) -> None:
    photos = torch.rand(2, 3, 24, 40) * 2 - 1
    with torch.no_grad():
        layers, cartoons = generator.layers(photos), generator(photos)
    assert layers.color.shape == cartoons.shape == photos.shape
    assert layers.ink_logits.shape == (2, 1, 24, 40)
    assert cartoons.min() >= -1 and cartoons.max() <= 1


def test_half_size_layers_are_enlarged_bilinearly() -> None:
    half = torch.rand(2, 3, 5, 7)
    blocks = _enlarge(half, enlarging_filters(3))
    wanted = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(F.pixel_shuffle(blocks.flatten(1, 2), 2), wanted)


def test_a_palette_is_met_at_its_levels() -> None:
    colors = ["000000", "ff8000", "ffffff"]
    tinted = _tint(torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 1, 1, 4), colors)
    wanted = [[0, 0, 0], [0.5, 64 / 255, 0], [1, 128 / 255, 0], [1, 1, 1]]
    torch.testing.assert_close(tinted[0, :, 0].T, torch.tensor(wanted))


def test_at_the_start_the_color_is_nearly_the_photo(generator: CelGenerator) -> None:
    photos = torch.zeros(1, 3, 32, 32)
    photos[..., 16:] = 0.5
    with torch.no_grad():
        color = generator.layers(photos).color
    assert (color - photos).abs().mean() < 0.2


def test_a_distant_change_of_the_photo_changes_nothing(generator: CelGenerator) -> None:
    """No run-time statistics: a frame's parts are drawn alike."""
    photos = torch.rand(1, 3, 32, 256) * 2 - 1
    other = photos.clone()
    other[..., 200:] = 1
    with torch.no_grad():
        assert torch.equal(generator(photos)[..., :64], generator(other)[..., :64])


def test_moving_a_photo_by_8_pixels_moves_its_cartoon(generator: CelGenerator) -> None:
    photos = torch.rand(1, 3, 64, 192) * 2 - 1
    with torch.no_grad():
        moved = generator(photos[..., 8:])[..., 72:-72]
        still = generator(photos)[..., 80:-72]
    torch.testing.assert_close(moved, still, atol=1e-5, rtol=0)


def test_full_ink_hides_the_color_and_no_ink_leaves_it() -> None:
    color = torch.rand(1, 3, 2, 2)
    none, full = (torch.full((1, 1, 2, 2), value) for value in (-9.0, 9.0))
    inked = compose(color, full)
    torch.testing.assert_close(
        inked, torch.tensor(parse_color(INK_COLOR)).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    )
    assert torch.equal(compose(color, none), compose(color, full, ink=0.0))


def test_ink_of_a_drawing_and_the_same_as_logits_compose_alike() -> None:
    color, ink = torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4)
    logits = (ink - 0.5) * INK_SOFTNESS - INK_BIAS
    torch.testing.assert_close(compose(color, logits), compose_shares(color, ink))


def test_more_ink_draws_wider_lines() -> None:
    logits = torch.linspace(-4, 4, 81).view(1, 1, 1, -1)
    white = torch.ones(1, 3, 1, 81)
    widths = [(compose(white, logits, ink=ink) < 0.5).float().mean() for ink in (0.6, 1.0, 1.5)]
    assert widths[0] < widths[1] < widths[2]


def test_tones_make_so_many_plateaus() -> None:
    ramp = torch.linspace(0, 1, 2001).expand(1, 3, 1, 2001)
    drawn = compose_shares(ramp, torch.zeros(1, 1, 1, 2001), tones=4.0, exposure=1.0)[0, 0, 0]
    assert bool((drawn.diff() > -1e-6).all()), "brighter stays brighter"
    flat = drawn.diff() < 0.15 / 2000  # a seventh of the ramp's own slope
    starts = int((flat[1:] & ~flat[:-1]).sum()) + int(flat[0])
    assert starts == 5  # four tones and, cut off, white


def test_black_stays_visible_under_ink_and_white_is_white() -> None:
    made = compose_shares(gray(0, 1), torch.zeros(1, 1, 1, 2))
    torch.testing.assert_close(made[0, :, 0, 0], torch.full((3,), DARKEST), atol=1e-3, rtol=0)
    torch.testing.assert_close(made[0, :, 0, 1], torch.ones(3), atol=1e-3, rtol=0)


def test_saturation_0_is_gray_and_more_is_more_colorful() -> None:
    color = torch.tensor([0.6, 0.4, 0.3]).view(1, 3, 1, 1)
    ink = torch.zeros(1, 1, 1, 1)
    spread = [
        float(made.max() - made.min())
        for made in (compose_shares(color, ink, saturation=value) for value in (0.0, 1.0, 1.5))
    ]
    assert spread[0] < 1e-5 < spread[1] < spread[2]


def test_controls_may_be_tensors() -> None:
    color, logits = torch.rand(1, 3, 2, 2), torch.randn(1, 1, 2, 2)
    plain = compose(color, logits, ink=0.8, tones=5.0, saturation=1.2)
    values = (torch.tensor(value) for value in (0.8, 5.0, 1.2))
    torch.testing.assert_close(compose(color, logits, *values), plain)


def test_controls_of_a_call_take_the_place_of_those_of_the_look(generator: CelGenerator) -> None:
    photos = torch.rand(1, 3, 16, 16) * 2 - 1
    values = {"ink": 0.4, "tones": 3.0, "saturation": 0.5}
    scalars = {name: torch.tensor([value]) for name, value in values.items()}
    with torch.no_grad():
        given = generator(photos, scalars)
        only_ink = generator(photos, {"ink": scalars["ink"]})
        before = generator(photos)
        generator.look = Look(**values)
        torch.testing.assert_close(given, generator(photos))
        generator.look = Look(ink=0.4)
        torch.testing.assert_close(only_ink, generator(photos))
    assert (given - before).abs().max() > 0.1


def test_the_default_look_is_within_the_range_of_each_control() -> None:
    for name, (smallest, largest) in CONTROL_RANGES.items():
        assert smallest < getattr(Look(), name) < largest
        assert 0 < CONTROL_STEPS[name] < largest - smallest


def test_forward_composes_its_own_layers(generator: CelGenerator) -> None:
    photos = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        layers = generator.layers(photos)
        assert isinstance(layers, Layers)
        wanted = compose((layers.color + 1) / 2, layers.ink_logits) * 2 - 1
        torch.testing.assert_close(generator(photos), wanted)


def test_a_look_without_saturation_is_black_and_white(generator: CelGenerator) -> None:
    generator.look = Look(saturation=0.0)
    with torch.no_grad():
        cartoons = generator(torch.rand(1, 3, 16, 16) * 2 - 1)
    # The ink is a warm black.
    assert (cartoons.amax(dim=1) - cartoons.amin(dim=1)).max() < 0.04


def test_a_drawing_is_composed_as_the_generators_own_layers_are(generator: CelGenerator) -> None:
    generator.look = Look(tones=3.0, saturation=0.5, exposure=1.3)
    color, ink = torch.rand(1, 3, 8, 8) * 2 - 1, torch.rand(1, 1, 8, 8)
    logits = (ink - 0.5) * INK_SOFTNESS - INK_BIAS
    torch.testing.assert_close(
        generator.compose_drawing(color, ink), generator.compose_layers(Layers(color, logits))
    )


def test_ungrade_undoes_grade() -> None:
    look = Look(saturation=1.3, exposure=0.95)
    color = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(6)) * 1.6 - 0.8
    torch.testing.assert_close(ungrade(grade(color, look), look), color, atol=1e-5, rtol=0)


def test_grade_is_compose_with_many_steps_and_no_ink() -> None:
    look = Look(tones=2000.0, saturation=1.2)
    color = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(7)) * 1.4 - 0.8
    composed = CelGenerator(8, 1, look).compose_drawing(color, torch.zeros(1, 1, 6, 6))
    torch.testing.assert_close(grade(color, look).clamp(-1, 1), composed, atol=2e-3, rtol=0)


def test_a_color_that_is_too_bright_keeps_its_hue(monkeypatch: pytest.MonkeyPatch) -> None:
    red = torch.tensor([0.9, 0.25, 0.2]).view(1, 3, 1, 1)
    white = torch.ones(1, 3, 1, 1)

    def show(color: torch.Tensor) -> torch.Tensor:
        return compose_shares(color, torch.zeros(1, 1, 1, 1), tones=2000.0, saturation=1.5)

    kept = show(red)
    torch.testing.assert_close(show(white), white)
    monkeypatch.setattr(cel, "HUE_KEPT", 0.0)  # red is cut off, and green and blue are not
    cut = show(red)
    assert kept[0, 0] == cut[0, 0] == 1
    assert (kept[0, 1:] < cut[0, 1:] - 0.05).all()


def test_a_palette_replaces_colors_by_luminance() -> None:
    palette = ("000000", "ff0000", "ffffff")
    none, half, whole = (
        compose_shares(
            gray(0.0, 0.5, 1.0),
            torch.zeros(1, 1, 1, 3),
            tones=2000.0,
            palette=palette,
            palette_share=share,
        )
        for share in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (none + whole) / 2)
    dark, middle, bright = whole[0, :, 0].T
    assert dark.tolist() == pytest.approx([2 * 0.05, 0, 0], abs=0.01)  # black is lifted
    assert middle[0] > 0.99 and middle[1] < 0.4
    assert bright.tolist() == pytest.approx([1, 1, 1], abs=0.01)


def test_sharpness_makes_steps_harder() -> None:
    ramp = torch.linspace(0, 1, 400).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    soft, hard = (
        compose_shares(ramp, torch.zeros(1, 1, 1, 400), sharpness=value).diff().max()
        for value in (1.0, 6.0)
    )
    assert hard > 2 * soft


def test_a_generator_flattens_its_own_color_but_not_a_drawing(generator: CelGenerator) -> None:
    photos = torch.rand(1, 3, 64, 64) * 0.1
    layers = generator.layers(photos)
    plain = generator(photos)
    generator.look = replace(generator.look, flatness=0.2)
    color, ink = (layers.color + 1) / 2, layers.ink_logits
    expected = compose(
        flatten_areas(color.clamp(0, 1), 0.2), ink, **look_without_flatness(generator)
    )
    torch.testing.assert_close(generator(photos), expected * 2 - 1)
    assert (generator(photos) - plain).abs().max() > 0.01
    drawn = generator.compose_drawing(layers.color, torch.zeros_like(ink))
    generator.look = replace(generator.look, flatness=0.0)
    torch.testing.assert_close(
        drawn, generator.compose_drawing(layers.color, torch.zeros_like(ink))
    )


def look_without_flatness(generator: CelGenerator) -> dict[str, object]:
    return {name: value for name, value in asdict(generator.look).items() if name != "flatness"}


def test_a_color_needs_six_digits() -> None:
    assert parse_color("ff8000") == pytest.approx((1, 128 / 255, 0))
    with pytest.raises(ValueError, match="six hexadecimal digits, not 'red'"):
        parse_color("red")


def test_torch_compile_traces_the_generator_in_one_graph() -> None:
    """A part that falls back to Python would split the graph, and is an error here."""
    torch.manual_seed(3)
    look = Look(palette=("000000", "a04020", "ffffff"), palette_share=0.5, flatness=0.06)
    generator = CelGenerator(width=8, blocks=1, look=look).eval()
    photos = torch.rand(1, 3, 16, 32) * 2 - 1
    compiled = torch.compile(generator, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        difference = (compiled(photos) - generator(photos)).abs().max()
    assert difference <= 1 / 127.5  # one level

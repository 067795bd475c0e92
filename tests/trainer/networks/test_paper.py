"""Generator and discriminator are those of CartoonGAN's figure 2, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainer.networks.build import count_multiply_adds, count_parameters
from trainer.networks.paper import (
    Discriminator,
    Float32InstanceNorm,
    Generator,
    fold_batch_norm,
)

GENERATOR = (
    ("conv", 7, 3, 64, 1),
    *(("conv", 3, 64, 128, 2), ("conv", 3, 128, 128, 1)),
    *(("conv", 3, 128, 256, 2), ("conv", 3, 256, 256, 1)),
    *(("conv", 3, 256, 256, 1),) * 16,
    *(("up", 3, 256, 128, 2), ("conv", 3, 128, 128, 1)),
    *(("up", 3, 128, 64, 2), ("conv", 3, 64, 64, 1)),
    ("conv", 7, 64, 3, 1),
)
"""Figure 2 as published: kind, kernel, channels, feature maps (n), stride (s)."""

DISCRIMINATOR = (
    ("conv", 3, 3, 32, 1),
    *(("conv", 3, 32, 64, 2), ("conv", 3, 64, 128, 1)),
    *(("conv", 3, 128, 128, 2), ("conv", 3, 128, 256, 1)),
    ("conv", 3, 256, 256, 1),
    ("conv", 3, 256, 1, 1),
)


def layers_of(network: nn.Module) -> list[tuple[str, int, int, int, int]]:
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = "up" if isinstance(layer, nn.ConvTranspose2d) else "conv"
            size, stride = layer.kernel_size[0], layer.stride[0]
            found.append((kind, size, layer.in_channels, layer.out_channels, stride))
    return found


def weights_of(layers: tuple[tuple[str, int, int, int, int], ...]) -> int:
    return sum(size * size * channels * filters for _, size, channels, filters, _ in layers)


@pytest.mark.parametrize(
    ("network", "published", "norms"),
    [(Generator(), GENERATOR, 1 + 2 + 16 + 2), (Discriminator(), DISCRIMINATOR, 3)],
)
def test_layers_are_those_of_figure_2(
    network: nn.Module, published: tuple[tuple[str, int, int, int, int], ...], norms: int
) -> None:
    assert layers_of(network) == list(published)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == norms


def test_parameters_are_those_of_figure_2() -> None:
    # Besides the weights: two per channel of a norm, and a bias where no norm follows.
    norms = 2 * (64 + 128 + 256 + 16 * 256 + 128 + 64)
    assert count_parameters(Generator()) == weights_of(GENERATOR) + norms + (
        128 + 256 + 128 + 64 + 3
    )
    norms = 2 * (128 + 256 + 256)
    assert count_parameters(Discriminator()) == weights_of(DISCRIMINATOR) + norms + (
        32 + 64 + 128 + 1
    )


def test_the_generator_takes_830_thousand_multiply_adds_per_pixel() -> None:
    assert round(count_multiply_adds(Generator()) / 1000) == 830


@pytest.mark.parametrize("improved", [False, True])
def test_output_has_the_size_of_the_input(improved: bool) -> None:
    generator = Generator(width=16, blocks=1, improved=improved)
    assert generator(torch.zeros(2, 3, 36, 48)).shape == (2, 3, 36, 48)


def test_the_discriminator_classifies_patches() -> None:
    (logits,) = Discriminator(width=4)(torch.zeros(2, 3, 32, 48))
    assert logits.shape == (2, 1, 8, 12)


def receptive_field(network: nn.Module, side: int) -> int:
    """Width in pixels of the input that the center of the discriminator's output depends on."""
    image = torch.rand(1, 3, side, side, requires_grad=True)
    logits = network.eval()(image)[0]
    center = logits.shape[-1] // 2
    logits[0, 0, center, center].backward()
    assert image.grad is not None
    return int((image.grad.abs().sum((0, 1, 2)) > 0).sum())


def test_the_receptive_field_is_37_pixels_wide() -> None:
    assert receptive_field(Discriminator(width=4), 96) == 37


def test_initial_weights_have_a_standard_deviation_of_two_hundredths() -> None:
    torch.manual_seed(0)
    for layer in Generator(width=64, blocks=1).modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)


def test_the_improved_generator_has_no_batch_norm_and_no_transposed_convolution() -> None:
    kinds = {type(layer) for layer in Generator(width=16, blocks=1, improved=True).modules()}
    assert not kinds & {nn.BatchNorm2d, nn.ConvTranspose2d, nn.ReLU}
    assert {Float32InstanceNorm, nn.LeakyReLU, nn.Upsample} <= kinds


@pytest.mark.parametrize(("improved", "flat"), [(True, True), (False, False)])
def test_only_the_transposed_convolution_has_a_checkerboard(improved: bool, flat: bool) -> None:
    torch.manual_seed(0)
    generator = Generator(width=16, blocks=1, improved=improved)
    with torch.no_grad():
        inside = generator(torch.full((1, 3, 160, 160), 0.3))[..., 76:84, 76:84]
    pattern = (inside - inside[..., :1, :1]).abs().max()
    assert (pattern < 1e-5) == flat


def test_instance_norm_keeps_its_statistics_in_float32() -> None:
    x = torch.linspace(0, 40_000, 4096).view(1, 1, 64, 64)  # its squares overflow in float16
    norm = Float32InstanceNorm(1)
    exact = norm(x)
    half = norm.half()(x.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), exact, atol=5e-3, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x.bfloat16()).dtype == torch.bfloat16


def trained_a_little() -> Generator:
    torch.manual_seed(0)
    generator = Generator(width=16, blocks=2)
    for _ in range(20):
        generator(torch.rand(2, 3, 32, 32) * 2 - 1)
    return generator.eval()


@pytest.mark.parametrize("images", [1, 2])
def test_instance_norm_has_the_gradient_of_its_formula_channels_last(images: int) -> None:
    """Without the hook in it, the gradient of one image is wrong on CPUs."""
    x, upstream = (
        torch.randn(images, 4, 8, 8).to(memory_format=torch.channels_last).requires_grad_(wanted)
        for wanted in (True, False)
    )
    (Float32InstanceNorm(4)(x) * upstream).sum().backward()
    exact = x.detach().double().requires_grad_(True)
    centered = exact - exact.mean((2, 3), keepdim=True)
    deviation = (centered.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    (centered / deviation * upstream.double()).sum().backward()
    assert x.grad is not None and exact.grad is not None
    assert torch.allclose(x.grad.double(), exact.grad, atol=1e-5)


def test_folding_batch_norm_does_not_change_the_output() -> None:
    generator = trained_a_little()
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    folded = fold_batch_norm(generator)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in generator.modules())
    expected = generator(photo)
    difference: Tensor = (folded(photo) - expected).abs().max()
    assert difference < 1e-5 * max(1.0, expected.abs().max().item())

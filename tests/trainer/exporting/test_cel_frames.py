"""What an engine of `cel` computes is what its generator draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.exporting.cel_frames import CelFrames, _to_frames, _to_planes
from trainer.networks.cel import CelGenerator, Look


def make_generator(look: Look) -> CelGenerator:
    torch.manual_seed(3)
    generator = CelGenerator(width=8, blocks=1, look=look).eval()
    for name, value in generator.named_parameters():
        if name.endswith("bias"):  # they begin at 0, and would hide it if one were misplaced
            torch.nn.init.normal_(value, std=0.3)
    return generator


def draw(generator: CelGenerator, frames: Tensor, **controls: float) -> Tensor:
    """What the generator draws of frames, in levels and in the order of frames."""
    photos = (frames / 127.5 - 1).permute(0, 3, 1, 2)
    scalars = {name: torch.tensor([value]) for name, value in controls.items()}
    return (generator(photos, scalars).permute(0, 2, 3, 1) + 1) * 127.5


@pytest.mark.parametrize(
    "look",
    [
        Look(),
        Look(tones=3.0, saturation=0.0, exposure=1.6, ink=1.1),
        Look(flatness=0.1, sharpness=20.0),
        Look(palette=("1b1040", "3fa89a", "fff6d8"), palette_share=0.4, ink_color="33204d"),
    ],
)
def test_frames_are_drawn_as_photos_are(look: Look) -> None:
    generator = make_generator(look)
    frames = torch.rand(2, 32, 48, 3) * 255
    with torch.no_grad():
        torch.testing.assert_close(
            CelFrames(generator)(frames), draw(generator, frames), atol=0.01, rtol=0
        )


def test_controls_change_both_alike() -> None:
    generator = make_generator(Look())
    frames = torch.rand(1, 16, 24, 3) * 255
    values = {"ink": 1.4, "tones": 3.0, "saturation": 0.6}
    with torch.no_grad():
        made = CelFrames(generator)(
            frames, {name: torch.tensor([value]) for name, value in values.items()}
        )
        torch.testing.assert_close(made, draw(generator, frames, **values), atol=0.01, rtol=0)
        assert (made - draw(generator, frames)).abs().max() > 10


def test_the_generator_is_left_as_it_is() -> None:
    generator = make_generator(Look())
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    CelFrames(generator)
    after = generator.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_planes_hold_the_rows_columns_and_colors_of_a_block() -> None:
    frames = torch.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    planes = _to_planes(frames)
    assert planes.shape == (2, 12, 2, 3)
    for row, column, color in ((0, 0, 2), (0, 1, 0), (1, 0, 1), (1, 1, 2)):
        plane = planes[:, row * 6 + column * 3 + color]
        assert torch.equal(plane, frames[:, row::2, column::2, color])
    assert torch.equal(_to_frames(planes, frames), frames)

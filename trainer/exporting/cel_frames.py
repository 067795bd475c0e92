"""The generator `cel` as engines compute it: from frames to frames, on blocks of 2 x 2 pixels.

In: a generator, then frames. Out: the cartoons that the generator draws of them. What differs is
the order of things: a library like OpenVINO then moves less data. Training is left out, and so are
the conversions from bytes and to bytes (`trainer.exporting.export`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.cel import (
    CelGenerator,
    Light,
    activate,
    enlarging_filters,
    find_cover,
    find_light,
    paint,
)
from trainer.networks.flat_areas import find_flattening
from trainer.networks.luminance import find_brightest, find_luminance

SMALL, LARGE, COLOR = "small", "enlarge", "color"
"""Names of the modules whose outputs are colors and shares, about in [0, 1], which
`trainer.exporting.byte_layers` stores as bytes."""

_COLORS, _POSITIONS = 3, 4  # of a block of 2 x 2 pixels, row by row


class CelFrames(nn.Module):
    """A generator with its weights in another order. Frames are (N, H, W, 3), as videos are stored.

    Color is composed by blocks, in planes of H/2 x W/2: `N, row, column, color`.
    """

    def __init__(self, generator: CelGenerator) -> None:
        """Copy the weights of a generator, in their dtype."""
        super().__init__()
        self.look = generator.look
        self.enter = _by_block(generator.enter)
        self.down, self.down_again = generator.down, generator.down_again
        self.eighth_blocks, self.quarter_blocks = generator.eighth_blocks, generator.quarter_blocks
        self.up, self.up_again = _RowShuffle(generator.up), _RowShuffle(generator.up_again)
        self.mix, self.leave = generator.mix, generator.leave
        self.small, self.enlarge, self.color = _Small(), _Enlarge(), _Color()
        self.enlarge.to(generator.enter.weight.dtype)

    def forward(self, frames: Tensor, controls: Mapping[str, Tensor] | None = None) -> Tensor:
        """Frames (N, H, W, 3), levels in 0..255, to cartoons of the same shape, not rounded.

        Args:
            frames: p.
            controls: As in `CelGenerator.forward`.
        """
        look = {**asdict(self.look), **(controls or {})}
        count = frames.shape[0]
        pixels = _to_planes(frames) / 127.5 - 1  # (N, 12, H/2, W/2)
        left = self.leave(self._half(pixels))  # (N, 8, H/2, W/2)
        # Without `flatten`, OpenVINO would split what has its channels innermost, which is slow.
        change, gate, ink = left.flatten(2).split((3, 1, 4), dim=1)
        change, gate = (each.unflatten(2, left.shape[2:]) for each in (change, gate))
        large = self.enlarge(self.small(pixels, change, torch.sigmoid(gate)))
        color = self.color(pixels, large)  # (N * 4, 3, H/2, W/2)
        luminance = find_luminance(color)
        if self.look.flatness:
            blocks = (count, _POSITIONS)
            gain, offset = find_flattening(color[::_POSITIONS], self.look.flatness)
            color, luminance = (
                (whole.unflatten(0, blocks) * gain[:, None] + part[:, None]).flatten(0, 1)
                for whole, part in ((color, offset), (luminance, find_luminance(offset)))
            )
        light = find_light(
            luminance,
            find_brightest(color),
            *(look[name] for name in ("tones", "saturation", "exposure", "sharpness")),
        )
        # OpenVINO computes what follows for three colors, and what comes before for none: a change
        # of the shape keeps both apart.
        painted = paint(
            color.flatten(2),
            find_cover(ink, look["ink"]).reshape(count * _POSITIONS, 1, -1),
            Light(*(part.flatten(2) for part in light)),
            *(look[name] for name in ("ink_color", "palette", "palette_share")),
        )
        return _to_frames((painted * 255).clamp(0, 255), frames)

    def _half(self, pixels: Tensor) -> Tensor:
        """The features at half size that the layers are made of."""
        half = activate(self.enter(pixels))
        quarter = activate(self.down(half))
        eighth = activate(self.eighth_blocks(activate(self.down_again(quarter))))
        quarter = activate(self.quarter_blocks(quarter + self.up(eighth)))
        half = activate(half + self.up_again(quarter))
        return half if self.mix is None else activate(half + self.mix(half))


class _RowShuffle(nn.Module):
    """A convolution of 1 x 1 with a pixel shuffle behind it, for each of the two rows of a block.

    Where channels are innermost, as in OpenVINO, what a row's convolution gives is that row: only
    whole rows have to be brought together, in a third of the time of a pixel shuffle.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        count = convolution.out_channels // _POSITIONS
        weights = convolution.weight.detach().unflatten(0, (count, 2, 2))  # channel, row, column
        biases = convolution.bias.detach().unflatten(0, (count, 2, 2))
        self.rows = nn.ModuleList()
        for row in (0, 1):
            each = nn.Conv2d(convolution.in_channels, 2 * count, kernel_size=1)
            each.weight = nn.Parameter(weights[:, row].transpose(0, 1).flatten(0, 1).contiguous())
            each.bias = nn.Parameter(biases[:, row].transpose(0, 1).flatten().contiguous())
            self.rows.append(each)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        rows = [each(x).permute(0, 2, 3, 1).reshape(count, height, 1, -1) for each in self.rows]
        frames = torch.cat(rows, dim=2).reshape(count, 2 * height, 2 * width, -1)
        return frames.permute(0, 3, 1, 2)


class _Small(nn.Module):
    """Flat color, means and gate at half size, (N, 7, H/2, W/2) about in [0, 1]."""

    def forward(self, pixels: Tensor, change: Tensor, gate: Tensor) -> Tensor:
        first, *others = pixels.split(_COLORS, dim=1)
        means = sum(others, first) * 0.125 + 0.5
        return torch.cat([change * 0.5 + means, means, gate], dim=1)


class _Enlarge(nn.Module):
    """The output of `_Small`, enlarged to full size by blocks: (N, 28, H/2, W/2).

    12 planes of flat color, 12 of means, 4 of gate.
    """

    def __init__(self) -> None:
        super().__init__()
        filters = enlarging_filters(7).unflatten(0, (7, _POSITIONS))  # channel, position, ...
        colors = [
            filters[start : start + _COLORS].transpose(0, 1).flatten(0, 1) for start in (0, 3)
        ]
        self.register_buffer("filters", torch.cat([*colors, filters[6]]), persistent=False)

    def forward(self, small: Tensor) -> Tensor:
        return F.conv2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), self.filters)


class _Color(nn.Module):
    """Flat color with the photo's own detail where the gate lets it through, in [0, 1]."""

    def forward(self, pixels: Tensor, large: Tensor) -> Tensor:
        count, _, rows, columns = pixels.shape
        shape = (count, _POSITIONS, _COLORS, rows, columns)
        # `flatten` for the same reason as above.
        flat, means, gate = large.flatten(2).split((12, 12, 4), dim=1)
        detail = pixels.reshape(shape) * 0.5 + 0.5 - means.reshape(shape)
        # In this order of the terms, OpenVINO makes no copy of `flat`.
        color = gate.reshape(count, _POSITIONS, 1, rows, columns) * detail + flat.reshape(shape)
        return color.clamp(0, 1).flatten(0, 1)


def _by_block(convolution: nn.Conv2d) -> nn.Conv2d:
    """Reorder the input channels of a convolution from `F.pixel_unshuffle` to `_to_planes`."""
    weight = convolution.weight.detach().unflatten(1, (_COLORS, _POSITIONS))
    made = nn.Conv2d(12, convolution.out_channels, kernel_size=3, padding=1)
    made.weight = nn.Parameter(weight.transpose(1, 2).flatten(1, 2).contiguous())
    made.bias = convolution.bias
    return made


def _to_planes(frames: Tensor) -> Tensor:
    """Frames (N, H, W, 3) to planes by row, column and color, (N, 12, H/2, W/2)."""
    count, height, width, _ = frames.shape
    # Two pixels are six neighboring values: a row of blocks has its channels innermost.
    rows = frames.reshape(count, height // 2, 2, width // 2, 6).unbind(2)
    return torch.cat([row.permute(0, 3, 1, 2) for row in rows], dim=1)


def _to_frames(planes: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_to_planes`; the planes may be in any shape."""
    count, height, width, _ = like.shape
    rows, columns = height // 2, width // 2
    # In OpenVINO, innermost values are made outermost in a third of the time that the opposite
    # takes. It is the same where the frame is seen as one of 6 rows and a column.
    planes = planes.reshape(count, 2, 6, 1, rows * columns)
    frames = [each.permute(0, 3, 1, 2).reshape(count, rows, 1, -1) for each in planes.unbind(1)]
    return torch.cat(frames, dim=2).reshape(like.shape)

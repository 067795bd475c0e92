"""The generator of an engine: the weights of a `cel` engine's float32 file, as a network again.

In: an engine. Out: the `CelGenerator` that it was exported from, so that training can go on with a
style, or another generator can learn from it. The order of the weights is that of
`trainer.exporting.cel_frames`, undone here. The look is left out: it is constants of the graph.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from toonvid.engine import Engine
from toonvid.errors import TrainingError
from trainer.networks.cel import CelGenerator

_PREFIX = "generator."


def read_generator(engine: Engine) -> CelGenerator:
    """Read the generator of an engine, with a default look.

    Args:
        engine: Its float32 file is read.

    Returns:
        The generator in float32, on the CPU, in evaluation mode.

    Raises:
        EngineError: The file cannot be read, or is not that of the card.
        TrainingError: It is the engine of another kind of generator.
    """
    weights = _named_weights(engine)
    try:
        width = weights["down.weight"].shape[0]
        generator = CelGenerator(
            width, blocks=_count(weights, "quarter_blocks"), mix="mix.weight" in weights
        )
        weights["enter.weight"] = _order_by_color(weights["enter.weight"])
        for layer in ("up", "up_again"):
            for part in ("weight", "bias"):
                rows = [weights.pop(f"{layer}.rows.{row}.{part}") for row in (0, 1)]
                weights[f"{layer}.{part}"] = _join_rows(rows)
        generator.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"style {engine.card.style} has another generator than cel: training cannot go on "
            "with it"
        ) from error
    return generator.eval()


def _named_weights(engine: Engine) -> dict[str, Tensor]:
    """Weights and biases of an engine by their name in the network."""
    graph = onnx.load(engine.path("f32")).graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        # Equal constants, such as biases of zeros, are stored once.
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return {
        name.removeprefix(_PREFIX): torch.from_numpy(np.array(values))
        for name, values in constants.items()
        if name.startswith(_PREFIX)
    }


def _count(weights: dict[str, Tensor], blocks: str) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith(f"{blocks}.")})


def _join_rows(rows: list[Tensor]) -> Tensor:
    """Weights or biases of the two rows of a pixel shuffle to those of its one convolution."""
    by_row = torch.stack([row.unflatten(0, (2, -1)) for row in rows])  # row, column, channel
    return by_row.permute(2, 0, 1, *range(3, by_row.ndim)).flatten(0, 2)


def _order_by_color(weight: Tensor) -> Tensor:
    """Input channels by row, column and color of a block to those of `F.pixel_unshuffle`."""
    return weight.unflatten(1, (4, 3)).transpose(1, 2).flatten(1, 2)

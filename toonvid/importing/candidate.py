"""A file that may become a style: what is known about it before anything is asked or written.

In: what was read of a file. Out: how its values are read, or which choices its graph leaves open.
Files are read by `toonvid.importing.read_candidate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from toonvid.choices import ColorOrder, ValueRange
from toonvid.importing.facts import Facts
from toonvid.importing.families import Family
from toonvid.importing.network import Layout, Network, Reading, image_shape
from toonvid.importing.sizes import Sizes

_INFERRED_SIDE = 128  # pixels; a multiple of all that are tried


@dataclass(frozen=True)
class Candidate:
    """A file that may become a style."""

    source: Path
    sha256: str
    """Hash of the file, in hexadecimal; of a folder, of all its files."""
    network: Network
    """The network as the file has it, with free sides where that is safe."""
    model: ModelProto | None
    """The same as an ONNX graph of a current version; None for what OpenVINO alone can read."""
    layout: Layout
    output_layout: Layout
    sizes: Sizes
    facts: Facts

    def guess_reading(
        self,
        family: Family | None,
        order: ColorOrder | None = None,
        input_range: ValueRange | None = None,
        output_range: ValueRange | None = None,
    ) -> tuple[Reading | None, list[str]]:
        """Settle how values are read: by what was asked for, else the family, else the graph.

        Args:
            family: Family of the network, None if it was not stated.
            order: Order of the channels that was asked for.
            input_range: Range of the input that was asked for.
            output_range: Range of the output that was asked for.

        Returns:
            The reading, and no names; or None, and what is open: "order", "range".
        """
        order = order or (family.order if family else None)
        known_output = output_range or self.facts.output_range
        chosen = input_range or (family.value_range if family else None)
        chosen = chosen or self.facts.input_range or known_output
        if order is None or chosen is None:
            names = [("order", order), ("range", chosen)]
            return None, [name for name, value in names if value is None]
        return Reading(order, chosen, known_output or chosen), []


def find_output_layout(network: Network, layout: Layout, sizes: Sizes) -> Layout:
    """Find the layout of a network's output by its shape."""
    height, width = sizes.fixed or (_INFERRED_SIDE, _INFERRED_SIDE)
    shape = network.output_shape(image_shape(layout, height, width))
    return "NCHW" if shape == image_shape("NCHW", height, width) else "NHWC"

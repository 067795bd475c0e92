"""The transposition of an engine's result is moved to the end, where it costs less."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from toonvid.backends.openvino import _transpose_last


def build(per_channel: bool = False, second_reader: bool = False) -> ov.Model:
    """(1, 3, 4, 5) float to (1, 4, 5, 3) uint8: transposed, scaled, rounded, converted."""
    values = opset13.parameter([1, 3, 4, 5], np.float32, name="values")
    transposed = opset13.transpose(values, np.array([0, 2, 3, 1]))
    factor = np.array([1.0, 2.0, 3.0] if per_channel else 2.0, np.float32)
    scaled = opset13.multiply(transposed, opset13.constant(factor))
    if second_reader:
        scaled = opset13.add(scaled, opset13.multiply(transposed, transposed))
    rounded = opset13.round(scaled, "half_to_even")
    result = opset13.result(opset13.convert(rounded, np.uint8))
    result.input(0).get_source_output().set_names({"cartoon"})
    return ov.Model([result], [values], "test")


def last_operation(model: ov.Model) -> str:
    name: str = model.get_results()[0].input(0).get_source_output().get_node().get_type_name()
    return name


def run(model: ov.Model) -> np.ndarray:
    values = np.random.default_rng(1).uniform(0, 40, (1, 3, 4, 5)).astype(np.float32)
    return ov.compile_model(model, "CPU")([values])[0]


def test_it_moves_bytes_and_changes_nothing() -> None:
    model = build()
    expected = run(model)
    _transpose_last(model)
    assert last_operation(model) == "Transpose"
    assert model.outputs[0].get_names() == {"cartoon"}
    assert np.array_equal(run(model), expected)


@pytest.mark.parametrize("reason", ["per_channel", "second_reader"])
def test_it_stays_where_moving_it_would_change_the_result(reason: str) -> None:
    model = build(**{reason: True})
    expected = run(model)
    _transpose_last(model)
    assert last_operation(model) == "Convert"
    assert np.array_equal(run(model), expected)

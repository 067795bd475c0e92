"""Operations that only move values are put where they move bytes."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13
from support.tiny_engines import identity_engine

from toonvid.backends import open_backend
from toonvid.backends import openvino as openvino_backend
from toonvid.backends.openvino_graph import move_bytes


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
    move_bytes(model)
    assert last_operation(model) == "Transpose"
    assert model.outputs[0].get_names() == {"cartoon"}
    assert np.array_equal(run(model), expected)


@pytest.mark.parametrize("reason", ["per_channel", "second_reader"])
def test_it_stays_where_moving_it_would_change_the_result(reason: str) -> None:
    model = build(**{reason: True})
    expected = run(model)
    move_bytes(model)
    assert last_operation(model) == "Convert"
    assert np.array_equal(run(model), expected)


def test_frames_are_moved_before_they_are_converted() -> None:
    """(1, 4, 6, 3) bytes to blocks of 2 x 2 pixels, as the generator `cel` begins."""
    frame = opset13.parameter([1, 4, 6, 3], np.uint8, name="frame")
    blocks = opset13.reshape(
        opset13.convert(frame, np.float32), np.array([1, 2, 2, 3, 2, 3]), special_zero=False
    )
    blocks = opset13.transpose(blocks, np.array([0, 5, 2, 4, 1, 3]))
    scaled = opset13.divide(blocks, opset13.constant(np.float32(127.5)))
    model = ov.Model([opset13.result(scaled)], [frame], "test")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 4, 6, 3), np.uint8)
    expected = ov.compile_model(model, "CPU")([pixels])[0]
    move_bytes(model)
    assert np.array_equal(ov.compile_model(model, "CPU")([pixels])[0], expected)
    order = [
        node.get_type_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in ("Convert", "Reshape", "Transpose")
    ]
    assert order == ["Reshape", "Transpose", "Convert"]


def test_rows_that_are_split_and_joined_are_moved_as_bytes() -> None:
    """(1, 4, 6, 3) bytes to planes, row by row, and back, as engines of `cel` begin and end."""
    frame = opset13.parameter([1, 4, 6, 3], np.uint8, name="frame")
    values = opset13.reshape(opset13.convert(frame, np.float32), np.array([1, 2, 2, 3, 6]), False)
    rows = opset13.split(values, np.int64(2), 2)
    planes = [
        opset13.transpose(opset13.squeeze(rows.output(row), np.array([2])), np.array([0, 3, 1, 2]))
        for row in (0, 1)
    ]
    scaled = opset13.multiply(opset13.concat(planes, 1), np.float32(0.5))
    halves = opset13.split(scaled, np.int64(1), 2)
    joined = opset13.concat(
        [opset13.reshape(halves.output(row), np.array([1, 6, 1, 6]), False) for row in (0, 1)], 2
    )
    made = opset13.convert(opset13.round(joined, "half_to_even"), np.uint8)
    model = ov.Model([opset13.result(made)], [frame], "test")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 4, 6, 3), np.uint8)
    expected = ov.compile_model(model, "CPU")([pixels])[0]
    move_bytes(model)
    assert np.array_equal(ov.compile_model(model, "CPU")([pixels])[0], expected)
    kinds = {
        node.get_type_name(): node.get_output_element_type(0) for node in model.get_ordered_ops()
    }
    assert last_operation(model) == "Concat"
    assert {kinds[each] for each in ("Split", "Transpose", "Concat", "Reshape")} == {ov.Type.u8}


def test_a_value_that_is_read_before_it_is_moved_is_converted_there() -> None:
    frame = opset13.parameter([1, 2, 3, 3], np.uint8, name="frame")
    converted = opset13.convert(frame, np.float32)
    moved = opset13.reshape(
        opset13.transpose(converted, np.array([0, 3, 1, 2])), [1, 2, 3, 3], False
    )
    model = ov.Model([opset13.result(opset13.add(moved, converted))], [frame], "test")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 2, 3, 3), np.uint8)
    expected = ov.compile_model(model, "CPU")([pixels])[0]
    move_bytes(model)
    assert np.array_equal(ov.compile_model(model, "CPU")([pixels])[0], expected)


def test_large_frames_are_run_one_by_one(tmp_path, monkeypatch) -> None:
    engine = identity_engine(tmp_path)
    batches = [np.full((1, 8, 8, 3), value, np.uint8) for value in range(5)]
    monkeypatch.setattr(openvino_backend, "_LARGEST_IN_FLIGHT_BYTES", 100)
    with open_backend(engine, "openvino", precision="f32") as backend:
        found = list(backend.stream(batches))
        assert not backend._compiled["THROUGHPUT"]  # where several frames are in flight
    assert [int(cartoons[0, 0, 0, 0]) for cartoons in found] == list(range(5))

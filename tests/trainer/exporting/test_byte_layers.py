"""The color layers of an int8 engine of `cel` are bytes, and other engines are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from toonvid.bench.demo_scene import draw_scene
from toonvid.importing.int8 import quantize
from trainer.exporting.byte_layers import store_as_bytes
from trainer.exporting.export import to_onnx
from trainer.networks.cel import CelGenerator, enlarging_filters
from trainer.networks.lite import LiteGenerator

CONTROLS = {"ink": 1.0, "tones": 6.0, "saturation": 1.4}


def quantized(folder: Path, generator: torch.nn.Module, controls: dict[str, float]) -> bytes:
    path = folder / "engine.onnx"
    path.write_bytes(to_onnx(generator))
    return quantize(path, [draw_scene(64, 48, 1.0)], controls)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """An int8 file of a small `cel`, before its layers are stored as bytes."""
    torch.manual_seed(0)
    return quantized(tmp_path, CelGenerator(width=8, blocks=1), CONTROLS)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def test_layers_are_quantized_in_levels(content: bytes) -> None:
    model = onnx.load_from_string(store_as_bytes(content))
    onnx.checker.check_model(model, full_check=True)
    used = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= used
    values = constants(model)
    readers = {name: node for node in model.graph.node for name in node.input}
    for module in ("small/Concat", "enlarge/Conv", "color/Clip"):
        node = next(node for node in model.graph.node if node.name == f"/generator/{module}")
        quantization = readers[node.output[0]]
        assert quantization.op_type == "QuantizeLinear"
        scale, zero = (values[name] for name in quantization.input[1:])
        assert scale == np.float32(1 / 255)
        assert zero.dtype == np.uint8 and zero == 0
        assert readers[quantization.output[0]].op_type == "DequantizeLinear"


def test_fixed_filters_are_exact_in_8_bits(content: bytes) -> None:
    model = onnx.load_from_string(store_as_bytes(content))
    values = constants(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    enlarge = next(node for node in model.graph.node if node.name == "/generator/enlarge/Conv")
    steps, step, zero = (values[name] for name in makers[enlarge.input[1]].input)
    assert steps.dtype == np.int8 and zero == 0
    wanted = np.sort(enlarging_filters(7).numpy().reshape(28, -1), axis=None)
    assert np.array_equal(np.sort((steps * step).reshape(28, -1), axis=None), wanted)


def test_rows_of_a_pixel_shuffle_share_a_scale_that_covers_both(content: bytes) -> None:
    before, after = (
        constants(onnx.load_from_string(each)) for each in (content, store_as_bytes(content))
    )
    for module in ("up", "up_again"):
        names = [f"/generator/{module}/rows.{row}/Conv_output_0" for row in (0, 1)]
        (scale, zero), other = (
            (after[f"{name}_scale"], float(after[f"{name}_zero_point"])) for name in names
        )
        assert (scale, zero) == other
        for name in names:
            old_scale, old_zero = before[f"{name}_scale"], float(before[f"{name}_zero_point"])
            assert -zero * scale <= -old_zero * old_scale + scale
            assert (255 - zero) * scale >= (255 - old_zero) * old_scale - scale


def test_a_generator_without_layers_is_left_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = quantized(tmp_path, LiteGenerator(width=8, blocks=1), {})
    assert store_as_bytes(content) == content


def test_rows_of_a_pixel_shuffle_are_joined_as_bytes(content: bytes) -> None:
    model = onnx.load_from_string(store_as_bytes(content))
    onnx.checker.check_model(model)
    for module in ("up", "up_again"):
        name, kinds = f"/generator/{module}/rows.0/Conv_output_0", []
        while not kinds or kinds[-1] != "DequantizeLinear":
            node = next(node for node in model.graph.node if name in node.input)
            kinds.append(node.op_type)
            name = node.output[0]
        assert kinds[0] == "QuantizeLinear"
        assert "Concat" in kinds

"""The float16 file: convolutions in half precision, statistics of the image in float32."""

from __future__ import annotations

import onnx
import pytest
from onnx import shape_inference
from support.cartoonizers import BUILDERS

from toonvid.importing.facts import find_facts
from toonvid.importing.float16 import STATISTICS, to_float16
from toonvid.importing.network import Reading
from toonvid.importing.prepare_graph import prepare_graph
from toonvid.importing.sizes import find_sizes
from toonvid.importing.wrap import wrap

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def converted(family: str) -> onnx.ModelProto:
    prepared = prepare_graph(BUILDERS[family](17))
    model, layout, sizes = find_sizes(prepared, find_facts(prepared))
    reading = Reading("rgb", "-1..1", "-1..1")
    return to_float16(wrap(model, layout, layout, reading, sizes.fixed))


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Infer the type of each tensor; types that do not fit together are an error."""
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    infos = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    types = {info.name: info.type.tensor_type.elem_type for info in infos}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("family", BUILDERS)
def test_convolutions_are_in_half_precision_and_statistics_are_not(family):
    model = converted(family)
    onnx.checker.check_model(model)
    types = types_of(model)
    kinds = {"Conv": HALF, "ConvTranspose": HALF, **dict.fromkeys(STATISTICS, FLOAT)}
    found = {node.op_type for node in model.graph.node} & set(kinds)
    assert found >= {"Conv"}
    for node in model.graph.node:
        if node.op_type in kinds:
            tensors = [node.input[0], node.output[0]]
            assert [types[name] for name in tensors] == [kinds[node.op_type]] * 2, node.name


@pytest.mark.parametrize("family", ["animeganv3", "cartoongan-tf"])
def test_no_statistic_passes_through_half_precision(family):
    """From the mean to the division by the deviation, nothing is cast down and up again."""
    model = converted(family)
    types = types_of(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("ReduceMean", "Sqrt", "Div") and node.name.startswith("network/"):
            for name in node.input:
                assert types[name] == FLOAT
                maker = makers.get(name)
                if maker is not None and maker.op_type == "Cast":
                    assert makers[maker.input[0]].op_type in ("Conv", "ConvTranspose", "LeakyRelu")

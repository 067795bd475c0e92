"""Untrusted .onnx files: external data and foreign operators are refused."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny_engines import identity_engine, negative_engine

from toonvid.errors import EngineError
from toonvid.onnx_file import refuse_foreign_parts


def save(path, nodes, initializers=(), opsets=(("", 17),), functions=()):
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1])
    cartoon = helper.make_tensor_value_info("cartoon", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "g", [frame], [cartoon], initializer=list(initializers))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
        functions=list(functions),
    )
    path.write_bytes(model.SerializeToString())
    return path


def external(name="w") -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def test_engines_with_standard_operators_pass(tmp_path):
    for engine in (identity_engine(tmp_path), negative_engine(tmp_path)):
        refuse_foreign_parts(engine.folder / engine.card.file_name("f32"))


def test_weights_in_another_file_are_refused(tmp_path):
    add = helper.make_node("Add", ["frame", "w"], ["cartoon"])
    path = save(tmp_path / "e.onnx", [add], [external()])
    with pytest.raises(EngineError, match="keeps weights in another file"):
        refuse_foreign_parts(path)


def test_weights_in_another_file_are_found_in_a_constant_of_a_branch(tmp_path):
    constant = helper.make_node("Constant", [], ["w"], value=external())
    out = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])
    branch = helper.make_graph([constant], "b", [], [out])
    node = helper.make_node("If", ["c"], ["cartoon"], then_branch=branch, else_branch=branch)
    with pytest.raises(EngineError, match="keeps weights in another file"):
        refuse_foreign_parts(save(tmp_path / "e.onnx", [node]))


def test_external_data_without_a_location_is_refused(tmp_path):
    tensor = external()
    tensor.ClearField("external_data")
    add = helper.make_node("Add", ["frame", "w"], ["cartoon"])
    with pytest.raises(EngineError, match="keeps weights in another file"):
        refuse_foreign_parts(save(tmp_path / "e.onnx", [add], [tensor]))


@pytest.mark.parametrize("where", ["opset", "node", "branch", "function"])
def test_foreign_operators_are_refused(where, tmp_path):
    domain = "com.evil"
    node = helper.make_node("Identity", ["frame"], ["cartoon"])
    opsets, functions = [("", 17)], []
    if where == "opset":
        opsets.append((domain, 1))
    elif where == "node":
        node.domain = domain
    elif where == "branch":
        inner = helper.make_node("Run", [], ["w"], domain=domain)
        out = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])
        branch = helper.make_graph([inner], "b", [], [out])
        node = helper.make_node("If", ["c"], ["cartoon"], then_branch=branch, else_branch=branch)
    else:
        inner = helper.make_node("Run", ["a"], ["b"], domain=domain)
        imports = [helper.make_opsetid("", 17)]
        functions.append(helper.make_function("", "F", ["a"], ["b"], [inner], imports))
    path = save(tmp_path / "e.onnx", [node], opsets=opsets, functions=functions)
    with pytest.raises(EngineError, match=r"needs the operator domain 'com\.evil'"):
        refuse_foreign_parts(path)


@pytest.mark.parametrize(
    "content",
    [b"\xff" * 40, b"not an onnx file at all", b"\x3a\xff\xff\xff\x7f", b"\x08" + b"\x80" * 12],
)
def test_content_that_is_not_onnx_is_refused(content, tmp_path):
    path = tmp_path / "e.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="is not an ONNX file, or is damaged"):
        refuse_foreign_parts(path)


def test_damaged_files_pass_or_are_an_engine_error(tmp_path):
    engine = negative_engine(tmp_path)
    path = engine.folder / "negative.onnx"
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data)) if chance.random() < 0.3 else None])
        try:
            refuse_foreign_parts(path)
        except EngineError as error:
            assert "\n" not in str(error)


def test_endless_nesting_is_refused(tmp_path):
    graph = b""
    for _ in range(3000):
        attribute = b"\x32" + varint(len(graph)) + graph
        node = b"\x2a" + varint(len(attribute)) + attribute
        graph = b"\x0a" + varint(len(node)) + node
    path = tmp_path / "e.onnx"
    path.write_bytes(b"\x3a" + varint(len(graph)) + graph)
    with pytest.raises(EngineError, match="is not an ONNX file, or is damaged"):
        refuse_foreign_parts(path)


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])

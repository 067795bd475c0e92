"""Hostile files: one clear line, exit code 1, and nothing in the user's folder."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.run_toonvid import run_here
from support.small_networks import constant, inverting, network, save

from toonvid.errors import EngineError
from toonvid.importing import trial_run
from toonvid.importing.prepare_graph import refuse_huge_results
from toonvid.importing.source_file import read_source
from toonvid.importing.trial_run import try_in_subprocess

Capsys = pytest.CaptureFixture[str]
IMAGE = (1, 3, 256, 256)
CHOICES = ("--order", "rgb", "--range", "-1..1")


def with_loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"])],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("goes", TensorProto.BOOL, [])],
    )
    nodes = [
        helper.make_node("Loop", ["times", "true"], [], body=body),
        helper.make_node("Neg", ["x"], ["y"]),
    ]
    return network(nodes, [constant("times", 2**60, np.int64), constant("true", True, bool)])


def with_strings() -> onnx.ModelProto:
    words = helper.make_tensor("words", TensorProto.STRING, [1], [b"hello"])
    return network([helper.make_node("Neg", ["x"], ["y"])], [words])


def with_cycle() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    return network(nodes)


def with_dims(dims: list[int]) -> onnx.ModelProto:
    huge = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=dims)
    return network([helper.make_node("Add", ["x", "huge"], ["y"])], [huge])


def with_data_in(location: str) -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.ones((3, 1, 1), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return network([helper.make_node("Sub", ["w", "x"], ["y"])], [tensor])


def with_foreign_operator() -> onnx.ModelProto:
    model = network([helper.make_node("Run", ["x"], ["y"], domain="com.evil\x1b[2J")])
    model.opset_import.append(helper.make_opsetid("com.evil\x1b[2J", 1))
    return model


def twice_made() -> onnx.ModelProto:
    return network([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])])


HOSTILE = {
    "loop": (with_loop(), "it has the operator 'Loop': loops and branches are not imported"),
    "strings": (with_strings(), "the tensor 'words' holds strings"),
    "cycle": (with_cycle(), "its operators form a cycle"),
    "twice": (twice_made(), "two operators give the tensor 'y'"),
    "huge": (with_dims([2**20, 2**20]), "claims 1,099,511,627,776 values"),
    "overflow": (with_dims([2**31, 2**31, 4]), "the tensor 'huge' has an impossible shape"),
    "wraps": (with_dims([2**31 - 1] * 9), "the tensor 'huge' claims"),
    "negative": (with_dims([-3, 1, 1]), "the tensor 'huge' has an impossible shape"),
    "foreign": (with_foreign_operator(), r"it needs the operator domain 'com.evil\x1b[2J'"),
    "parent": (with_data_in("../secret"), "it keeps weights in '../secret', outside its folder"),
    "absolute": (with_data_in("/etc/passwd"), "it keeps weights in '/etc/passwd', outside"),
    "missing": (with_data_in("none.bin"), "its weights are in 'none.bin', which is not a file"),
    "short": (with_dims([3, 1, 1]), "is not a valid ONNX file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name, tmp_path):
    model, message = HOSTILE[name]
    path = save(model, tmp_path / "evil.onnx")
    with pytest.raises(EngineError) as refused:
        read_source(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"\x3a\xff\xff\xff\x7f", b"\x08\x80" * 20])
def test_what_is_not_onnx_is_named_as_such(content, tmp_path):
    path = tmp_path / "evil.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="is not an ONNX file"):
        read_source(path)


def test_a_link_beside_the_file_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    path = save(with_data_in("weights.bin"), folder / "linked.onnx")
    with pytest.raises(EngineError, match="is not a file beside it"):
        read_source(path)


def test_weights_in_a_file_beside_it_are_read(tmp_path, capsys: Capsys, styles_folder):
    path = save(with_data_in("weights.bin"), tmp_path / "split.onnx")
    (tmp_path / "weights.bin").write_bytes(np.ones(3, np.float32).tobytes())
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 0, ended.err
    assert (styles_folder / "split.onnx").is_file()


def test_nodes_in_another_order_are_sorted(tmp_path):
    nodes = [helper.make_node("Neg", ["a"], ["y"]), helper.make_node("Abs", ["x"], ["a"])]
    model = read_source(save(network(nodes), tmp_path / "unsorted.onnx"))
    assert [node.op_type for node in model.graph.node] == ["Abs", "Neg"]


# A few bytes that ask for terabytes.


def reduced(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    nodes = [
        *nodes,
        helper.make_node("ReduceMax", ["big"], ["one"], keepdims=0),
        helper.make_node("Add", ["x", "one"], ["y"]),
    ]
    return network(nodes, constants)


def doubling() -> onnx.ModelProto:
    nodes = [helper.make_node("Concat", [f"t{at}"] * 2, [f"t{at + 1}"], axis=0) for at in range(40)]
    nodes.append(helper.make_node("Identity", ["t40"], ["big"]))
    return reduced(nodes, [constant("t0", np.ones(1000))])


BOMBS = {
    "expand": reduced(
        [helper.make_node("Expand", ["v", "shape"], ["big"])],
        [constant("v", 1), constant("shape", [10**6, 10**6], np.int64)],
    ),
    "shape": reduced(
        [helper.make_node("ConstantOfShape", ["shape"], ["big"])],
        [constant("shape", [2**40, 2**40], np.int64)],
    ),
    "computed": reduced(
        [
            helper.make_node("Mul", ["side", "side"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        ],
        [constant("side", [10**4, 10**4], np.int64)],
    ),
    "doubling": doubling(),
    "resize": reduced(
        [helper.make_node("Resize", ["x", "", "scales"], ["big"])],
        [constant("scales", [1, 1, 1e5, 1e5])],
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_tensors_that_would_fill_the_memory_are_found_without_computing(name):
    with pytest.raises(EngineError, match=r"would (have|make) [0-9.,e+]+ values"):
        refuse_huge_results(BOMBS[name], IMAGE)


def shape_by_exponent(exponent: float) -> onnx.ModelProto:
    """Nothing but computing it tells how large the tensor is."""
    nodes = [
        helper.make_node("Exp", ["exponent"], ["side"]),
        helper.make_node("Cast", ["side"], ["shape"], to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
    ]
    return reduced(nodes, [constant("exponent", [exponent])])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_what_is_only_found_by_computing_ends_another_process(
    tmp_path, monkeypatch, capsys: Capsys
):
    monkeypatch.setattr(trial_run, "try_in_subprocess", try_in_subprocess)
    path = save(shape_by_exponent(30), tmp_path / "bomb.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 1
    assert str(path) in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_good_file_passes_in_the_other_process(tmp_path, monkeypatch, capsys: Capsys):
    monkeypatch.setattr(trial_run, "try_in_subprocess", try_in_subprocess)
    path = save(inverting(), tmp_path / "good.onnx")
    assert run_here(capsys, "styles", "add", path, *CHOICES).code == 0


def test_a_file_that_takes_too_long_is_refused(tmp_path):
    path = save(inverting(), tmp_path / "slow.onnx")
    with pytest.raises(EngineError, match=r"takes more than 0\.01 seconds"):
        try_in_subprocess(path, timeout_seconds=0.01)


def test_a_crash_of_a_library_is_one_line(tmp_path, monkeypatch):
    path = save(inverting(), tmp_path / "crash.onnx")
    monkeypatch.setenv("PYTHONMALLOC", "no such allocator")  # ends any new Python at once
    with pytest.raises(EngineError, match="reading it ends the process"):
        try_in_subprocess(path)


def test_damaged_files_are_an_engine_error_or_read(tmp_path):
    whole = inverting().SerializeToString()
    chance = np.random.default_rng(3)
    path = tmp_path / "damaged.onnx"
    for _ in range(300):
        data = bytearray(whole)
        for at in chance.integers(0, len(data), 3):
            data[at] = chance.integers(0, 256)
        path.write_bytes(data)
        try:
            read_source(path)
        except EngineError as error:
            assert "\n" not in str(error)

"""Which plans are built, and that TensorRT-RTX builds them: really, but without a GPU.

That plans run is tested in `tests/toonvid/backends/test_gpu.py`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support.paper_engine import paper_engine
from support.scripted_feed import wait_until
from support.tiny_engines import (
    OPSET,
    controlled_engine,
    negative_engine,
    write_engine,
    write_model,
)

from toonvid.backends.tensorrt import build_plan as build_plan_module
from toonvid.backends.tensorrt import plan as plan_module
from toonvid.backends.tensorrt.build_plan import (
    AMPERE_AND_NEWER,
    build_plan,
    make_profile,
    parse_engine,
)
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan import TURING, build_plans, plan_key, plan_target
from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanKey, PlanPrecision
from toonvid.engine import Engine, read_engine, shipped_engines
from toonvid.errors import BackendError, DeviceMissingError, EngineError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None
    or importlib.util.find_spec("tensorrt") is not None,
    reason="needs TensorRT-RTX, and no other TensorRT",
)

SHIPPED = sorted(card.stem for card in shipped_engines().glob("*.json"))
CAPABILITIES = (TURING, "8.6", "8.9", "12.0", AMPERE_AND_NEWER)
NO_GPU = NvidiaInfo(problem="there is no GPU")
GPU = Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plan_module, "find_nvidia", lambda: NO_GPU)
    return tmp_path / "cache" / "toonvid" / "plans"


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Engine:
    return paper_engine(tmp_path_factory.mktemp("paper"))


@pytest.fixture
def ink() -> Engine:
    return read_engine(shipped_engines() / "ink.json")


@pytest.fixture(params=[*SHIPPED, "paper"])
def engine(request) -> Engine:
    if request.param == "paper":
        return request.getfixturevalue("paper")
    return read_engine(shipped_engines() / f"{request.param}.json")


def key_of(engine: Engine, precision: PlanPrecision = "f16", target: str = "8.6") -> PlanKey:
    return plan_key(load_tensorrt(), engine, precision, target, (1280, 720))


def build(engine: Engine, precision: PlanPrecision = "f16", target: str = "8.6") -> bytes:
    content = engine.path(precision).read_bytes()
    return build_plan(load_tensorrt(), engine, content, key_of(engine, precision, target))


@pytest.mark.parametrize("target", CAPABILITIES)
def test_a_plan_is_built_for_every_family_of_gpus(engine, target):
    plan = build(engine, target=target)
    assert len(plan) > engine.path("f16").stat().st_size / 2  # the weights are in it


@pytest.mark.parametrize(("precision", "kind"), [("f16", "HALF"), ("f32", "FLOAT")])
def test_the_parsed_network_is_what_the_card_promises(engine, precision, kind):
    path = engine.path(precision)
    network = parse_engine(load_tensorrt(), engine, path.read_bytes()).network
    controls = [network.get_input(at) for at in range(1, network.num_inputs)]
    assert [control.name for control in controls] == list(engine.card.controls)
    assert {(control.dtype.name, tuple(control.shape)) for control in controls} <= {("FLOAT", (1,))}
    assert network.num_outputs == 1
    frame, cartoon = network.get_input(0), network.get_output(0)
    assert (frame.name, frame.dtype.name, tuple(frame.shape)) == ("frame", "UINT8", (-1, -1, -1, 3))
    assert (cartoon.name, cartoon.dtype.name, len(cartoon.shape)) == ("cartoon", "UINT8", 4)
    layers = [network.get_layer(at) for at in range(network.num_layers)]
    types = [layer for layer in layers if layer.type.name in ("CONVOLUTION", "DECONVOLUTION")]
    nodes = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert len(types) == nodes["Conv"] + nodes["ConvTranspose"] > 5
    for layer in types:
        assert (layer.get_input(0).dtype.name, layer.get_output(0).dtype.name) == (kind, kind)


def test_the_profile_takes_frames_from_small_to_4k(engine):
    library, key = load_tensorrt(), key_of(engine)
    parsed = parse_engine(library, engine, engine.path("f16").read_bytes())
    profile = make_profile(parsed.builder, engine, key)
    smallest, best, largest = (tuple(shape) for shape in profile.get_shape("frame"))
    step = engine.card.multiple_of
    assert (smallest, best, largest) == ((1, step, step, 3), (1, 720, 1280, 3), (1, 4096, 4096, 3))


def test_int8_files_do_not_parse(ink):
    with pytest.raises(BackendError, match="TensorRT cannot read ink: DequantizeLinear") as refused:
        parse_engine(load_tensorrt(), ink, ink.path("int8").read_bytes())
    assert "\n" not in str(refused.value)


# Plans on disk.


def test_without_a_gpu_plans_for_all_gpus_are_built_and_cached(ink, cache):
    ampere, turing = build_plans(ink)
    assert (ampere.key.target, turing.key.target) == (AMPERE_AND_NEWER, TURING)
    assert {ampere.path, turing.path} == set(cache.iterdir())
    assert ampere.content != turing.content
    assert ampere.build_seconds > 0 < turing.build_seconds
    again = build_plans(ink)
    assert [(plan.content, plan.build_seconds) for plan in again] == [
        (ampere.content, 0),
        (turing.content, 0),
    ]


def test_f16_is_the_default_if_the_engine_has_it(ink, tmp_path):
    assert {plan.key.precision for plan in build_plans(ink)} == {"f16"}
    negative = negative_engine(tmp_path)
    assert {plan.key.precision for plan in build_plans(negative)} == {"f32"}


def test_a_plan_for_another_size_does_not_replace_one_for_the_size_asked_for(tmp_path):
    engine = negative_engine(tmp_path, multiple_of=16)
    build_plans(engine)
    [plan, _] = build_plans(engine, (1920, 1080))
    assert plan.key.size == (1920, 1088)
    assert plan.build_seconds > 0
    with pytest.raises(BackendError, match="up to 4096 x 4096, not 8000 x 16"):
        build_plans(engine, (8000, 10))


def test_with_a_gpu_only_its_plan_is_built(tmp_path, monkeypatch):
    for capability, target in (((8, 6), AMPERE_AND_NEWER), ((12, 0), AMPERE_AND_NEWER)):
        here = NvidiaInfo((replace(GPU, capability=capability),), 13000)
        monkeypatch.setattr(plan_module, "find_nvidia", lambda here=here: here)
        [plan] = build_plans(negative_engine(tmp_path))
        assert plan.key.target == target
    turing = replace(GPU, capability=(7, 5))
    assert plan_target(load_tensorrt(), turing, NO_GPU) == TURING


def test_a_plan_that_is_not_portable_is_for_one_gpu_and_driver(tmp_path, monkeypatch):
    library = replace(load_tensorrt(), package="tensorrt")
    here = NvidiaInfo((GPU,), 13000, driver="580.95.05")
    assert plan_target(library, GPU, here) == f"{GPU.name}, driver 580.95.05 for CUDA 13.0"
    monkeypatch.setattr(plan_module, "load_tensorrt", lambda: library)
    with pytest.raises(DeviceMissingError, match="builds on a GPU only, and there is no GPU"):
        build_plans(negative_engine(tmp_path))


def test_a_changed_engine_gets_another_plan(tmp_path):
    engine = negative_engine(tmp_path)
    [before, *_] = build_plans(engine)
    changed = onnx.load(engine.path("f32"))
    changed.graph.initializer[0].CopyFrom(
        helper.make_tensor("white", TensorProto.FLOAT, [1], [254.0])
    )
    [after, *_] = build_plans(write_model(tmp_path, "negative", changed))
    assert after.build_seconds > 0
    assert after.path != before.path


def test_no_plan_is_loaded_or_built_for_a_changed_file(tmp_path):
    engine = negative_engine(tmp_path)
    build_plans(engine)
    (tmp_path / "negative.onnx").write_bytes(b"changed")
    with pytest.raises(EngineError, match="is not the file its card describes"):
        build_plans(engine)


def test_a_cache_that_cannot_be_written_does_not_stop_the_build(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    [plan, _] = build_plans(negative_engine(tmp_path))
    assert plan.path is None
    assert plan.content
    assert "cannot keep" in caplog.text


# Engines and GPUs that are refused.


def two_casts(kind: int, names: tuple[str, str] = ("frame", "cartoon")) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [names[0]], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["wide"], [names[1]], to=kind),
    ]


def broken_model(kind: int, shape: list[object], names=("frame", "cartoon")) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    graph = helper.make_graph(two_casts(kind, names), "g", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


UINT8, ANY_SIZE = TensorProto.UINT8, ["N", "H", "W", 3]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (broken_model(UINT8, ANY_SIZE, ("photo", "cartoon")), "no single input 'frame'"),
        (broken_model(UINT8, ANY_SIZE, ("frame", "out")), "no single output 'cartoon'"),
        (broken_model(TensorProto.FLOAT, ANY_SIZE), "input is FLOAT .*not uint8"),
        (broken_model(UINT8, ["N", 3, "H", "W"]), r"input is UINT8 \(-1, 3, -1, -1\), not"),
        (broken_model(UINT8, ["H", "W", 3]), "not uint8"),
        (broken_model(UINT8, [1, 6, 8, 3]), "of any size"),
    ],
)
def test_engines_that_break_the_contract_are_refused(model, message, tmp_path):
    with pytest.raises(BackendError, match=message) as refused:
        build(write_model(tmp_path, "broken", model), "f32")
    assert "\n" not in str(refused.value)


def test_a_graph_without_the_controls_of_its_card_is_refused(tmp_path):
    engine = controlled_engine(tmp_path)
    build(engine, "f32")
    content = negative_engine(tmp_path).path("f32").read_bytes()
    with pytest.raises(BackendError, match="has no input 'ink', which its card names"):
        build_plan(load_tensorrt(), engine, content, key_of(engine, "f32"))


def test_a_convolution_of_another_precision_is_refused(ink):
    content = ink.path("f32").read_bytes()
    with pytest.raises(BackendError, match="computes in FLOAT, not in HALF; export it again"):
        build_plan(load_tensorrt(), ink, content, key_of(ink, "f16"))


def test_an_unknown_operator_is_an_error_of_one_line(tmp_path):
    nodes = [helper.make_node("Cartoonize", ["frame"], ["cartoon"])]
    with pytest.raises(BackendError, match="TensorRT cannot read strange: Cartoonize") as refused:
        build(write_engine(tmp_path, "strange", nodes), "f32")
    assert "\n" not in str(refused.value)


def test_a_network_that_cannot_be_compiled_is_an_error_of_one_line(tmp_path):
    fixed = helper.make_tensor("fixed", TensorProto.INT64, [4], [1, 6, 8, 3])
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["wide", "fixed"], ["small"]),
        helper.make_node("Cast", ["small"], ["cartoon"], to=UINT8),
    ]
    with pytest.raises(BackendError, match=r"TensorRT (cannot|refuses)|engine fixed") as refused:
        build(write_engine(tmp_path, "fixed", nodes, (fixed,)), "f32")
    assert "\n" not in str(refused.value)


def test_a_gpu_that_is_too_old_is_refused_and_other_backends_are_named():
    old = replace(GPU, name="NVIDIA GeForce GTX 1060", capability=(6, 1))
    with pytest.raises(DeviceMissingError, match=r"GTX 1060 is too old .* 6\.1, 7\.5") as refused:
        plan_target(load_tensorrt(), old, NO_GPU)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("capability", [(8, 7), (9, 0), (10, 0), (11, 0)])
def test_tensorrt_rtx_refuses_gpus_that_it_does_not_support_before_it_builds(capability) -> None:
    gpu = Gpu(0, "NVIDIA H200", capability, 2**37)
    with pytest.raises(DeviceMissingError, match=r"support NVIDIA H200 .*: pip install tensorrt,"):
        plan_target(load_tensorrt(), gpu, NO_GPU)
    library = replace(load_tensorrt(), package="tensorrt")
    assert plan_target(library, gpu, NO_GPU).startswith("NVIDIA H200, driver")


def test_a_slow_build_is_logged_and_a_fast_one_is_not(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(build_plan_module, "SILENT_SECONDS", 1000)
        build(negative_engine(tmp_path), "f32")
        assert not caplog.messages
        monkeypatch.setattr(build_plan_module, "SILENT_SECONDS", 0.01)
        with build_plan_module._report_when_slow("TensorRT compiles x"):
            wait_until(lambda: bool(caplog.messages))
    assert caplog.messages[0].startswith("TensorRT compiles x, once for this engine and driver: ")


def test_the_cache_folder_holds_only_plans(cache, tmp_path):
    build_plans(negative_engine(tmp_path))
    assert PlanCache().folder == cache
    assert all(path.suffix == ".plan" for path in cache.iterdir())

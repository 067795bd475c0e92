"""One suite for all backends: the same cartoons from the same engine, and no foreign exceptions.

TensorRT takes part where there is a GPU for it. With TOONVID_REQUIRE_GPU=1 a missing GPU is a
failure.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.clips import moving_frames
from support.gpu import require_tensorrt_gpu
from support.tiny_engines import (
    OPSET,
    controlled_cartoon,
    controlled_engine,
    identity_engine,
    negative_engine,
    write_model,
)

from toonvid.backends import Backend, open_backend
from toonvid.choices import BACKENDS
from toonvid.engine import Control, Engine
from toonvid.errors import (
    BackendError,
    ControlError,
    DeviceMissingError,
    EngineError,
    UnsupportedEngineError,
)

NAMES = [name for name in BACKENDS if name != "auto"]
SHAPE = ["N", "H", "W", 3]


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.gpu if name == "tensorrt" else ()) for name in NAMES
    ]
)
def name(request) -> str:
    if request.param == "tensorrt":
        require_tensorrt_gpu()
    return request.param


def make_frames(count: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.stack(moving_frames(seed + count, (width, height))[seed:])


def test_identity_returns_every_level(name, tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3).copy()
    with open_backend(identity_engine(tmp_path), name, precision="f32") as backend:
        cartoons = backend.run(levels)
    assert cartoons.dtype == np.uint8
    assert np.array_equal(cartoons, levels)


def test_negative_inverts_every_level(name, tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3).copy()
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        assert np.array_equal(backend.run(levels), 255 - levels)


def test_any_size_and_batch_may_follow_any_other(name, tmp_path):
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        for count, width, height in (
            (1, 8, 6),
            (2, 8, 6),
            (1, 33, 17),
            (1, 1, 1),
            (3, 64, 4),
            (1, 8, 6),
        ):
            frames = make_frames(count, width, height)
            assert np.array_equal(backend.run(frames), 255 - frames)


def test_controls_have_their_defaults_unless_the_call_names_them(name, tmp_path):
    frames = make_frames(2, 8, 6)
    with open_backend(controlled_engine(tmp_path), name, precision="f32") as backend:
        for values in ({}, {"ink": 0.5}, {"tones": 12}, {"ink": 2, "tones": 2.5}, {}):
            found = backend.run(frames, values)
            assert np.array_equal(found, controlled_cartoon(frames, **values))
        assert np.array_equal(backend.run(frames), controlled_cartoon(frames))


def test_controls_hold_for_all_batches_of_a_stream(name, tmp_path):
    batches = [make_frames(1, 8 + at // 3, 6, at) for at in range(6)]  # two sizes
    with open_backend(controlled_engine(tmp_path), name, precision="f32") as backend:
        for values in ({"ink": 0.25, "tones": 7}, {"ink": 1.5}):
            found = list(backend.stream(iter(batches), values))
            for cartoons, frames in zip(found, batches, strict=True):
                assert np.array_equal(cartoons, controlled_cartoon(frames, **values))
        [alone] = backend.stream(iter(batches[:1]), {"ink": 0.75})
        assert np.array_equal(alone, controlled_cartoon(batches[0], ink=0.75))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"saturation": 1.0}, r"controlled has no control saturation \(it has ink, tones\)"),
        ({"ink": 2.01}, "ink 2.01 is outside the range of style controlled: 0 to 2"),
        ({"tones": 1}, "tones 1 is outside the range of style controlled: 2 to 12"),
        ({"ink": float("nan")}, "ink nan is outside"),
    ],
)
def test_controls_that_the_engine_does_not_have_are_refused(values, message, name, tmp_path):
    frames = make_frames(1, 8, 6)
    with open_backend(controlled_engine(tmp_path), name, precision="f32") as backend:
        with pytest.raises(ControlError, match=message) as refused:
            backend.run(frames, values)
        with pytest.raises(ControlError, match=message):
            list(backend.stream([frames] * 3, values))
        assert np.array_equal(backend.run(frames), controlled_cartoon(frames))
    assert refused.value.exit_code == 2


def test_an_engine_without_controls_refuses_them(name, tmp_path):
    with (
        open_backend(negative_engine(tmp_path), name, precision="f32") as backend,
        pytest.raises(ControlError, match=r"style negative has no control ink \(it has none\)"),
    ):
        backend.run(make_frames(1, 8, 6), {"ink": 1})


def test_the_result_belongs_to_the_caller(name, tmp_path):
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        frames = make_frames(1, 8, 6)
        first = backend.run(frames)
        kept = first.copy()
        backend.run(255 - frames)
        assert np.array_equal(first, kept)
        first[:] = 0
        assert np.array_equal(backend.run(frames), kept)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_a_stream_returns_what_run_returns_in_the_same_order(count, name, tmp_path):
    batches = [make_frames(1, 8, 6 + seed // 5, seed) for seed in range(count)]  # two sizes
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        found = list(backend.stream(iter(batches)))
    assert len(found) == count
    for cartoons, frames in zip(found, batches, strict=True):
        assert np.array_equal(cartoons, 255 - frames)


def test_a_stream_may_be_left_early_and_the_backend_used_again(name, tmp_path):
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        batches = [make_frames(1, 64, 48, seed) for seed in range(6)]
        stream = backend.stream(iter(batches))
        assert np.array_equal(next(stream), 255 - batches[0])
        del stream
        assert np.array_equal(backend.run(batches[5]), 255 - batches[5])
        assert len(list(backend.stream(iter(batches)))) == 6


def test_two_streams_at_once_do_not_mix_or_are_refused(name, tmp_path):
    batches = [make_frames(1, 16, 8, seed) for seed in range(6)]
    others = [255 - batch for batch in batches]
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        if name == "tensorrt":
            first = backend.stream(batches)
            next(first)
            with pytest.raises(BackendError, match="another stream"):
                next(backend.stream(others))
            assert len(list(first)) == 5
            return
        pairs = list(zip(backend.stream(batches), backend.stream(others), strict=True))
    for (one, other), batch in zip(pairs, batches, strict=True):
        assert np.array_equal(one, 255 - batch)
        assert np.array_equal(other, batch)


def test_an_error_while_reading_batches_is_raised(name, tmp_path):
    def broken():
        yield make_frames(1, 8, 6)
        yield make_frames(1, 8, 6)
        raise OSError("gone")

    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        for _ in range(9):  # more often than there are frames in flight
            with pytest.raises(OSError, match="gone"):
                list(backend.stream(broken()))
        assert len(list(backend.stream([make_frames(1, 8, 6)] * 3))) == 3
        assert np.array_equal(backend.run(make_frames(1, 8, 6)), 255 - make_frames(1, 8, 6))


def test_frames_are_not_changed_and_may_be_a_view(name, tmp_path):
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        whole = make_frames(1, 16, 12)
        before = whole.copy()
        view = whole[:, ::2, ::-1]
        assert np.array_equal(backend.run(view), 255 - view)
        assert np.array_equal(whole, before)


def test_a_stream_returns_batches_of_changing_sizes_in_order(name, tmp_path):
    sizes = ((1, 8, 6), (2, 8, 6), (1, 33, 17), (1, 8, 6))
    batches = [make_frames(*size) + np.uint8(at) for at, size in enumerate(sizes)]
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        cartoons = list(backend.stream(iter(batches)))
        assert len(cartoons) == len(batches)
        for batch, cartoon in zip(batches, cartoons, strict=True):
            assert np.array_equal(cartoon, 255 - batch)
        assert list(backend.stream(iter([]))) == []


def test_a_stream_that_is_left_early_leaves_a_backend_that_works(name, tmp_path):
    def broken():
        yield make_frames(1, 8, 6)
        raise KeyError("the source")

    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        cartoons = iter(backend.stream(iter([make_frames(1, 8, 6)] * 5)))
        next(cartoons)
        if hasattr(cartoons, "close"):
            cartoons.close()
        with pytest.raises(KeyError, match="the source"):
            list(backend.stream(broken()))
        frames = make_frames(1, 16, 12)
        assert np.array_equal(backend.run(frames), 255 - frames)


def test_channels_come_in_the_order_red_green_blue(name, tmp_path):
    first = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Gather", ["frame", "zero"], ["red"], axis=3),
        helper.make_node("Concat", ["red", "red", "red"], ["cartoon"], axis=3),
    ]
    engine = write_model(tmp_path, "red", model(nodes, initializers=[first]))
    with open_backend(engine, name, precision="f32") as backend:
        frames = make_frames(1, 8, 6)
        assert np.array_equal(backend.run(frames), frames[:, :, :, :1].repeat(3, 3))


def test_a_backend_states_name_device_and_precision(name, tmp_path):
    engine = identity_engine(tmp_path)
    with open_backend(engine, name) as backend:
        assert backend.name == name
        assert backend.engine is engine
        assert backend.device
        assert backend.precision in ("f32", "f16", "bf16", "int8")
        assert backend.reason  # because the caller left the choice to it
        assert backend.batch_size >= 1
    with open_backend(engine, name, precision="f32") as backend:
        assert (backend.precision, backend.reason) == ("f32", "")


def test_auto_is_one_of_the_others(tmp_path):
    with open_backend(identity_engine(tmp_path)) as backend:
        assert backend.name in NAMES


def test_an_unknown_backend_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match=r"backend is one of .*, not 'abacus'"):
        open_backend(identity_engine(tmp_path), "abacus")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_half_precision_is_within_a_few_levels_or_refused(precision, name, tmp_path):
    with open_backend(negative_engine(tmp_path), name, precision="f32") as backend:
        exact = backend.run(make_frames(1, 32, 16))
    try:
        other = open_backend(negative_engine(tmp_path), name, precision=precision)
    except (BackendError, EngineError) as error:
        assert precision in str(error)
        return
    with other as backend:
        assert backend.precision == precision
        found = backend.run(make_frames(1, 32, 16))
    assert np.abs(found.astype(int) - exact).max() <= 2


def test_int8_without_a_file_is_an_engine_error(name, tmp_path):
    with pytest.raises(EngineError, match="has no int8 engine"):
        open_backend(identity_engine(tmp_path), name, precision="int8")


def test_an_unknown_device_ends_with_exit_code_3(name, tmp_path):
    with pytest.raises(DeviceMissingError, match="no device 'TPU9'") as missing:
        open_backend(identity_engine(tmp_path), name, device="TPU9")
    assert missing.value.exit_code == 3
    assert "\n" not in str(missing.value)


# Engines that break the contract.


def model(nodes, kind=TensorProto.UINT8, shape=SHAPE, names=("frame", "cartoon"), initializers=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(names[0], kind, shape)],
        [helper.make_tensor_value_info(names[1], kind, shape)],
        initializer=list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def two_casts(source="frame", target="cartoon", kind=TensorProto.UINT8) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [source], ["wide"], to=TensorProto.INT32),
        helper.make_node("Cast", ["wide"], [target], to=kind),
    ]


BROKEN = {
    "input of another name": (model(two_casts("photo"), names=("photo", "cartoon")), "input"),
    "output of another name": (model(two_casts(target="out"), names=("frame", "out")), "output"),
    "floats": (model(two_casts(kind=TensorProto.FLOAT), kind=TensorProto.FLOAT), "not uint8"),
    "channels first": (model(two_casts(), shape=["N", 3, "H", "W"]), r"not uint8 \(N, H, W, 3\)"),
    "no shape at all": (model(two_casts(), shape=None), r"not uint8 \(N, H, W, 3\)"),
    "three dimensions": (model(two_casts(), shape=["H", "W", 3]), r"not uint8 \(N, H, W, 3\)"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_engines_that_break_the_contract_are_refused(broken, name, tmp_path):
    onnx_model, message = BROKEN[broken]
    engine = write_model(tmp_path, "broken", onnx_model)
    with pytest.raises(BackendError, match=message) as refused:
        open_backend(engine, name, precision="f32")
    assert "\n" not in str(refused.value)


def controlled_model(kind=TensorProto.FLOAT, shape=(1,), control="ink") -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [control], ["value"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "value"], ["inked"]),
        helper.make_node("Cast", ["inked"], ["cartoon"], to=TensorProto.UINT8),
    ]
    whole = model(nodes)
    whole.graph.input.append(helper.make_tensor_value_info(control, kind, shape))
    return whole


INK = {"ink": Control(default=1, minimum=0, maximum=2, step=0.1)}
WRONG_CONTROLS = {
    "a graph without the control": (model(two_casts()), INK, "no input 'ink', which its card"),
    "a control that the card lacks": (controlled_model(), {}, "no single input 'frame'"),
    "a control of another name": (controlled_model(control="gain"), INK, "no single input 'frame'"),
    "a control of integers": (
        controlled_model(TensorProto.INT32),
        INK,
        r"ink is .*, not float32 \(1,\)",
    ),
    "a control of three values": (controlled_model(shape=(3,)), INK, r"ink is .*, not float32"),
}


@pytest.mark.parametrize("wrong", WRONG_CONTROLS)
def test_engines_whose_controls_are_not_those_of_the_card_are_refused(wrong, name, tmp_path):
    onnx_model, controls, message = WRONG_CONTROLS[wrong]
    engine = write_model(tmp_path, "wrong", onnx_model, controls=controls)
    with pytest.raises(BackendError, match=message) as refused:
        open_backend(engine, name, precision="f32")
    assert "\n" not in str(refused.value)


def test_an_operator_that_does_not_exist_is_refused(name, tmp_path):
    nodes = [helper.make_node("Cartoonize", ["frame"], ["cartoon"])]
    engine = write_model(tmp_path, "broken", model(nodes))
    with pytest.raises(BackendError) as refused:
        open_backend(engine, name, precision="f32")
    assert "\n" not in str(refused.value)


def test_frames_of_a_size_outside_the_graph_are_a_backend_error(name, tmp_path):
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.INT32),
        helper.make_node("Reshape", ["wide", "fixed"], ["small"]),
        helper.make_node("Cast", ["small"], ["cartoon"], to=TensorProto.UINT8),
    ]
    fixed = helper.make_tensor("fixed", TensorProto.INT64, [4], [1, 6, 8, 3])
    engine = write_model(tmp_path, "fixed", model(nodes, initializers=[fixed]))
    with open_backend(engine, name, precision="f32") as backend:
        frames = make_frames(1, 8, 6)
        assert np.array_equal(backend.run(frames), frames)
        with pytest.raises(BackendError, match="1x5x5x3") as failed:
            backend.run(make_frames(1, 5, 5))
        assert "\n" not in str(failed.value)


def resizing_model(scales: tuple[float, ...]) -> onnx.ModelProto:
    """A graph that claims to keep the contract, and resizes (N, H, W, 3) by these factors."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["wide", "", "scales"], ["other"], mode="nearest"),
        helper.make_node("Cast", ["other"], ["cartoon"], to=TensorProto.UINT8),
    ]
    factors = helper.make_tensor("scales", TensorProto.FLOAT, [4], scales)
    return model(nodes, initializers=[factors])


@pytest.mark.parametrize(
    "scales", [(1, 0.5, 0.5, 1), (1, 2, 2, 1), (1, 1, 0.5, 1)], ids=["half", "double", "narrow"]
)
def test_a_cartoon_of_another_size_is_refused_when_the_engine_is_opened(scales, name, tmp_path):
    engine = write_model(tmp_path, "resizing", resizing_model(scales))
    with pytest.raises(
        UnsupportedEngineError, match=r"of 1x64x96x3 it makes 1x\d+x\d+x3"
    ) as refused:
        open_backend(engine, name, precision="f32")
    assert refused.value.exit_code == 3


def first_frame_only() -> onnx.ModelProto:
    """A graph that returns the first frame of a batch alone."""
    nodes = [
        helper.make_node("Slice", ["frame", "begin", "end", "axes"], ["first"]),
        helper.make_node("Cast", ["first"], ["wide"], to=TensorProto.INT32),
        helper.make_node("Cast", ["wide"], ["cartoon"], to=TensorProto.UINT8),
    ]
    values = {"begin": 0, "end": 1, "axes": 0}
    constants = [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in values.items()]
    return model(nodes, initializers=constants)


def test_fewer_cartoons_than_frames_are_refused(name, tmp_path):
    with open_backend(write_model(tmp_path, "first", first_frame_only()), name) as backend:
        assert backend.run(make_frames(1, 8, 6)).shape == (1, 6, 8, 3)
        for run in (backend.run, lambda frames: list(backend.stream([frames] * 3))):
            with pytest.raises(BackendError, match="of 2x6x8x3 it makes 1x6x8x3"):
                run(make_frames(2, 8, 6))


def test_a_changed_file_is_refused_by_every_backend(name, tmp_path):
    engine: Engine = identity_engine(tmp_path)
    (tmp_path / "identity.onnx").write_bytes(b"changed")
    with pytest.raises(EngineError, match="is not the file its card describes"):
        open_backend(engine, name)


def test_backends_follow_the_protocol(name, tmp_path):
    backend: Backend = open_backend(identity_engine(tmp_path), name)
    with backend as entered:
        assert entered is backend


def test_openvino_sends_no_telemetry() -> None:
    """OpenVINO's reports about its use are not sent: the module that sends them is not loaded."""
    code = (
        "import sys, toonvid.backends.openvino\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Which backend `auto` chooses, and which reasons it gives."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from onnx import helper
from support.tiny_engines import identity_engine, write_engine

from toonvid.backends import choice, open_backend
from toonvid.backends.choice import candidates
from toonvid.errors import BackendError, DeviceMissingError, EngineError, UnsupportedEngineError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia

LAPTOP = Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30)
HOPPER = Gpu(0, "NVIDIA H200", (9, 0), 140 * 2**30)
OLD = Gpu(0, "NVIDIA GeForce GTX 1060", (6, 1), 6 * 2**30)


@pytest.fixture
def installed(monkeypatch):
    """Returns a function that sets which packages are installed."""

    def install(*names: str) -> None:
        monkeypatch.setattr(choice, "find_spec", lambda name: name if name in names else None)

    return install


def nvidia(gpu: Gpu) -> NvidiaInfo:
    return NvidiaInfo((gpu,), 13000)


def test_without_a_gpu_openvino_is_chosen_without_a_reason(installed):
    installed("tensorrt_rtx", "onnxruntime")
    assert candidates(None, "auto", NvidiaInfo(problem="no driver")) == (["openvino"], [])


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx"])
def test_with_a_gpu_tensorrt_comes_first(package, installed):
    installed(package)
    assert candidates(None, "auto", nvidia(LAPTOP)) == (["tensorrt", "openvino"], [])
    assert candidates(None, "f16", nvidia(LAPTOP))[0] == ["tensorrt", "openvino"]


def test_a_gpu_without_tensorrt_is_given_as_a_reason(installed):
    installed()
    names, [reason] = candidates(None, "auto", nvidia(LAPTOP))
    assert names == ["openvino"]
    assert reason == f"{LAPTOP.name} is idle without TensorRT: pip install 'toonvid[tensorrt]'"


def test_a_data_center_gpu_needs_the_other_tensorrt(installed):
    installed()
    _, [reason] = candidates(None, "auto", nvidia(HOPPER))
    assert reason == "NVIDIA H200 is idle without TensorRT: pip install tensorrt"


def test_a_gpu_that_is_too_old_is_given_as_a_reason(installed):
    installed("tensorrt_rtx")
    names, [reason] = candidates(None, "auto", nvidia(OLD))
    assert (names, reason) == (["openvino"], f"{OLD.name} is too old for TensorRT")


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_a_precision_that_tensorrt_does_not_run_goes_to_openvino(precision, installed):
    installed("tensorrt_rtx")
    names, [reason] = candidates(None, precision, nvidia(LAPTOP))
    assert (names, reason) == (["openvino"], f"TensorRT does not run {precision} engines")


@pytest.mark.parametrize(
    ("device", "packages", "name"),
    [
        ("CPU", ("tensorrt_rtx",), "openvino"),
        ("GPU.1", ("tensorrt_rtx",), "openvino"),
        ("cuda", ("tensorrt_rtx", "onnxruntime"), "tensorrt"),
        ("cuda:1", ("onnxruntime",), "onnxruntime"),
        ("cuda", (), "tensorrt"),
        ("CoreML", ("onnxruntime",), "onnxruntime"),
        ("dml:1", ("onnxruntime",), "onnxruntime"),
    ],
)
def test_the_name_of_a_device_decides(device, packages, name, installed):
    installed(*packages)
    assert candidates(device, "auto", nvidia(LAPTOP)) == ([name], [])


def test_the_reason_of_each_backend_that_failed_is_kept(tmp_path, monkeypatch):
    """Without a GPU TensorRT cannot be opened; `auto` says so and takes the next backend."""
    if find_nvidia().gpus:
        pytest.skip("there is a GPU")
    monkeypatch.setattr(choice, "find_nvidia", lambda: nvidia(LAPTOP))
    monkeypatch.setattr(choice, "is_tensorrt_installed", lambda: True)
    engine = identity_engine(tmp_path)
    with open_backend(engine, precision="f32") as backend:
        assert backend.name == "openvino"
        assert "driver" in backend.reason or "not installed" in backend.reason
    with pytest.raises(DeviceMissingError, match=r"NVIDIA GPU: .* driver|not installed") as missing:
        open_backend(engine, "tensorrt")
    assert missing.value.exit_code == 3
    assert "\n" not in str(missing.value)


def test_a_file_that_cannot_be_trusted_stops_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "find_nvidia", lambda: nvidia(LAPTOP))
    monkeypatch.setattr(choice, "is_tensorrt_installed", lambda: False)
    engine = identity_engine(tmp_path)
    (tmp_path / "identity.onnx").write_bytes(b"changed")
    with pytest.raises(EngineError, match="is not the file its card describes"):
        open_backend(engine)


def test_a_backend_or_device_that_was_named_and_refuses_ends_with_exit_code_3(tmp_path):
    strange = write_engine(
        tmp_path, "strange", [helper.make_node("Cartoonize", ["frame"], ["cartoon"])]
    )
    with pytest.raises(UnsupportedEngineError) as asked:
        open_backend(strange, "openvino")
    assert asked.value.exit_code == 3
    with pytest.raises(UnsupportedEngineError) as of_device:
        open_backend(strange, device="CPU")
    with pytest.raises(BackendError) as chosen:
        open_backend(strange)
    assert chosen.value.exit_code == 1
    assert str(chosen.value) == str(of_device.value) == str(asked.value)


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_onnxruntime_names_its_devices_when_asked_for_another(tmp_path):
    with pytest.raises(DeviceMissingError, match=r"no device 'dml'; it has .*cpu"):
        open_backend(identity_engine(tmp_path), "onnxruntime", "dml")
    with pytest.raises(DeviceMissingError, match="no device 'cpu:x'"):
        open_backend(identity_engine(tmp_path), "onnxruntime", "cpu:x")
    with pytest.raises(BackendError, match="does not compute in bf16"):
        open_backend(identity_engine(tmp_path), "onnxruntime", precision="bf16")


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_onnxruntime_does_not_fall_back_to_the_cpu_by_itself(tmp_path, monkeypatch):
    """It would print that on standard output, where `--json` goes, and hide the cause."""
    import onnxruntime

    asked = {}

    def fail(*arguments, **options):
        asked.update(options)
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(BackendError, match=r"cannot open .* on cpu: CUDA failure 100"):
        open_backend(identity_engine(tmp_path), "onnxruntime")
    assert asked["enable_fallback"] == 0

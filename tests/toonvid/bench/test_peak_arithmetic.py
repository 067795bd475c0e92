"""The matrix product that stands for peak arithmetic."""

from __future__ import annotations

import pytest

from toonvid.backends import Backend
from toonvid.bench import peak_arithmetic


def test_the_matrix_product_runs_in_the_precision_of_the_backend(
    identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov

    monkeypatch.setattr(peak_arithmetic, "_SIDE", 64)
    peak = peak_arithmetic.measure_peak_multiply_adds(identity)
    assert peak is not None and peak > 0
    for quantized, inside in ((False, "f32"), (True, "i8")):
        model = peak_arithmetic._matrix_product(quantized)
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
        kinds = {
            str(i["layerType"].astype(str)): str(i["runtimePrecision"].astype(str)) for i in infos
        }
        assert kinds["FullyConnected"] in (inside, "u8" if quantized else inside)

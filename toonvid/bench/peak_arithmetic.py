"""Peak arithmetic: multiply-adds per second of a large matrix product in the backend's library.

In: an open backend. Out: a rate to stand beside that of an engine. It is not a goal: networks with
more channels come nearer to it, and are slower all the same.
"""

from __future__ import annotations

import time

import numpy as np

from toonvid.backends import Backend
from toonvid.engine import Precision

_SIDE = 1536  # rows of the matrices: enough work for all cores, and a product takes well under 1 s
_ROUNDS = 12


def measure_peak_multiply_adds(backend: Backend) -> float | None:
    """Measure a matrix product on a backend's device, in its precision.

    Returns:
        Multiply-adds per second in the best of several rounds; None for backends other than
        OpenVINO, whose libraries run only complete engines here.
    """
    if backend.name != "openvino":
        return None
    return _measure_openvino(backend.device, backend.precision)


def _measure_openvino(device: str, precision: Precision) -> float:
    import openvino as ov  # late, as in `toonvid.backends`

    hint = precision if precision in ("bf16", "f16") else "f32"
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    compiled = ov.Core().compile_model(_matrix_product(precision == "int8"), device, config)
    request = compiled.create_infer_request()
    random = np.random.default_rng(0)
    values = random.uniform(-1, 1, (_SIDE, _SIDE)).astype(np.float32)
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        request.infer([values], share_inputs=True)
        best = min(best, time.perf_counter() - began)
    return float(_SIDE**3 / best)


def _matrix_product(quantized: bool) -> object:
    """Build a model that multiplies its input by a constant; quantized, both are 8 bits wide."""
    import openvino as ov
    from openvino import opset13 as ops

    weights = np.random.default_rng(1).integers(-127, 128, (_SIDE, _SIDE)).astype(np.int8)
    values = ops.parameter([_SIDE, _SIDE], np.float32)
    scaled = ops.multiply(
        ops.convert(ops.constant(weights), np.float32), ops.constant(np.float32(1 / 127))
    )
    if not quantized:
        scaled = ops.constant(weights.astype(np.float32) / 127)
    left = values
    if quantized:
        # OpenVINO runs a product in int8 where it finds FakeQuantize before it, as in QDQ engines.
        low, high = ops.constant(np.float32(-1.28)), ops.constant(np.float32(1.27))
        left = ops.fake_quantize(values, low, high, low, high, 256)
    return ov.Model([ops.matmul(left, scaled, False, False)], [values], "product")

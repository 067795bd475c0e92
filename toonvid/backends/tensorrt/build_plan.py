"""Build a plan: TensorRT parses an engine's ONNX file and compiles it.

In: the content of an ONNX file and a `PlanKey`. Out: the bytes of the plan. Which plans are needed
is left to `plan`, where they are kept to `plan_cache`.

The parsed network is checked before it is compiled, because a finished plan cannot be inspected
without a GPU.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toonvid.backends.contract import Port, check_inputs, check_outputs, one_line
from toonvid.backends.tensorrt.library import TensorRTLibrary
from toonvid.backends.tensorrt.plan_cache import PlanKey
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError

if TYPE_CHECKING:
    from tensorrt_rtx import (
        Builder,
        ILayer,
        INetworkDefinition,
        IOptimizationProfile,
        ITensor,
        OnnxParser,
    )

logger = logging.getLogger(__name__)

AMPERE_AND_NEWER = "8.0+"
"""Target of a portable plan: TensorRT-RTX's own default, compute capability 8.0 and above."""
SILENT_SECONDS = 2.0
"""Time after which a running build is reported in the log."""

_REPORT_SECONDS = 10.0  # between two reports
_TYPES: dict[Precision, str] = {"f16": "HALF", "f32": "FLOAT"}  # names in TensorRT


@dataclass(frozen=True)
class ParsedEngine:
    """An engine that TensorRT has parsed."""

    builder: Builder
    network: INetworkDefinition
    parser: OnnxParser
    """Owns the network's weights, and so must live as long as the network."""


def build_plan(library: TensorRTLibrary, engine: Engine, onnx: bytes, key: PlanKey) -> bytes:
    """Compile an engine.

    Args:
        library: TensorRT.
        engine: Engine to compile.
        onnx: Content of the engine's file of the key's precision, from `Engine.path`.
        key: Precision, target and sizes of frames.

    Returns:
        The serialized plan: native code for the GPUs of the key's target.

    Raises:
        BackendError: TensorRT refuses the engine, or the network does not agree with its card.
    """
    parsed = parse_engine(library, engine, onnx)
    check_network(parsed.network, engine, key.precision)
    config = parsed.builder.create_builder_config()
    config.clear_flag(library.trt.BuilderFlag.TF32)  # which has 10 bits where f32 has 23
    profile = make_profile(parsed.builder, engine, key)
    # An index below 0 means that TensorRT refuses the profile.
    if not profile or config.add_optimization_profile(profile) < 0:
        raise BackendError(f"TensorRT refuses frames of {key.size}: {library.take_error()}")
    if library.is_portable and key.target != AMPERE_AND_NEWER:
        name = "SM" + key.target.replace(".", "")
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(library.trt.ComputeCapability, name), 0)
    with _report_when_slow(f"TensorRT compiles {key.style} ({key.precision}) for {key.target}"):
        plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise BackendError(f"TensorRT cannot compile {key.style}: {library.take_error()}")
    return bytes(plan)


def parse_engine(library: TensorRTLibrary, engine: Engine, onnx: bytes) -> ParsedEngine:
    """Parse the content of an engine's ONNX file.

    Raises:
        BackendError: TensorRT cannot parse it.
    """
    trt = library.trt
    library.errors.clear()
    # Strongly typed: each tensor keeps its type from the file, so that an f16 engine computes as it
    # did when the trainer compared it. In the newest TensorRT every network is strongly typed, and
    # the flag may be gone.
    builder = library.make("Builder")
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(onnx):
        reason = _parser_error(parser) or library.take_error()
        raise BackendError(f"TensorRT cannot read {engine.card.style}: {reason}")
    return ParsedEngine(builder, network, parser)


def make_profile(builder: Builder, engine: Engine, key: PlanKey) -> IOptimizationProfile:
    """Make the profile of a plan: one frame at a time, of any size in the range of the key."""
    # Batches of one: frames in flight overlap with copies, which a larger batch would not.
    profile = builder.create_optimization_profile()
    shapes = [(1, height, width, 3) for width, height in (key.smallest, key.size, key.largest)]
    profile.set_shape(engine.card.input, *shapes)
    return profile


def check_network(network: INetworkDefinition, engine: Engine, precision: Precision) -> None:
    """Check that a network keeps the engine contract and computes in one precision.

    Raises:
        BackendError: An input, an output or a convolution is not as the card says.
    """
    card = engine.card
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    outputs = [network.get_output(at) for at in range(network.num_outputs)]
    check_inputs(engine, {tensor.name: _port(tensor) for tensor in inputs})
    # An output's shape may be unknown until the input's is; an input must state its own.
    check_outputs(engine, {tensor.name: _port(tensor, may_be_unknown=True) for tensor in outputs})
    # A file whose types went wrong in the export runs too, but not as fast or exact as it should.
    for layer in convolutions(network):
        for tensor in (layer.get_input(0), layer.get_output(0)):
            if tensor.dtype.name != _TYPES[precision]:
                raise BackendError(
                    f"engine {card.style}: {layer.name} computes in {tensor.dtype.name},"
                    f" not in {_TYPES[precision]}; export it again"
                )


def convolutions(network: INetworkDefinition) -> Iterator[ILayer]:
    """Yield the convolutions and transposed convolutions: nearly all of the arithmetic."""
    for at in range(network.num_layers):
        layer = network.get_layer(at)
        if layer.type.name in ("CONVOLUTION", "DECONVOLUTION"):
            yield layer


def _port(tensor: ITensor, may_be_unknown: bool = False) -> Port:
    kind, shape = tensor.dtype.name, tuple(tensor.shape)
    # A plan is for frames of any size, so a graph with a fixed size does not do here.
    fits = shape == (-1, -1, -1, 3) or (may_be_unknown and len(shape) == 4 and shape[3] in (3, -1))
    return Port(
        is_image=kind == "UINT8" and fits,
        is_scalar=kind == "FLOAT" and shape == (1,),
        found=f"{kind} {shape}",
    )


def _parser_error(parser: OnnxParser) -> str:
    """Return the parser's first error on one line; empty if there is none."""
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    return f"{error.node_operator()}: {one_line(error.desc())}"


@contextmanager
def _report_when_slow(work: str) -> Iterator[None]:
    """Log what is being done once it takes longer than `SILENT_SECONDS`, and now and then again."""
    done = threading.Event()
    began = time.perf_counter()

    def report() -> None:
        wait = SILENT_SECONDS
        while not done.wait(wait):
            seconds = time.perf_counter() - began
            logger.warning("%s, once for this engine and driver: %.0f s so far …", work, seconds)
            wait = _REPORT_SECONDS

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()

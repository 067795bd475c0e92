"""Build a plan: TensorRT parses an engine's file, and compiles it.

A network is looked at before it is compiled, because a plan cannot be looked into without a card.
Leaves out where plans are kept and which are needed (`toonvid.backends.tensorrt.plan`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toonvid.backends.contract import one_line
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
"""Target of a portable plan: what TensorRT-RTX compiles for when no capability is named."""
SILENT_SECONDS = 2.0
"""A build that takes longer says what it does."""

_SECONDS_BETWEEN_WORDS = 10.0
_TYPES: dict[Precision, str] = {"f16": "HALF", "f32": "FLOAT"}  # as TensorRT calls them


@dataclass(frozen=True)
class ParsedEngine:
    """An engine as TensorRT understands it."""

    builder: Builder
    network: INetworkDefinition
    parser: OnnxParser
    """Owns the network's weights."""


def build_plan(library: TensorRTLibrary, engine: Engine, onnx: bytes, key: PlanKey) -> bytes:
    """Compile an engine.

    Args:
        onnx: Content of the engine's file of the key's precision, checked already.

    Raises:
        BackendError: TensorRT refuses the engine, or the network is not what the card promises.
    """
    parsed = parse_engine(library, engine, onnx)
    check_network(parsed.network, engine, key.precision)
    config = parsed.builder.create_builder_config()
    config.clear_flag(library.trt.BuilderFlag.TF32)  # f32 means f32
    profile = make_profile(parsed.builder, engine, key)
    if not profile or config.add_optimization_profile(profile) < 0:
        raise BackendError(f"TensorRT refuses frames of {key.size}: {library.take_complaint()}")
    if library.is_portable and key.target != AMPERE_AND_NEWER:
        name = "SM" + key.target.replace(".", "")
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(library.trt.ComputeCapability, name), 0)
    with _told_when_slow(f"TensorRT compiles {key.style} ({key.precision}) for {key.target}"):
        plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise BackendError(f"TensorRT cannot compile {key.style}: {library.take_complaint()}")
    return bytes(plan)


def parse_engine(library: TensorRTLibrary, engine: Engine, onnx: bytes) -> ParsedEngine:
    """Let TensorRT read an engine's file.

    Raises:
        BackendError: It cannot.
    """
    trt = library.trt
    library.complaints.clear()
    # Strongly typed: every type is the one in the file, so that f16 is what the trainer compared.
    # The newest TensorRT knows no other networks, and may have dropped the flag.
    builder = trt.Builder(library.logger)
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(onnx):
        reason = _parser_words(parser) or library.take_complaint()
        raise BackendError(f"TensorRT cannot read {engine.card.style}: {reason}")
    return ParsedEngine(builder, network, parser)


def make_profile(builder: Builder, engine: Engine, key: PlanKey) -> IOptimizationProfile:
    """What frames a plan takes: one at a time, of any size between two."""
    profile = builder.create_optimization_profile()
    shapes = [(1, height, width, 3) for width, height in (key.smallest, key.size, key.largest)]
    profile.set_shape(engine.card.input, *shapes)
    return profile


def check_network(network: INetworkDefinition, engine: Engine, precision: Precision) -> None:
    """Hold a parsed network to the engine's contract, and every convolution to its precision.

    Raises:
        BackendError: It is not what the engine's card promises.
    """
    card = engine.card
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    outputs = [network.get_output(at) for at in range(network.num_outputs)]
    for role, name, ports in (("input", card.input, inputs), ("output", card.output, outputs)):
        if [port.name for port in ports] != [name]:
            raise BackendError(f"engine {card.style} has no single {role} {name!r}")
        # What comes out need not be known in full before a size is; what goes in must be.
        if not _is_picture(ports[0], may_be_open=role == "output"):
            raise BackendError(
                f"engine {card.style}: {role} is {ports[0].dtype.name} {tuple(ports[0].shape)},"
                " not uint8 (N, H, W, 3) of any size"
            )
    for layer in convolutions(network):
        for tensor in (layer.get_input(0), layer.get_output(0)):
            if tensor.dtype.name != _TYPES[precision]:
                raise BackendError(
                    f"engine {card.style}: {layer.name} computes in {tensor.dtype.name},"
                    f" not in {_TYPES[precision]}; export it again"
                )


def convolutions(network: INetworkDefinition) -> Iterator[ILayer]:
    """Yield the layers that cost something, transposed ones too."""
    for at in range(network.num_layers):
        layer = network.get_layer(at)
        if layer.type.name in ("CONVOLUTION", "DECONVOLUTION"):
            yield layer


def _is_picture(port: ITensor, may_be_open: bool) -> bool:
    """Whether a port takes or gives uint8 pictures of any size."""
    shape = tuple(port.shape)
    fits = shape == (-1, -1, -1, 3) or (may_be_open and len(shape) == 4 and shape[3] in (3, -1))
    return port.dtype.name == "UINT8" and fits


def _parser_words(parser: OnnxParser) -> str:
    """The parser's first error, on one line."""
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    return f"{error.node_operator()}: {one_line(error.desc())}"


@contextmanager
def _told_when_slow(work: str) -> Iterator[None]:
    """Say what is done when it takes longer than two seconds, and go on saying so."""
    done = threading.Event()
    began = time.perf_counter()

    def tell() -> None:
        wait = SILENT_SECONDS
        while not done.wait(wait):
            seconds = time.perf_counter() - began
            logger.warning("%s, once for this engine and driver: %.0f s so far …", work, seconds)
            wait = _SECONDS_BETWEEN_WORDS

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()

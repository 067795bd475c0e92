"""An engine's graph for OpenVINO: read, checked, and compiled for each shape of frames.

In: an engine, a device and a precision. Out: compiled models. One that an earlier run has kept
(`openvino_cache`) is taken from there; then the graph need not be read at all.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property

import openvino as ov

from toonvid.backends.contract import (
    Port,
    check_cartoons,
    check_inputs,
    check_outputs,
    one_line,
    probe_shape,
)
from toonvid.backends.openvino_cache import ModelCache, ModelKey
from toonvid.backends.openvino_graph import move_bytes
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError

logger = logging.getLogger(__name__)

_CACHED_DEVICE = "CPU"  # what is exported for other devices is code for their drivers


class OpenVINOModel:
    """The graph of one engine on one device."""

    def __init__(self, core: ov.Core, engine: Engine, device: str, precision: Precision) -> None:
        """Check the engine's file, and its graph unless an earlier run has checked it.

        Raises:
            EngineError: The file cannot be trusted.
            BackendError: OpenVINO cannot read it, or it does not keep the engine contract.
        """
        self._core, self._engine, self._device = core, engine, device
        if engine.card.is_openvino_only and precision != "int8":
            self._path = engine.openvino_path()
        else:
            self._path = engine.path("int8" if precision == "int8" else "f32")
        self._precision = precision
        self._cache = ModelCache() if device == _CACHED_DEVICE else None
        self._unsaved: tuple[ModelKey, ov.CompiledModel] | None = None
        self._has_compiled = False
        # Reading and checking takes 45 ms. A kept model was made of a graph that was checked, and
        # its key holds the hashes of the card and, by way of the card, of the engine's files.
        if self._cache is None or not self._cache.knows(self._key({}, ())):
            _ = self._graph

    def compile(self, config: dict[str, str], shape: tuple[int, ...]) -> ov.CompiledModel:
        """Compile for one shape, which runs faster and in less memory than a dynamic shape.

        Args:
            config: Properties for OpenVINO.
            shape: Shape of the frames, (N, H, W, 3).

        Raises:
            RuntimeError: OpenVINO fails.
            BackendError: As in `__init__`.
        """
        key = self._key(config, shape)
        if self._cache is not None and (exported := self._cache.find(key)) is not None:
            try:
                return self._core.import_model(exported, self._device, config)
            except RuntimeError as error:
                logger.debug("a kept model is compiled anew: %s", one_line(error, "last"))
        self._graph.reshape({self._engine.card.input: ov.PartialShape(list(shape))})
        compiled = self._core.compile_model(self._graph, self._device, config)
        # The first one is what the next start waits for. A folder of images may have many sizes.
        if not self._has_compiled:
            self._unsaved = key, compiled
        self._has_compiled = True
        return compiled

    def keep(self) -> None:
        """Keep the first model that was compiled for the next run; nothing if it was kept."""
        if self._cache is not None and self._unsaved is not None:
            key, compiled = self._unsaved
            self._cache.store(key, compiled.export_model().getvalue())
        self._unsaved = None

    def _key(self, config: dict[str, str], shape: tuple[int, ...]) -> ModelKey:
        card = self._engine.card
        return ModelKey(
            style=card.style,
            card_sha256=hashlib.sha256(card.to_json().encode()).hexdigest(),
            precision=self._precision,
            library=ov.__version__,
            device=self._core.get_property(self._device, "FULL_DEVICE_NAME"),
            config=config,
            shape=shape,
        )

    @cached_property
    def _graph(self) -> ov.Model:
        try:
            graph = self._core.read_model(self._path)
        except RuntimeError as error:
            reason = one_line(error, "last")
            raise BackendError(f"OpenVINO cannot read {self._path}: {reason}") from error
        _check_contract(graph, self._engine)
        move_bytes(graph)
        return graph


def _check_contract(graph: ov.Model, engine: Engine) -> None:
    """Check that the graph keeps the engine contract."""
    card = engine.card
    known = {card.input, card.output, *card.controls}
    check_inputs(engine, {_name(port, known): _port(port) for port in graph.inputs})
    # An output's shape may be unknown until the input's is; an input must state its own.
    outputs = {_name(port, known): _port(port, may_be_unknown=True) for port in graph.outputs}
    check_outputs(engine, outputs)
    _check_output_size(graph, engine)


def _check_output_size(graph: ov.Model, engine: Engine) -> None:
    """Infer the shape of the output for a small frame, which compiles nothing."""
    shape = probe_shape(engine)
    try:
        graph.reshape({engine.card.input: ov.PartialShape(list(shape))})
    except RuntimeError:  # that the library fails is said with the first frame, and its size
        return
    found = graph.outputs[0].get_partial_shape()
    if found.is_static:  # else it depends on the pixels, and is checked with every frame
        check_cartoons(engine, shape, tuple(found.to_shape()))


def _name(port: ov.Output, known: set[str]) -> str:
    """Return the name of a tensor, which may have several, by which the card knows it."""
    name: str = next(iter(known & port.get_names()), port.any_name)
    return name


def _port(port: ov.Output, may_be_unknown: bool = False) -> Port:
    kind, shape = port.get_element_type(), port.get_partial_shape()
    return Port(
        is_image=kind == ov.Type.u8
        and shape.compatible(ov.PartialShape([-1, -1, -1, 3]))
        and (may_be_unknown or not _has_unknown_channels(shape)),
        is_scalar=kind == ov.Type.f32 and shape == ov.PartialShape([1]),
        found=f"{kind} {shape}",
    )


def _has_unknown_channels(shape: ov.PartialShape) -> bool:
    """Whether a shape leaves the number of channels open."""
    return bool(shape.rank.is_dynamic or shape[3].is_dynamic)

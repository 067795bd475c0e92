"""Run engines with OpenVINO: any x86 or ARM processor, and Intel graphics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Literal, TypeAlias

import numpy as np
import openvino as ov

from toonvid.backends.contract import check_port, frames_failed, one_line
from toonvid.choices import RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.video import Pixels

_DEFAULT_DEVICE = "CPU"
_COMPILED_KEPT = 2  # of each hint; the last, smaller batch of a film is the second
# Frames under way in a film, each on a thread or more of its own: two at once on two cores take a
# quarter less of the processor than one on both, which wait for each other at every layer.
_MOST_AT_ONCE = 4  # each holds all features of a frame; beyond it, threads share a frame

_Hint: TypeAlias = Literal["LATENCY", "THROUGHPUT"]
_Waiting: TypeAlias = deque[tuple[ov.InferRequest, deque[ov.InferRequest], Pixels]]
"""Requests under way, in order: the request, those to which it goes back, and its frames."""


class OpenVINOBackend:
    """An engine in OpenVINO. It is compiled for each new shape of frames, when they arrive."""

    name = "openvino"
    batch_size = 1  # one frame at a time already fills the cores, and keeps memory low

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Read an engine; see `toonvid.backends.open_backend`."""
        self.engine = engine
        self._core = ov.Core()
        self.device = self._checked_device(device or _DEFAULT_DEVICE)
        self.precision, self.reason = self._chosen_precision(precision)
        path = engine.path("int8" if self.precision == "int8" else "f32")
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot read {path}: {one_line(error, 'last')}") from error
        self._check_contract()
        self._compiled: dict[_Hint, dict[tuple[int, ...], deque[ov.InferRequest]]] = {
            "LATENCY": {},
            "THROUGHPUT": {},
        }

    def run(self, frames: Pixels) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        try:
            request = self._requests("LATENCY", frames.shape)[0]
            request.infer([frames], share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        except RuntimeError as error:
            raise self._failure(frames.shape, error) from error

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`. A batch that comes alone is left to `run`."""
        iterator = iter(batches)
        first = list(islice(iterator, 2))
        if len(first) < 2:
            yield from map(self.run, first)
            return
        waiting: _Waiting = deque()
        try:
            for frames in chain(first, iterator):
                free = self._requests("THROUGHPUT", frames.shape)
                while not free:
                    yield self._finished(waiting)
                self._start(frames, free, waiting)
            while waiting:
                yield self._finished(waiting)
        finally:
            for request, free, _ in waiting:  # left early: it still reads its frames
                request.wait()
                free.append(request)

    def __enter__(self) -> OpenVINOBackend:
        return self

    def __exit__(self, *_: object) -> None:
        for compiled in self._compiled.values():
            compiled.clear()

    def _checked_device(self, device: str) -> str:
        available = self._core.available_devices
        # "GPU" stands for "GPU.0" where there are several.
        if not any(device in (name, name.split(".")[0]) for name in available):
            raise DeviceMissingError(
                f"OpenVINO finds no device {device!r}; it finds {', '.join(available) or 'none'}"
            )
        return device

    def _chosen_precision(self, asked: RequestedPrecision) -> tuple[Precision, str]:
        capabilities = self._core.get_property(self.device, "OPTIMIZATION_CAPABILITIES")
        self._has_bf16 = "BF16" in capabilities
        if asked == "int8" or asked == "f32":
            return asked, ""
        if asked != "auto":
            if {"bf16": "BF16", "f16": "FP16"}[asked] not in capabilities:
                raise BackendError(f"{self.device} has no {asked} arithmetic; ask for f32")
            return asked, ""
        if "int8" in self.engine.card.precisions and "INT8" in capabilities:
            return "int8", "the engine has int8, the fastest here"
        if "BF16" in capabilities:
            return "bf16", f"{self.device} has bf16 arithmetic"
        return "f32", f"{self.device} has no bf16 arithmetic"

    def _check_contract(self) -> None:
        """Hold the engine to DESIGN's contract: uint8 (N, H, W, 3) in and out."""
        for ports, role in ((self._model.inputs, "input"), (self._model.outputs, "output")):
            # What comes out need not be known in full before a size is; what goes in must be.
            fits = all(
                port.get_element_type() == ov.Type.u8
                and port.get_partial_shape().compatible(ov.PartialShape([-1, -1, -1, 3]))
                and not (role == "input" and _is_open(port.get_partial_shape()))
                for port in ports
            )
            found = ", ".join(f"{p.get_element_type()} {p.get_partial_shape()}" for p in ports)
            name = getattr(self.engine.card, role)
            # A port may have several names.
            names = [name if name in port.get_names() else port.any_name for port in ports]
            check_port(self.engine, role, names, fits, found)

    def _start(self, frames: Pixels, free: deque[ov.InferRequest], waiting: _Waiting) -> None:
        """Let the next free request work on frames, which it reads where they lie."""
        request = free.popleft()
        try:
            request.start_async([frames], share_inputs=True)
        except RuntimeError as error:
            raise self._failure(frames.shape, error) from error
        waiting.append((request, free, frames))

    def _finished(self, waiting: _Waiting) -> Pixels:
        """The cartoons of the request that was started first; it is free again."""
        request, free, frames = waiting.popleft()
        try:
            request.wait()
            return np.array(request.get_output_tensor(0).data)
        except RuntimeError as error:
            raise self._failure(frames.shape, error) from error
        finally:
            free.append(request)

    def _requests(self, hint: _Hint, shape: tuple[int, ...]) -> deque[ov.InferRequest]:
        """The requests for frames of one shape that are free; one alone where delay counts."""
        compiled = self._compiled[hint]
        if shape not in compiled:
            if len(compiled) >= _COMPILED_KEPT:
                compiled.pop(next(iter(compiled)))
            try:
                compiled[shape] = self._compile(hint, shape)
            except RuntimeError as error:
                raise self._failure(shape, error) from error
        return compiled[shape]

    def _compile(self, hint: _Hint, shape: tuple[int, ...]) -> deque[ov.InferRequest]:
        """Compile for one shape: fixed shapes run faster and in less memory than open ones."""
        self._model.reshape(ov.PartialShape(list(shape)))
        # An int8 engine has parts in floating point; they take what else is fast.
        inside = "bf16" if self.precision in ("bf16", "int8") and self._has_bf16 else "f32"
        inside = "f16" if self.precision == "f16" else inside
        config = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": inside}
        if hint == "THROUGHPUT":
            config["PERFORMANCE_HINT_NUM_REQUESTS"] = str(_MOST_AT_ONCE)
            if self.device == _DEFAULT_DEVICE:
                # Decoder and encoder want the cores too: pinned threads could not step aside.
                config["ENABLE_CPU_PINNING"] = "NO"
        compiled = self._core.compile_model(self._model, self.device, config)
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        return deque(compiled.create_infer_request() for _ in range(count))

    def _failure(self, shape: tuple[int, ...], error: RuntimeError) -> BackendError:
        return frames_failed(f"OpenVINO on {self.device}", shape, one_line(error, "last"))


def _is_open(shape: ov.PartialShape) -> bool:
    """Whether a shape says nothing of its channels."""
    return bool(shape.rank.is_dynamic or shape[3].is_dynamic)

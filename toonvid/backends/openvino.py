"""Backend on OpenVINO: x86 and ARM CPUs, and Intel GPUs.

In: an engine and frames, out: cartoons, as `toonvid.backends.contract` says. The model is compiled
for each size of frames when the first of that size arrives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from toonvid.backends.contract import ControlValues, check_cartoons, frames_failed, one_line
from toonvid.backends.openvino_model import OpenVINOModel
from toonvid.choices import RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.video import Pixels

_DEFAULT_DEVICE = "CPU"
_MAX_COMPILED_SHAPES = 2  # for each hint; the smaller batch at a video's end is the second shape
# Frames in flight in `stream`, each with one or more threads of its own. On two cores two frames at
# once take a quarter less CPU time than one frame on both, whose threads wait for each other at
# every layer. Each frame in flight holds all its feature maps, so beyond this number threads share
# frames instead.
_MAX_IN_FLIGHT = 4
_LARGEST_IN_FLIGHT_BYTES = 2**26  # larger frames, above 22 megapixels, are run one by one

_Hint: TypeAlias = Literal["LATENCY", "THROUGHPUT"]
_Inputs: TypeAlias = dict[str, NDArray[Any]]
"""Name of an input -> frames, or the value of a control."""
_InFlight: TypeAlias = deque[tuple[ov.InferRequest, deque[ov.InferRequest], _Inputs]]
"""Requests in flight, oldest first: request, the free list it returns to, and its inputs."""


class OpenVINOBackend:
    """An engine in OpenVINO."""

    name = "openvino"
    batch_size = 1  # one frame keeps all cores busy, and memory low

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Load an engine; see `toonvid.backends.open_backend`."""
        self.engine = engine
        self._core = ov.Core()
        self.device = self._check_device(device or _DEFAULT_DEVICE)
        self.precision, self.reason = self._choose_precision(precision)
        self._model = OpenVINOModel(self._core, engine, self.device, self.precision)
        self._preparing: threading.Thread | None = None
        self._compiled: dict[_Hint, dict[tuple[int, ...], deque[ov.InferRequest]]] = {
            "LATENCY": {},
            "THROUGHPUT": {},
        }

    def prepare(self, shape: tuple[int, ...]) -> None:
        """See `toonvid.backends.Backend.prepare`: the engine is compiled on a thread of its own."""
        self._wait_until_prepared()
        self._preparing = threading.Thread(target=self._prepare, args=(shape,), name="compile")
        self._preparing.start()

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        inputs = self._control_inputs(controls)
        try:
            request = self._requests("LATENCY", frames.shape)[0]
            request.infer({self.engine.card.input: frames, **inputs}, share_inputs=True)
            return self._cartoons(request, frames.shape)
        except RuntimeError as error:
            raise self._failure(frames.shape, error) from error

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`."""
        inputs = self._control_inputs(controls)
        iterator = iter(batches)
        first = list(islice(iterator, 1))
        if first and first[0].nbytes > _LARGEST_IN_FLIGHT_BYTES:
            for frames in chain(iter([first.pop()]), iterator):
                yield self.run(frames, controls)
            return
        first += islice(iterator, 1)
        if len(first) < 2:  # a still image: not worth compiling for throughput too
            yield from (self.run(frames, controls) for frames in first)
            return
        in_flight: _InFlight = deque()
        try:
            for frames in chain(first, iterator):
                free = self._requests("THROUGHPUT", frames.shape)
                finished = []
                while not free and in_flight:
                    finished.append(self._finish_oldest(in_flight))
                if not free:  # another stream of this size has them all
                    yield from finished
                    yield self.run(frames, controls)
                    continue
                # First, so that the device has work while the caller uses what is finished.
                self._start({self.engine.card.input: frames, **inputs}, free, in_flight)
                yield from finished
            while in_flight:
                yield self._finish_oldest(in_flight)
        finally:
            for (
                request,
                free,
                _,
            ) in in_flight:  # the caller left early; requests still read the frames
                request.wait()
                free.append(request)

    def __enter__(self) -> OpenVINOBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._wait_until_prepared()
        if kind is None:
            self._model.keep()
        for compiled in self._compiled.values():
            compiled.clear()

    def _check_device(self, device: str) -> str:
        if device == _DEFAULT_DEVICE:  # which there always is; asking for the others takes 13 ms
            return device
        available = self._core.available_devices
        # With several GPUs, "GPU" is short for "GPU.0".
        if not any(device in (name, name.split(".")[0]) for name in available):
            raise DeviceMissingError(
                f"OpenVINO finds no device {device!r}; it finds {', '.join(available) or 'none'}"
            )
        return device

    def _choose_precision(self, asked: RequestedPrecision) -> tuple[Precision, str]:
        # Only what the hardware has counts: emulated, a lower precision gains nothing.
        capabilities = self._core.get_property(self.device, "OPTIMIZATION_CAPABILITIES")
        unfit = self.engine.card.unfit
        self._has_bf16 = "BF16" in capabilities and "bf16" not in unfit
        if asked in unfit:
            raise BackendError(f"style {self.engine.card.style} is not for {asked}; ask for f32")
        if asked == "int8" or asked == "f32":
            return asked, ""
        if asked != "auto":
            if {"bf16": "BF16", "f16": "FP16"}[asked] not in capabilities:
                raise BackendError(f"{self.device} has no {asked} arithmetic; ask for f32")
            return asked, ""
        if "int8" in self.engine.card.precisions and "INT8" in capabilities:
            return "int8", "the engine has int8, the fastest here"
        if self._has_bf16:
            return "bf16", f"{self.device} has bf16 arithmetic"
        if "bf16" in unfit:
            return "f32", "the style is not for bf16"
        return "f32", f"{self.device} has no bf16 arithmetic"

    def _start(self, inputs: _Inputs, free: deque[ov.InferRequest], in_flight: _InFlight) -> None:
        """Start the next free request. It reads its inputs in place, without a copy."""
        request = free.popleft()
        try:
            request.start_async(inputs, share_inputs=True)
        except RuntimeError as error:
            raise self._failure(inputs[self.engine.card.input].shape, error) from error
        in_flight.append((request, free, inputs))

    def _finish_oldest(self, in_flight: _InFlight) -> Pixels:
        """Wait for the oldest request, return its cartoons and put it back on its free list."""
        request, free, inputs = in_flight.popleft()
        try:
            request.wait()
            return self._cartoons(request, inputs[self.engine.card.input].shape)
        except RuntimeError as error:
            raise self._failure(inputs[self.engine.card.input].shape, error) from error
        finally:
            free.append(request)

    def _cartoons(self, request: ov.InferRequest, shape: tuple[int, ...]) -> Pixels:
        """Return a copy of the result of a request for frames of a shape."""
        cartoons = request.get_output_tensor(0).data
        check_cartoons(self.engine, shape, cartoons.shape)
        return np.array(cartoons)

    def _control_inputs(self, controls: ControlValues | None) -> _Inputs:
        # They stay inputs of the compiled model: as constants they would save no time that could be
        # measured, and each change in live video would compile the model again.
        values = self.engine.card.control_values(controls)
        return {name: np.array([value], np.float32) for name, value in values.items()}

    def _prepare(self, shape: tuple[int, ...]) -> None:
        hint: _Hint = "LATENCY" if prod(shape) > _LARGEST_IN_FLIGHT_BYTES else "THROUGHPUT"
        with suppress(BackendError):  # it is raised again with the first frame
            self._find_requests(hint, shape)

    def _wait_until_prepared(self) -> None:
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None

    def _requests(self, hint: _Hint, shape: tuple[int, ...]) -> deque[ov.InferRequest]:
        """Return the free requests for one shape of frames; with LATENCY there is exactly one."""
        self._wait_until_prepared()
        return self._find_requests(hint, shape)

    def _find_requests(self, hint: _Hint, shape: tuple[int, ...]) -> deque[ov.InferRequest]:
        compiled = self._compiled[hint]
        if shape not in compiled:
            if len(compiled) >= _MAX_COMPILED_SHAPES:
                compiled.pop(next(iter(compiled)))
            try:
                compiled[shape] = self._compile(hint, shape)
            except RuntimeError as error:
                raise self._failure(shape, error) from error
        return compiled[shape]

    def _compile(self, hint: _Hint, shape: tuple[int, ...]) -> deque[ov.InferRequest]:
        """Compile for one shape; give the requests that keep the device busy."""
        # An int8 engine has layers in floating point, which run in the fastest such precision.
        floats = "bf16" if self.precision in ("bf16", "int8") and self._has_bf16 else "f32"
        floats = "f16" if self.precision == "f16" else floats
        config = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": floats}
        if hint == "THROUGHPUT":
            config["PERFORMANCE_HINT_NUM_REQUESTS"] = str(_MAX_IN_FLIGHT)
            if self.device == _DEFAULT_DEVICE:
                # Decoder and encoder use the same cores, and pinned threads could not move aside.
                config["ENABLE_CPU_PINNING"] = "NO"
        compiled = self._model.compile(config, shape)
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        return deque(compiled.create_infer_request() for _ in range(count))

    def _failure(self, shape: tuple[int, ...], error: RuntimeError) -> BackendError:
        return frames_failed(f"OpenVINO on {self.device}", shape, one_line(error, "last"))

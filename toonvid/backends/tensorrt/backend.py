"""Backend on TensorRT: NVIDIA GPUs from RTX 20 and GTX 16 on.

In: an engine and frames, out: cartoons, as `toonvid.backends.contract` says. A GPU and a precision
are chosen here, frames are kept in flight, and lack of memory is explained. Plans are loaded and
built by `plan` and run by `inference`. None of it has run on a GPU yet: docs/backends.md says what
was checked.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeAlias

import numpy as np

from toonvid.backends.cartoon_check import find_difference, sample_for
from toonvid.backends.contract import ControlValues, frames_failed
from toonvid.backends.openvino import OpenVINOBackend
from toonvid.backends.tensorrt.cuda import Cuda, OutOfMemoryError
from toonvid.backends.tensorrt.inference import IN_FLIGHT, Inference
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan import (
    DEFAULT_SIZE,
    best_precision,
    build_and_store,
    gpu_and_driver,
    largest_side,
    load_or_build,
    plan_key,
    plan_target,
)
from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanPrecision
from toonvid.choices import RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia
from toonvid.video import Pixels

logger = logging.getLogger(__name__)

# In pixels: sizes to recommend when memory is short.
_SHORT_SIDES = (2160, 1440, 1080, 720, 540, 480, 360, 240)
_InFlight: TypeAlias = deque[tuple[Pixels, Pixels | None]]
"""Frames in flight, oldest first: where the cartoon goes, and the batch if it is its last frame."""


class TensorRTBackend:
    """An engine in TensorRT. Frames may change their size; each change allocates memory again.

    GPU memory is allocated for the size in use, not for the largest that the plan could take.
    """

    name = "tensorrt"
    batch_size = 1  # frames overlap in `stream` instead

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Load or build the plan of an engine; see `toonvid.backends.open_backend`.

        Args:
            engine: Engine to run. Its file is checked before it is loaded.
            device: `cuda` or `cuda:1`. None: the first GPU.
            precision: f16 or f32. `auto`: f16 if the engine has it.
        """
        self.engine = engine
        nvidia = find_nvidia()
        self._gpu = _find_gpu(device, nvidia)
        self.device = self._gpu.device
        chosen, self.reason = _choose_precision(engine, precision, self._gpu)
        self.precision: Precision = chosen
        self._library = load_tensorrt()
        target = plan_target(self._library, self._gpu, nvidia)
        self._cuda = Cuda(self._gpu.index, nvidia)
        self._cache = PlanCache()
        self._key = plan_key(self._library, engine, chosen, target, DEFAULT_SIZE)
        self._gpu_and_driver = gpu_and_driver(self._gpu, nvidia)
        self._is_streaming = False
        self._inference = self._open_plan()
        try:
            self._check_first_use()
        except BaseException:
            self._inference.close()
            raise

    def prepare(self, shape: tuple[int, ...]) -> None:
        """See `toonvid.backends.Backend.prepare`: nothing is done."""

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        [cartoons] = self.stream([frames], controls)
        return cartoons

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`. Frames in flight may belong to several batches."""
        values = self.engine.card.control_values(controls)
        if self._is_streaming:  # its frames and controls are on the GPU
            raise BackendError(
                f"another stream of style {self.engine.card.style} has not ended: open the style"
                " once for each"
            )
        self._cuda.use()  # the calling thread may not be the one that opened the GPU
        in_flight: _InFlight = deque()
        self._is_streaming = True
        try:
            self._inference.set_controls(values)
            for batch in batches:
                self._check_size(batch)
                cartoons = np.empty_like(batch, order="C")  # new, because it becomes the caller's
                # Memory is for one size, so another size has to wait until the GPU is idle.
                limit = IN_FLIGHT if self._inference.shape == batch.shape[1:] else 1
                for at, frame in enumerate(batch):
                    while len(in_flight) >= limit:
                        yield from self._finish_oldest(in_flight)
                    self._start(frame)
                    in_flight.append((cartoons[at], cartoons if at == len(batch) - 1 else None))
                    limit = IN_FLIGHT
            while in_flight:
                yield from self._finish_oldest(in_flight)
        finally:
            self._is_streaming = False
            self._inference.drain()

    def __enter__(self) -> TensorRTBackend:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with suppress(BackendError):  # an earlier error, which CUDA repeats
                self._cuda.use()
            # TensorRT-RTX compiles kernels at run time; cached, they are there at the next start.
            kernels = self._inference.compiled_kernels()
            if kernels and kernels != self._cached_kernels:
                self._cache.store_kernels(self._key, self._gpu_and_driver, kernels)
        finally:
            self._inference.close()

    def _open_plan(self) -> Inference:
        """Load the plan. A cached plan that does not load is built again."""
        plan = load_or_build(self._library, self.engine, self._key, self._cache)
        self._cached_kernels = self._cache.find_kernels(self._key, self._gpu_and_driver)
        try:
            return self._open(plan.content)
        except OutOfMemoryError as error:
            raise BackendError(f"{self._memory_message()}: close what else uses the GPU") from error
        except BackendError:
            if plan.build_seconds:  # just built, so that building again would not help
                raise
        return self._open(
            build_and_store(self._library, self.engine, self._key, self._cache).content
        )

    def _check_first_use(self) -> None:
        """Compare a frame with float32 on the CPU, the first time that a plan runs on this GPU.

        TensorRT reports no error for a plan that draws black frames.

        Raises:
            BackendError: The cartoons differ.
        """
        if self._cache.has_passed(self._key, self._gpu_and_driver):
            return
        frames = sample_for(self.engine.card.multiple_of)
        try:
            cartoons = self.run(frames)
            with OpenVINOBackend(self.engine, precision="f32") as processor:
                wanted = processor.run(frames)
        except BackendError as error:
            # If the GPU fails, the first frame of the video says so, and its size.
            logger.warning("the plan of %s was not checked: %s", self.engine.card.style, error)
            return
        if problem := find_difference(frames, cartoons, wanted):
            raise BackendError(
                f"TensorRT draws {self.engine.card.style} wrongly in {self.precision} on"
                f" {self._gpu.name}: its cartoon is {problem}; use --precision f32, or"
                " --backend openvino"
            )
        self._cache.store_passed(self._key, self._gpu_and_driver)

    def _open(self, plan: bytes) -> Inference:
        inference = Inference(self._library, self._cuda, self.engine)
        try:
            inference.open(plan, self._cached_kernels)
        except BaseException:
            inference.close()
            raise
        return inference

    def _finish_oldest(self, in_flight: _InFlight) -> Iterator[Pixels]:
        """Wait for the oldest frame in flight; yield its batch if it is the batch's last frame."""
        target, batch = in_flight.popleft()
        self._inference.finish(target)
        if batch is not None:
            yield batch

    def _check_size(self, batch: Pixels) -> None:
        height, width = batch.shape[1:3]
        step, largest = self.engine.card.multiple_of, largest_side(self.engine)
        if max(height, width) > largest or height % step or width % step:
            takes = f"the plan takes multiples of {step} up to {largest}"
            raise frames_failed("TensorRT", batch.shape, f"{takes}; --size makes them smaller")

    def _start(self, frame: Pixels) -> None:
        try:
            self._inference.start(frame)
        except OutOfMemoryError as error:
            self._inference.release()
            raise BackendError(self._size_that_fits(*frame.shape[:2])) from error

    def _size_that_fits(self, height: int, width: int) -> str:
        """Say that frames do not fit, and which of the common sizes does."""
        message = f"{self._memory_message()} for frames of {width}x{height}"
        step, free = self.engine.card.multiple_of, self._cuda.free_bytes()
        for short_side in _SHORT_SIDES:
            scale = short_side / min(height, width)
            smaller = (-(-round(side * scale) // step) * step for side in (height, width))
            if scale < 1 and self._inference.bytes_needed((*smaller, 3)) <= free:
                return f"{message}: --size {short_side}p fits"
        return f"{message}: close what else uses the GPU, or use --backend openvino"

    def _memory_message(self) -> str:
        free, whole = self._cuda.free_bytes() / 2**30, self._gpu.memory_bytes / 2**30
        return f"{self._gpu.name} has {free:.1f} of {whole:.1f} GiB of memory free, too little"


def _find_gpu(device: str | None, nvidia: NvidiaInfo) -> Gpu:
    """Find the GPU with this device name; None: the first.

    Raises:
        DeviceMissingError: There is no such GPU, or none at all.
    """
    kind, _, number = (device or "cuda").lower().partition(":")
    is_name = kind == "cuda" and (number or "0").isdecimal()
    if is_name and not nvidia.gpus:
        raise DeviceMissingError(f"TensorRT needs an NVIDIA GPU: {nvidia.problem}")
    if not is_name or int(number or 0) >= len(nvidia.gpus):
        devices = ", ".join(gpu.device for gpu in nvidia.gpus) or "none"
        raise DeviceMissingError(f"TensorRT finds no device {device!r}; it finds {devices}")
    return nvidia.gpus[int(number or 0)]


def _choose_precision(
    engine: Engine, asked: RequestedPrecision, gpu: Gpu
) -> tuple[PlanPrecision, str]:
    if asked == "auto":
        best = best_precision(engine)
        has = "the engine has f16" if best == "f16" else "the engine has no f16"
        return best, f"{gpu.name} is here, and {has}"
    if asked == "int8":
        engine.path("int8")  # raises if there is none, which is the better message
    if asked == "int8" or asked == "bf16":
        raise BackendError(f"TensorRT does not run {asked} engines; ask for f16")
    return asked, ""

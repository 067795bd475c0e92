"""Run engines with TensorRT: NVIDIA cards from RTX 20 and GTX 16 on.

How plans are made and kept is in `toonvid.backends.tensorrt.plan`, how one is run in
`toonvid.backends.tensorrt.inference`. None of it has run on a card yet: docs/backends.md says what was checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np

from toonvid.backends.contract import frames_failed
from toonvid.backends.tensorrt.cuda import Cuda, OutOfMemoryError
from toonvid.backends.tensorrt.inference import IN_FLIGHT, Inference
from toonvid.backends.tensorrt.library import load_tensorrt
from toonvid.backends.tensorrt.plan import (
    DEFAULT_SIZE,
    best_precision,
    find_plan,
    gpu_and_driver,
    largest_side,
    make_plan,
    plan_key,
    target_of,
)
from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanPrecision
from toonvid.choices import RequestedPrecision
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia
from toonvid.video import Pixels

_SHORT_SIDES = (2160, 1440, 1080, 720, 540, 480, 360, 240)  # what --size is told when memory ends
_InFlight: TypeAlias = deque[tuple[Pixels, Pixels | None]]
"""Where the cartoon of each frame in flight goes, and the batch of which it is the last."""


class TensorRTBackend:
    """An engine in TensorRT. Any shape of frames may follow any other; each change costs a moment.

    Memory on the card is that of the size in use, whatever the plan could take.
    """

    name = "tensorrt"
    batch_size = 1  # frames overlap in `stream`

    def __init__(
        self, engine: Engine, device: str | None = None, precision: RequestedPrecision = "auto"
    ) -> None:
        """Read or build the plan of an engine; see `toonvid.backends.open_backend`.

        Args:
            engine: Checked before it is loaded.
            device: `cuda`, `cuda:1`; None for the first card.
            precision: f16 or f32; `auto` takes f16 where the engine has it.
        """
        self.engine = engine
        nvidia = find_nvidia()
        self._card = _find_gpu(device, nvidia)
        self.device = self._card.device
        chosen, self.reason = _chosen_precision(engine, precision, self._card)
        self.precision: Precision = chosen
        self._library = load_tensorrt()
        target = target_of(self._library, self._card, nvidia)
        self._cuda = Cuda(self._card.index, nvidia)
        self._cache = PlanCache()
        self._key = plan_key(self._library, engine, chosen, target, DEFAULT_SIZE)
        self._compiled_for = gpu_and_driver(self._card, nvidia)
        self._inference = self._open_inference()

    def run(self, frames: Pixels) -> Pixels:
        """See `toonvid.backends.Backend.run`."""
        [cartoons] = self.stream([frames])
        return cartoons

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """See `toonvid.backends.Backend.stream`. Frames in flight may be of several batches."""
        self._cuda.use()  # for this thread: it may not be the one that opened the card
        in_flight: _InFlight = deque()
        try:
            for batch in batches:
                self._check_size(batch)
                cartoons = np.empty_like(batch, order="C")  # the caller's own, and so made anew
                # Frames of another size cannot start until those before them are done.
                most = IN_FLIGHT if self._inference.shape == batch.shape[1:] else 1
                for at, frame in enumerate(batch):
                    while len(in_flight) >= most:
                        yield from self._finished(in_flight)
                    self._start(frame)
                    in_flight.append((cartoons[at], cartoons if at == len(batch) - 1 else None))
                    most = IN_FLIGHT
            while in_flight:
                yield from self._finished(in_flight)
        finally:
            self._inference.settle()

    def __enter__(self) -> TensorRTBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self._cuda.use()
        compiled = self._inference.kernels()
        if compiled and compiled != self._compiled:
            self._cache.keep_kernels(self._key, self._compiled_for, compiled)
        self._inference.close()

    def _open_inference(self) -> Inference:
        """Load the plan; one that was kept and does not load is built again."""
        plan = find_plan(self._library, self.engine, self._key, self._cache)
        self._compiled = self._cache.find_kernels(self._key, self._compiled_for)
        try:
            return self._open(plan.content)
        except OutOfMemoryError as error:
            raise BackendError(f"{self._memory_words()}: close what else uses the card") from error
        except BackendError:
            if plan.build_seconds:  # it was new
                raise
        return self._open(make_plan(self._library, self.engine, self._key, self._cache).content)

    def _open(self, plan: bytes) -> Inference:
        runner = Inference(self._library, self._cuda, self.engine)
        try:
            runner.open(plan, self._compiled)
        except BaseException:
            runner.close()
            raise
        return runner

    def _finished(self, in_flight: _InFlight) -> Iterator[Pixels]:
        """Wait for the frame that was started first; yield its batch if it was the last of it."""
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
        """What does not fit, and the largest common size that does."""
        words = f"{self._memory_words()} for frames of {width}x{height}"
        step, free = self.engine.card.multiple_of, self._cuda.free_bytes()
        for short_side in _SHORT_SIDES:
            scale = short_side / min(height, width)
            smaller = (-(-round(side * scale) // step) * step for side in (height, width))
            if scale < 1 and self._inference.bytes_needed((*smaller, 3)) <= free:
                return f"{words}: --size {short_side}p fits"
        return f"{words}: close what else uses the card, or use --backend openvino"

    def _memory_words(self) -> str:
        free, whole = self._cuda.free_bytes() / 2**30, self._card.memory_bytes / 2**30
        return f"{self._card.name} has {free:.1f} of {whole:.1f} GiB of memory free, too little"


def _find_gpu(device: str | None, nvidia: NvidiaInfo) -> Gpu:
    """The card that was asked for.

    Raises:
        DeviceMissingError: It is not here, or no card is.
    """
    kind, _, number = (device or "cuda").lower().partition(":")
    is_name = kind == "cuda" and (number or "0").isdecimal()
    if is_name and not nvidia.gpus:
        raise DeviceMissingError(f"TensorRT needs an NVIDIA card: {nvidia.problem}")
    if not is_name or int(number or 0) >= len(nvidia.gpus):
        here = ", ".join(card.device for card in nvidia.gpus) or "none"
        raise DeviceMissingError(f"TensorRT finds no device {device!r}; it finds {here}")
    return nvidia.gpus[int(number or 0)]


def _chosen_precision(
    engine: Engine, asked: RequestedPrecision, card: Gpu
) -> tuple[PlanPrecision, str]:
    if asked == "auto":
        best = best_precision(engine)
        has = "the engine has f16" if best == "f16" else "the engine has no f16"
        return best, f"{card.name} is here, and {has}"
    if asked == "int8":
        engine.path("int8")  # says so if there is none
    if asked == "int8" or asked == "bf16":
        raise BackendError(f"TensorRT does not run {asked} engines; ask for f16")
    return asked, ""

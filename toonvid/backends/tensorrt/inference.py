"""A plan on a card: memory for the size in use, and several frames in flight.

Leaves out which plan it is (`toonvid.backends.tensorrt.plan`), and what users are told of it
(`toonvid.backends.tensorrt.backend`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from toonvid.backends.tensorrt.cuda import Cuda, OutOfMemoryError
from toonvid.backends.tensorrt.library import TensorRTLibrary
from toonvid.engine import Engine
from toonvid.errors import BackendError
from toonvid.video import Pixels

if TYPE_CHECKING:
    from cuda.bindings.runtime import cudaEvent_t, cudaStream_t
    from tensorrt_rtx import IExecutionContext, IRuntimeCache

IN_FLIGHT = 3
"""Frames: one is copied to the card, one is worked on, one is copied back."""

_LEAST_SCRATCH = 256  # bytes, for networks that need none


class _Slot:
    """A frame in flight: its memory on both sides, its marks, and a context with its addresses."""

    def __init__(self, cuda: Cuda, context: IExecutionContext) -> None:
        self.context = context
        self.uploaded, self.computed, self.downloaded = (cuda.make_event() for _ in range(3))
        self.pinned: list[Pixels] = []
        self.addresses: list[int] = []

    @property
    def events(self) -> list[cudaEvent_t]:
        return [self.uploaded, self.computed, self.downloaded]


class Inference:
    """A plan on the card: slots that take turns, three streams, one scratch memory.

    Copies go through streams of their own, so that one frame is copied while another is worked on.
    Work itself is in one stream, and so the slots can share the memory for features.
    """

    def __init__(self, library: TensorRTLibrary, cuda: Cuda, engine: Engine) -> None:
        """Take no memory yet: see `open`."""
        self.shape: tuple[int, ...] = ()
        """(H, W, 3) of the frames for which there is memory; empty when there is none."""
        self._library, self._cuda = library, cuda
        self._names = (engine.card.input, engine.card.output)
        self._slots: list[_Slot] = []
        self._streams: list[cudaStream_t] = []
        self._scratch = 0  # address
        self._kernels: IRuntimeCache | None = None
        self._next = self._oldest = 0

    def open(self, plan: bytes, kernels: bytes | None) -> None:
        """Load a plan, and make contexts and streams.

        Args:
            plan: TensorRT's own.
            kernels: Compiled on this card before; None if there are none.

        Raises:
            OutOfMemoryError: The card has not enough memory for the plan.
            BackendError: It does not load, or is not a plan of this engine.
        """
        trt = self._library.trt
        self._library.complaints.clear()
        self._runtime = trt.Runtime(self._library.logger)
        self._loaded = self._runtime.deserialize_cuda_engine(plan)
        if self._loaded is None:
            raise self._failure("load its plan")
        self._check_contract()
        config = self._loaded.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        # What follows is in TensorRT-RTX alone.
        if hasattr(config, "cuda_graph_strategy"):
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            # The same kernels from the first frame on: a film that goes on must get the same bytes.
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
        if hasattr(config, "create_runtime_cache"):
            self._kernels = config.create_runtime_cache()
            if kernels is not None:
                self._kernels.deserialize(kernels)  # it refuses those of another card by itself
            config.set_runtime_cache(self._kernels)
        for _ in range(IN_FLIGHT):
            context = self._loaded.create_execution_context(config)
            if context is None:
                raise self._failure("make a context")
            self._slots.append(_Slot(self._cuda, context))
        self._streams = [self._cuda.make_stream() for _ in range(3)]

    def start(self, frame: Pixels) -> None:
        """Send one frame, (H, W, 3), on its way; a slot has to be free, and all for another size.

        Raises:
            OutOfMemoryError: The card has not enough memory for frames of this size.
            BackendError: TensorRT or CUDA fails.
        """
        if frame.shape != self.shape:
            self._reshape(frame.shape)
        cuda, slot = self._cuda, self._slots[self._next]
        upload, compute, download = self._streams
        [source, target], [given, made] = slot.pinned, slot.addresses
        source[...] = frame
        cuda.upload(given, source, upload)
        cuda.record(slot.uploaded, upload)
        cuda.let_wait(compute, slot.uploaded)
        if not slot.context.execute_async_v3(int(compute)):
            raise self._failure("run")
        cuda.record(slot.computed, compute)
        cuda.let_wait(download, slot.computed)
        cuda.download(target, made, download)
        cuda.record(slot.downloaded, download)
        self._next = (self._next + 1) % IN_FLIGHT

    def finish(self, target: Pixels) -> None:
        """Wait for the frame that was started first, and write its cartoon, (H, W, 3)."""
        slot = self._slots[self._oldest]
        self._cuda.wait(slot.downloaded)
        target[...] = slot.pinned[1]
        self._oldest = (self._oldest + 1) % IN_FLIGHT

    def settle(self) -> None:
        """Wait until the card is done; forget frames that nobody finished."""
        self._cuda.use()
        with suppress(BackendError):  # it was told when it happened
            self._cuda.wait_for_all(self._streams)
        self._next = self._oldest = 0

    def release(self) -> None:
        """Give the memory for frames back; the next frame makes it anew."""
        self.settle()
        self._free()

    def bytes_needed(self, shape: tuple[int, ...]) -> int:
        """Memory on the card for frames of a shape, (H, W, 3); there must be none for another."""
        return self._scratch_size(self._slots[0], shape) + IN_FLIGHT * 2 * int(np.prod(shape))

    def kernels(self) -> bytes | None:
        """What was compiled on this card; None where TensorRT compiles nothing then."""
        if self._kernels is None:
            return None
        serialized = self._kernels.serialize()
        return bytes(serialized) if serialized is not None else None

    def close(self) -> None:
        """Give everything back to the card."""
        with suppress(BackendError):
            self.release()
        events = [event for slot in self._slots for event in slot.events]
        self._slots.clear()  # contexts go before what they use
        self._cuda.destroy(self._streams, events)
        self._streams = []
        self._kernels = self._loaded = self._runtime = None

    def _reshape(self, shape: tuple[int, ...]) -> None:
        """Make memory for frames of another size."""
        self.release()
        try:
            sizes = [self._scratch_size(slot, shape) for slot in self._slots]
            scratch_size = max(*sizes, _LEAST_SCRATCH)
            self._scratch = self._cuda.allocate(scratch_size)
            for slot in self._slots:
                self._furnish(slot, shape, scratch_size)
        except BaseException:
            self._free()
            raise
        self.shape = shape

    def _scratch_size(self, slot: _Slot, shape: tuple[int, ...]) -> int:
        """Tell a context the size of frames; the bytes that it needs for their features."""
        size = "x".join(str(side) for side in (1, *shape))
        if not slot.context.set_input_shape(self._names[0], (1, *shape)):
            raise self._failure(f"take frames of {size}")
        needed = int(slot.context.update_device_memory_size_for_shapes())
        if tuple(slot.context.get_tensor_shape(self._names[1])) != (1, *shape):
            raise BackendError(
                f"TensorRT failed with frames of {size}: the engine makes pictures of another size"
            )
        return needed

    def _furnish(self, slot: _Slot, shape: tuple[int, ...], scratch_size: int) -> None:
        """Give a slot its memory, and its context the addresses."""
        for name in self._names:
            slot.addresses.append(self._cuda.allocate(int(np.prod(shape))))
            slot.pinned.append(self._cuda.allocate_pinned(shape))
            if not slot.context.set_tensor_address(name, slot.addresses[-1]):
                raise self._failure("take its memory")
        self._library.complaints.clear()
        slot.context.set_device_memory(self._scratch, scratch_size)
        if self._library.complaints:  # the only way in which it tells
            raise self._failure("take its memory")

    def _free(self) -> None:
        """Give memory back; the streams have to be empty."""
        self.shape = ()
        for slot in self._slots:
            while slot.addresses:
                self._cuda.free(slot.addresses.pop())
            while slot.pinned:
                self._cuda.free_pinned(slot.pinned.pop())
        if self._scratch:
            self._cuda.free(self._scratch)
        self._scratch = 0

    def _check_contract(self) -> None:
        """See that the plan is one of this engine."""
        loaded = self._loaded
        names = [loaded.get_tensor_name(at) for at in range(loaded.num_io_tensors)]
        kinds = [loaded.get_tensor_dtype(name).name for name in names]
        if tuple(names) != self._names or kinds != ["UINT8"] * 2:
            raise BackendError(f"the plan holds {', '.join(names)}, not {', '.join(self._names)}")

    def _failure(self, what: str) -> BackendError:
        if self._library.is_out_of_memory():
            self._library.complaints.clear()
            return OutOfMemoryError("the card is out of memory")
        return BackendError(f"TensorRT cannot {what}: {self._library.take_complaint()}")

"""Inference: a plan on the GPU, with memory for one size of frames and several frames in flight.

In: the bytes of a plan, then single frames, (H, W, 3) uint8, RGB. Out: their cartoons, in order.
Which plan is run is left to `plan`, messages for users to `backend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toonvid.backends.contract import check_cartoons, probe_shape
from toonvid.backends.tensorrt.cuda import Cuda, OutOfMemoryError
from toonvid.backends.tensorrt.library import TensorRTLibrary
from toonvid.choices import ControlName
from toonvid.engine import Engine
from toonvid.errors import BackendError
from toonvid.video import Pixels

if TYPE_CHECKING:
    from cuda.bindings.runtime import cudaEvent_t, cudaStream_t
    from tensorrt_rtx import IExecutionContext, IRuntimeCache, IRuntimeConfig

IN_FLIGHT = 3
"""Number of frames in flight: one is uploaded, one is computed, one is downloaded."""

_CONTROL_BYTES = 4  # one float32
_MIN_SCRATCH_BYTES = 256  # for networks that need none: an allocation of 0 bytes has no address


class _Slot:
    """Place of a frame in flight: memory on host and GPU, events, and an execution context."""

    def __init__(self, cuda: Cuda, context: IExecutionContext) -> None:
        self.context = context
        self.uploaded, self.computed, self.downloaded = (cuda.make_event() for _ in range(3))
        self.pinned: list[Pixels] = []  # frame and cartoon in page-locked host memory
        self.addresses: list[int] = []  # frame and cartoon in GPU memory

    @property
    def events(self) -> list[cudaEvent_t]:
        return [self.uploaded, self.computed, self.downloaded]


@dataclass(frozen=True)
class _ControlMemory:
    """Memory of one control, `_CONTROL_BYTES` long."""

    pinned: Pixels
    """Page-locked host memory."""
    address: int
    """Device address."""


class Inference:
    """A plan on the GPU: slots that take turns, three streams, one shared scratch memory.

    Uploads and downloads have streams of their own, so that one frame is copied while another is
    computed. All computation is in one stream, in which slots never overlap; this is why they can
    share the scratch memory, which holds the feature maps and is by far the largest allocation.
    """

    def __init__(self, library: TensorRTLibrary, cuda: Cuda, engine: Engine) -> None:
        """Prepare; GPU memory is allocated by `open` and by the first frame."""
        self.shape: tuple[int, ...] = ()
        """(H, W, 3) of the frames that memory is allocated for; empty if for none."""
        self._library, self._cuda, self._engine = library, cuda, engine
        self._names = (engine.card.input, engine.card.output)
        # Name of each control -> its memory: a value, (1,) float32, that all slots share.
        self._controls: dict[ControlName, _ControlMemory] = {}
        self._control_names = tuple(engine.card.controls)
        self._control_values: dict[ControlName, float] = {}
        self._slots: list[_Slot] = []
        self._streams: list[cudaStream_t] = []
        self._scratch = 0  # device address; 0: none is allocated
        self._kernels: IRuntimeCache | None = None
        self._next = self._oldest = 0  # indices of slots

    def open(self, plan: bytes, kernels: bytes | None) -> None:
        """Load a plan, and create execution contexts and streams.

        Args:
            plan: Plan as TensorRT serializes it.
            kernels: Kernels that were compiled for the plan on this GPU earlier. None: none.

        Raises:
            OutOfMemoryError: The GPU has too little memory for the plan.
            BackendError: The plan does not load, or is not one of this engine.
        """
        self._library.errors.clear()
        self._runtime = self._library.make("Runtime")
        self._loaded = self._runtime.deserialize_cuda_engine(plan)
        if self._loaded is None:
            raise self._failure("load its plan")
        self._check_contract()
        config = self._make_runtime_config(kernels)
        for _ in range(IN_FLIGHT):
            context = self._loaded.create_execution_context(config)
            if context is None:
                raise self._failure("create an execution context")
            self._slots.append(_Slot(self._cuda, context))
        self._check_output_size()
        self._streams = [self._cuda.make_stream() for _ in range(3)]
        for name in self._control_names:
            self._allocate_control(name)

    def set_controls(self, values: Mapping[ControlName, float]) -> None:
        """Set the values of the controls for all frames from now on; no frame may be in flight.

        Args:
            values: A value for each control of the engine.
        """
        if values == self._control_values:
            return
        upload = self._streams[0]
        for name, value in values.items():
            memory = self._controls[name]
            memory.pinned.view(np.float32)[0] = value
            # Every computation waits for the upload of its frame, which is behind this one in the
            # stream. A CUDA graph holds the address of the value, and not the value.
            self._cuda.upload(memory.address, memory.pinned, upload)
        self._cuda.synchronize([upload])  # so that the next call may write to the pinned memory
        self._control_values = dict(values)

    def start(self, frame: Pixels) -> None:
        """Enqueue upload, computation and download of a frame, and return at once.

        Args:
            frame: (H, W, 3) uint8, RGB. It is copied before the method returns. Fewer than
                `IN_FLIGHT` frames may be in flight; none if the size changes.

        Raises:
            OutOfMemoryError: The GPU has too little memory for frames of this size.
            BackendError: TensorRT or CUDA fails.
        """
        if frame.shape != self.shape:
            self._reshape(frame.shape)
        cuda, slot = self._cuda, self._slots[self._next]
        upload, compute, download = self._streams
        [source, target], [input_address, output_address] = slot.pinned, slot.addresses
        source[...] = frame  # one copy into pinned memory, which the GPU reads later
        cuda.upload(input_address, source, upload)
        cuda.record(slot.uploaded, upload)
        cuda.make_stream_wait(compute, slot.uploaded)
        if not slot.context.execute_async_v3(int(compute)):
            raise self._failure("run")
        cuda.record(slot.computed, compute)
        cuda.make_stream_wait(download, slot.computed)
        cuda.download(target, output_address, download)
        cuda.record(slot.downloaded, download)
        self._next = (self._next + 1) % IN_FLIGHT

    def finish(self, target: Pixels) -> None:
        """Wait for the oldest frame in flight, and copy its cartoon into `target`, (H, W, 3)."""
        slot = self._slots[self._oldest]
        self._cuda.wait(slot.downloaded)
        target[...] = slot.pinned[1]
        self._oldest = (self._oldest + 1) % IN_FLIGHT

    def drain(self) -> None:
        """Wait until the GPU is idle, and drop frames in flight that were not finished."""
        with suppress(BackendError):  # an earlier error, which CUDA repeats
            self._cuda.use()
            self._cuda.synchronize(self._streams)
        self._next = self._oldest = 0

    def release(self) -> None:
        """Free the memory for frames; the next frame allocates it again."""
        self.drain()
        self._free()

    def bytes_needed(self, shape: tuple[int, ...]) -> int:
        """Return the GPU memory that frames of a shape, (H, W, 3), need. Call `release` first."""
        return self._scratch_size(self._slots[0], shape) + IN_FLIGHT * 2 * int(np.prod(shape))

    def compiled_kernels(self) -> bytes | None:
        """Return the kernels that were compiled on this GPU; None if TensorRT compiles none."""
        if self._kernels is None:
            return None
        serialized = self._kernels.serialize()
        return bytes(serialized) if serialized is not None else None

    def close(self) -> None:
        """Free everything on the GPU."""
        with suppress(BackendError):
            self.release()
            for memory in self._controls.values():
                self._cuda.free(memory.address)
                self._cuda.free_pinned(memory.pinned)
        self._controls = {}
        events = [event for slot in self._slots for event in slot.events]
        self._slots.clear()  # contexts must go before the streams that they use
        self._cuda.destroy(self._streams, events)
        self._streams = []
        self._kernels = self._loaded = self._runtime = None

    def _make_runtime_config(self, kernels: bytes | None) -> IRuntimeConfig:
        """Configure execution: own scratch memory, and kernels that never change."""
        trt = self._library.trt
        config: IRuntimeConfig = self._loaded.create_runtime_config()
        # By default each context allocates its own scratch memory, for the plan's largest frames.
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        # The rest of the configuration exists in TensorRT-RTX only, which compiles kernels at run
        # time. A kernel that is specialized for a size after the first frames may round otherwise
        # than the one before it, and a resumed conversion must give the same bytes: hence EAGER.
        if hasattr(config, "cuda_graph_strategy"):
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
        if hasattr(config, "create_runtime_cache"):
            self._kernels = config.create_runtime_cache()
            if kernels is not None:
                self._kernels.deserialize(kernels)  # which ignores kernels of another GPU
            config.set_runtime_cache(self._kernels)
        return config

    def _reshape(self, shape: tuple[int, ...]) -> None:
        """Allocate memory for frames of another size, (H, W, 3)."""
        self.release()  # first, because memory for both sizes may not fit
        try:
            sizes = [self._scratch_size(slot, shape) for slot in self._slots]
            scratch_size = max(*sizes, _MIN_SCRATCH_BYTES)
            self._scratch = self._cuda.allocate(scratch_size)
            for slot in self._slots:
                self._allocate_slot(slot, shape, scratch_size)
        except BaseException:
            self._free()
            raise
        self.shape = shape

    def _scratch_size(self, slot: _Slot, shape: tuple[int, ...]) -> int:
        """Set the size of a context's frames; return the bytes that it needs for feature maps."""
        size = "x".join(str(side) for side in (1, *shape))
        if not slot.context.set_input_shape(self._names[0], (1, *shape)):
            raise self._failure(f"take frames of {size}")
        needed = int(slot.context.update_device_memory_size_for_shapes())
        found = tuple(slot.context.get_tensor_shape(self._names[1]))
        check_cartoons(self._engine, (1, *shape), found)
        return needed

    def _check_output_size(self) -> None:
        """Ask for the shape of the output for a small frame, before there is any memory for it."""
        self._scratch_size(self._slots[0], probe_shape(self._engine)[1:])

    def _allocate_control(self, name: ControlName) -> None:
        """Allocate the memory of a control, and tell all contexts its address."""
        pinned = self._cuda.allocate_pinned((_CONTROL_BYTES,))
        memory = _ControlMemory(pinned, self._cuda.allocate(_CONTROL_BYTES))
        self._controls[name] = memory
        for slot in self._slots:
            if not slot.context.set_tensor_address(name, memory.address):
                raise self._failure("use its memory")

    def _allocate_slot(self, slot: _Slot, shape: tuple[int, ...], scratch_size: int) -> None:
        """Allocate the memory of a slot, and tell its context the addresses."""
        for name in self._names:
            slot.addresses.append(self._cuda.allocate(int(np.prod(shape))))
            slot.pinned.append(self._cuda.allocate_pinned(shape))
            if not slot.context.set_tensor_address(name, slot.addresses[-1]):
                raise self._failure("use its memory")
        self._library.errors.clear()
        slot.context.set_device_memory(self._scratch, scratch_size)
        if self._library.errors:  # the method returns nothing
            raise self._failure("use its memory")

    def _free(self) -> None:
        """Free the memory for frames. The streams must be empty."""
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
        """Check that the plan has the input and the output that the engine's card names."""
        loaded = self._loaded
        names = [loaded.get_tensor_name(at) for at in range(loaded.num_io_tensors)]
        kinds = {name: loaded.get_tensor_dtype(name).name for name in names}
        wanted: dict[str, str] = dict.fromkeys(self._names, "UINT8")
        wanted |= dict.fromkeys(self._control_names, "FLOAT")
        if kinds != wanted:
            raise BackendError(f"the plan holds {', '.join(names)}, not {', '.join(wanted)}")

    def _failure(self, what: str) -> BackendError:
        if self._library.is_out_of_memory():
            self._library.errors.clear()
            return OutOfMemoryError("the GPU is out of memory")
        return BackendError(f"TensorRT cannot {what}: {self._library.take_error()}")

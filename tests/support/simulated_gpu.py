"""A simulated GPU. NOTHING IN THIS FILE SHOWS THAT ANYTHING WORKS ON A REAL ONE.

It has streams, events and memory as CUDA's manual describes them, and a plan that inverts frames.
Work is not done when it is enqueued but later, and streams advance in any order that events allow;
device memory is host memory. Code that copies too early, waits for too little or frees too soon
gives wrong frames here. That is its only purpose.
"""

from __future__ import annotations

import ctypes
import random
from collections import deque
from types import SimpleNamespace

import numpy as np

from support.tiny_engines import CONTROLS, controlled_cartoon

SUCCESS, INVALID, OUT_OF_MEMORY = 0, 1, 2
CONTEXT_BYTES = 1000
SCRATCH_BYTES_PER_PIXEL = 16


class Event:
    """A CUDA event: how often it was recorded, and how often that point was reached."""

    def __init__(self) -> None:
        self.recorded = self.reached = 0


class Stream(deque):
    """Work to do, oldest first: functions that return whether they could run."""

    def __int__(self) -> int:
        return id(self)


class SimulatedCuda:
    """Stands in for the module `cuda.bindings.runtime`."""

    cudaStreamNonBlocking, cudaEventDisableTiming, cudaEventBlockingSync = 1, 2, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down")

    def __init__(self, memory_bytes: int = 2**28, seed: int = 0) -> None:
        self.memory_bytes = memory_bytes
        self.blocks: dict[int, ctypes.Array] = {}
        self.pinned: dict[int, ctypes.Array] = {}
        self.streams: list[Stream] = []
        self.events: list[Event] = []
        self.max_streams_at_once = 0
        self.max_bytes = 0
        self.random = random.Random(seed)

    @property
    def used_bytes(self) -> int:
        return sum(map(len, self.blocks.values()))

    def cudaGetDeviceCount(self):
        return SUCCESS, 1

    def cudaSetDevice(self, index):
        return (SUCCESS,)

    def cudaGetErrorString(self, error):
        return SUCCESS, b"invalid argument"

    def cudaMemGetInfo(self):
        return SUCCESS, self.memory_bytes - self.used_bytes, self.memory_bytes

    def cudaMalloc(self, size):
        if self.used_bytes + size > self.memory_bytes:
            return OUT_OF_MEMORY, 0
        address = self._allocate(self.blocks, size)
        self.max_bytes = max(self.max_bytes, self.used_bytes)
        return SUCCESS, address

    def cudaFree(self, address):
        self._assert_idle()
        del self.blocks[address]
        return (SUCCESS,)

    def cudaHostAlloc(self, size, flags):
        return SUCCESS, self._allocate(self.pinned, size)

    def cudaFreeHost(self, address):
        self._assert_idle()
        del self.pinned[address]
        return (SUCCESS,)

    def cudaStreamCreateWithFlags(self, flags):
        self.streams.append(Stream())
        return SUCCESS, self.streams[-1]

    def cudaStreamDestroy(self, stream):
        assert not stream
        self.streams = [kept for kept in self.streams if kept is not stream]
        return (SUCCESS,)

    def cudaEventCreateWithFlags(self, flags):
        self.events.append(Event())
        return SUCCESS, self.events[-1]

    def cudaEventDestroy(self, event):
        self.events.remove(event)
        return (SUCCESS,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        there, here = (target, source) if kind == "up" else (source, target)
        if len(self.blocks[there]) < size or len(self.pinned[here]) < size:
            return (INVALID,)
        self.enqueue(stream, lambda: ctypes.memmove(target, source, size))
        return (SUCCESS,)

    def cudaEventRecord(self, event, stream):
        event.recorded += 1
        turn = event.recorded
        self.enqueue(stream, lambda: setattr(event, "reached", turn))
        return (SUCCESS,)

    def cudaStreamWaitEvent(self, stream, event, flags):
        turn = event.recorded
        stream.append(lambda: event.reached >= turn)
        return (SUCCESS,)

    def cudaEventSynchronize(self, event):
        while event.reached < event.recorded:
            self._step()
        return (SUCCESS,)

    def cudaStreamSynchronize(self, stream):
        while stream:
            self._step()
        return (SUCCESS,)

    def enqueue(self, stream, work) -> None:
        stream.append(lambda: work() or True)
        self.max_streams_at_once = max(self.max_streams_at_once, sum(map(bool, self.streams)))

    def view(self, address: int, shape: tuple[int, ...]) -> np.ndarray:
        block = self.blocks[address]
        return np.frombuffer(block, np.uint8, int(np.prod(shape))).reshape(shape)

    def _step(self) -> None:
        """Run the first piece of work of a random stream that can advance."""
        waiting = [stream for stream in self.streams if stream]
        assert waiting, "waits for work that was never enqueued"
        self.random.shuffle(waiting)
        for stream in waiting:
            if stream[0]():
                stream.popleft()
                return
        raise AssertionError("all streams wait for each other")

    def _allocate(self, memory: dict[int, ctypes.Array], size: int) -> int:
        block = (ctypes.c_uint8 * size)()
        memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def _assert_idle(self) -> None:
        assert not any(self.streams), "memory is freed while it is in use"


class SimulatedContext:
    """Stands in for an `IExecutionContext` of a plan with the tensors `frame` and `cartoon`.

    With the controls `ink` and `tones`, the plan is `tiny_engines.controlled_engine`.
    """

    def __init__(self, cuda: SimulatedCuda) -> None:
        self.cuda = cuda
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}
        self.scratch: tuple[int, int] = (0, 0)

    def set_input_shape(self, name, shape):
        assert name == "frame"
        self.shape = tuple(shape)
        self.scratch = (0, 0)
        return True

    def get_tensor_shape(self, name):
        return self.shape

    def update_device_memory_size_for_shapes(self):
        return SCRATCH_BYTES_PER_PIXEL * self.shape[1] * self.shape[2]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_device_memory(self, memory, size):
        assert size >= self.update_device_memory_size_for_shapes()
        assert len(self.cuda.blocks[memory]) >= size
        self.scratch = (memory, size)

    def execute_async_v3(self, number):
        [stream] = [stream for stream in self.cuda.streams if int(stream) == number]
        source = self.cuda.view(self.addresses["frame"], self.shape)
        target = self.cuda.view(self.addresses["cartoon"], self.shape)
        assert self.scratch[1], "no memory for feature maps"
        if "ink" not in self.addresses:
            self.cuda.enqueue(stream, lambda: np.subtract(255, source, out=target) is None)
            return True
        ink, tones = (
            self.cuda.view(self.addresses[name], (4,)).view(np.float32) for name in ("ink", "tones")
        )

        def draw() -> None:
            target[...] = controlled_cartoon(source, ink[0], tones[0])

        self.cuda.enqueue(stream, draw)
        return True


class SimulatedKernels:
    """Stands in for an `IRuntimeCache`."""

    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, content):
        self.content = bytes(content)
        return True

    def serialize(self):
        return self.content or b"compiled"


def simulated_runtime(trt, cuda: SimulatedCuda, loads, names: tuple[str, ...]):
    """Return a stand-in for the module `trt` whose plans run on the simulated GPU."""

    class Plan:
        num_io_tensors = len(names)

        def get_tensor_name(self, at):
            return names[at]

        def get_tensor_dtype(self, name):
            return trt.DataType.FLOAT if name in CONTROLS else trt.DataType.UINT8

        def create_runtime_config(self):
            return SimpleNamespace(
                cuda_graph_strategy=None,
                dynamic_shapes_kernel_specialization_strategy=None,
                set_execution_context_allocation_strategy=lambda strategy: None,
                create_runtime_cache=SimulatedKernels,
                set_runtime_cache=lambda cache: True,
            )

        def create_execution_context(self, config):
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            assert config.cuda_graph_strategy == trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            assert config.dynamic_shapes_kernel_specialization_strategy == eager
            return SimulatedContext(cuda)

    class Runtime:
        def __init__(self, logger) -> None:
            pass

        def deserialize_cuda_engine(self, plan):
            return Plan() if loads(plan) else None

    others = {name: getattr(trt, name) for name in dir(trt) if not name.startswith("__")}
    return SimpleNamespace(**others | {"Runtime": Runtime})

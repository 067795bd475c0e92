"""The little of CUDA that running a plan takes: memory, streams and events of one card.

Through `cuda-bindings`, which comes with the extra `tensorrt` and needs no CUDA toolkit.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, SupportsInt

import numpy as np

from toonvid.backends.tensorrt.library import TENSORRT_INSTALL
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.ffmpeg.nvidia import NvidiaInfo
from toonvid.video import Pixels

if TYPE_CHECKING:
    from cuda.bindings.runtime import cudaEvent_t, cudaStream_t

_INSUFFICIENT_DRIVER = 35  # cudaErrorInsufficientDriver
_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class OutOfMemoryError(BackendError):
    """The card has not enough free memory; told to users with the size that fits."""


class Cuda:
    """One card. What is made here is given back here; nothing is freed by itself."""

    def __init__(self, index: int, nvidia: NvidiaInfo) -> None:
        """Load CUDA and see that the driver is new enough for it.

        Raises:
            DeviceMissingError: `cuda-bindings` is missing, or the driver is too old.
        """
        try:
            self._runtime = import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DeviceMissingError(f"cuda-bindings is missing: {TENSORRT_INSTALL}") from error
        self._index = index
        failed, _ = self._runtime.cudaGetDeviceCount()
        if int(failed) == _INSUFFICIENT_DRIVER:
            _, needed = self._runtime.cudaRuntimeGetVersion()
            raise DeviceMissingError(
                f"the NVIDIA driver is too old: it knows CUDA {nvidia.cuda},"
                f" and {needed // 1000}.0 is needed; update the driver"
            )
        self.use()

    def use(self) -> None:
        """Let this thread's calls go to this card."""
        self._call("cudaSetDevice", self._index)

    def free_bytes(self) -> int:
        """What of the card's memory nobody uses."""
        free, _ = self._call("cudaMemGetInfo")
        return int(free)

    def allocate(self, size: int) -> int:
        """Memory on the card.

        Returns:
            Its address, a multiple of 256.

        Raises:
            OutOfMemoryError: There is not so much.
        """
        [address] = self._call("cudaMalloc", size)
        return int(address)

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def allocate_pinned(self, shape: tuple[int, ...]) -> Pixels:
        """Memory of the host that the card copies from and to by itself; for `free_pinned`."""
        size = int(np.prod(shape))
        [address] = self._call("cudaHostAlloc", size, 0)
        buffer = (ctypes.c_uint8 * size).from_address(int(address))
        return np.ctypeslib.as_array(buffer).reshape(shape)

    def free_pinned(self, pixels: Pixels) -> None:
        self._call("cudaFreeHost", pixels.ctypes.data)

    def make_stream(self) -> cudaStream_t:
        """A queue of work; queues run side by side, and none waits for the default one."""
        [stream] = self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)
        return stream

    def make_event(self) -> cudaEvent_t:
        """A mark in a queue."""
        [event] = self._call("cudaEventCreateWithFlags", self._runtime.cudaEventDisableTiming)
        return event

    def upload(self, address: int, pixels: Pixels, stream: cudaStream_t) -> None:
        """Copy pinned pixels to the card, when their turn in the stream comes."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = pixels.ctypes.data
        self._call("cudaMemcpyAsync", address, source, pixels.nbytes, kind, stream)

    def download(self, pixels: Pixels, address: int, stream: cudaStream_t) -> None:
        """Copy from the card into pinned pixels, when its turn in the stream comes."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = pixels.ctypes.data
        self._call("cudaMemcpyAsync", target, address, pixels.nbytes, kind, stream)

    def record(self, event: cudaEvent_t, stream: cudaStream_t) -> None:
        """Set the mark behind all that is in the stream now."""
        self._call("cudaEventRecord", event, stream)

    def let_wait(self, stream: cudaStream_t, event: cudaEvent_t) -> None:
        """Hold what comes later in the stream until the mark is reached."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: cudaEvent_t) -> None:
        """Hold this thread until the mark is reached."""
        self._call("cudaEventSynchronize", event)

    def wait_for_all(self, streams: list[cudaStream_t]) -> None:
        """Hold this thread until the streams are empty."""
        for stream in streams:
            self._call("cudaStreamSynchronize", stream)

    def destroy(self, streams: list[cudaStream_t], events: list[cudaEvent_t]) -> None:
        """Give streams and events back; a card that has failed may refuse, and that is no news."""
        with suppress(BackendError):
            for event in events:
                self._call("cudaEventDestroy", event)
            for stream in streams:
                self._call("cudaStreamDestroy", stream)

    def _call(self, name: str, *arguments: object) -> tuple[SupportsInt, ...]:
        """Call CUDA; its answer without the error code."""
        failed, *answer = getattr(self._runtime, name)(*arguments)
        if not int(failed):
            return tuple(answer)
        _, words = self._runtime.cudaGetErrorString(failed)
        if int(failed) == _OUT_OF_MEMORY:
            raise OutOfMemoryError("the card is out of memory")
        raise BackendError(f"CUDA failed in {name}: {words.decode()}")

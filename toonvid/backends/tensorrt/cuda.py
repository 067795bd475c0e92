"""The CUDA calls that running a plan needs: memory, streams and events of one GPU.

In: the index of a GPU. Out: device addresses, pinned arrays, streams and events, which the caller
gives back. CUDA is called through `cuda-bindings`, which comes with the extra `tensorrt` and needs
no CUDA toolkit.
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
    """The GPU has too little free memory. The backend turns it into advice for the user."""


class Cuda:
    """One GPU. Nothing is freed by itself: what is allocated here must be freed here."""

    def __init__(self, index: int, nvidia: NvidiaInfo) -> None:
        """Load CUDA, and check that the driver is new enough for it.

        Args:
            index: Number of the GPU, as CUDA counts.
            nvidia: The driver, for the message.

        Raises:
            DeviceMissingError: `cuda-bindings` is missing, or the driver is too old.
        """
        try:  # not at the top of the file, because the package is an extra
            self._runtime = import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DeviceMissingError(f"cuda-bindings is missing: {TENSORRT_INSTALL}") from error
        self._index = index
        # The first call that needs the driver tells whether it is too old.
        failed, _ = self._runtime.cudaGetDeviceCount()
        if int(failed) == _INSUFFICIENT_DRIVER:
            _, needed = self._runtime.cudaRuntimeGetVersion()
            raise DeviceMissingError(
                f"the NVIDIA driver is too old: it knows CUDA {nvidia.cuda},"
                f" and {needed // 1000}.0 is needed; update the driver"
            )
        self.use()

    def use(self) -> None:
        """Make this the GPU of the calling thread's CUDA calls."""
        self._call("cudaSetDevice", self._index)

    def free_bytes(self) -> int:
        """Return how many bytes of the GPU's memory are free."""
        free, _ = self._call("cudaMemGetInfo")
        return int(free)

    def allocate(self, size: int) -> int:
        """Allocate GPU memory.

        Args:
            size: In bytes.

        Returns:
            Device address, a multiple of 256.

        Raises:
            OutOfMemoryError: The GPU has too little free memory.
        """
        [address] = self._call("cudaMalloc", size)
        return int(address)

    def free(self, address: int) -> None:
        """Free what `allocate` returned."""
        self._call("cudaFree", address)

    def allocate_pinned(self, shape: tuple[int, ...]) -> Pixels:
        """Allocate page-locked host memory as a uint8 array, to be freed by `free_pinned`.

        Copies between the GPU and any other host memory would block the calling thread.
        """
        size = int(np.prod(shape))
        [address] = self._call("cudaHostAlloc", size, 0)
        # The array does not own this memory, so NumPy never frees it.
        buffer = (ctypes.c_uint8 * size).from_address(int(address))
        return np.ctypeslib.as_array(buffer).reshape(shape)

    def free_pinned(self, pixels: Pixels) -> None:
        """Free what `allocate_pinned` returned. The array must not be used any more."""
        self._call("cudaFreeHost", pixels.ctypes.data)

    def make_stream(self) -> cudaStream_t:
        """Create a stream that does not wait for the default stream."""
        [stream] = self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)
        return stream

    def make_event(self) -> cudaEvent_t:
        """Create an event. It records no time, which would cost a synchronization.

        Who waits for it sleeps: by default the thread would keep a core busy, which decoder and
        encoder can use.
        """
        flags = self._runtime.cudaEventDisableTiming | self._runtime.cudaEventBlockingSync
        [event] = self._call("cudaEventCreateWithFlags", flags)
        return event

    def upload(self, address: int, pixels: Pixels, stream: cudaStream_t) -> None:
        """Enqueue a copy of pinned pixels to a device address."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = pixels.ctypes.data
        self._call("cudaMemcpyAsync", address, source, pixels.nbytes, kind, stream)

    def download(self, pixels: Pixels, address: int, stream: cudaStream_t) -> None:
        """Enqueue a copy from a device address into pinned pixels."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = pixels.ctypes.data
        self._call("cudaMemcpyAsync", target, address, pixels.nbytes, kind, stream)

    def record(self, event: cudaEvent_t, stream: cudaStream_t) -> None:
        """Record an event behind everything that is in the stream now."""
        self._call("cudaEventRecord", event, stream)

    def make_stream_wait(self, stream: cudaStream_t, event: cudaEvent_t) -> None:
        """Hold back later work in a stream until an event is reached."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: cudaEvent_t) -> None:
        """Block the calling thread until an event is reached."""
        self._call("cudaEventSynchronize", event)

    def synchronize(self, streams: list[cudaStream_t]) -> None:
        """Block the calling thread until the streams are empty."""
        for stream in streams:
            self._call("cudaStreamSynchronize", stream)

    def destroy(self, streams: list[cudaStream_t], events: list[cudaEvent_t]) -> None:
        """Destroy streams and events.

        Errors are ignored: after a failure CUDA repeats the same error in every call.
        """
        with suppress(BackendError):
            for event in events:
                self._call("cudaEventDestroy", event)
            for stream in streams:
                self._call("cudaStreamDestroy", stream)

    def _call(self, name: str, *arguments: object) -> tuple[SupportsInt, ...]:
        """Call a function of the CUDA runtime; return its results without the error code."""
        failed, *results = getattr(self._runtime, name)(*arguments)
        if not int(failed):
            return tuple(results)
        _, words = self._runtime.cudaGetErrorString(failed)
        if int(failed) == _OUT_OF_MEMORY:
            raise OutOfMemoryError("the GPU is out of memory")
        raise BackendError(f"CUDA failed in {name}: {words.decode()}")

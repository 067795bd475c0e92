"""The interface of all backends, and checks that an engine's graph keeps the engine contract.

The contract: one input `frame` and one output `cartoon`, both (N, H, W, 3) uint8, RGB. Each backend
reads types and shapes through its own library and has them checked here, so that every library's
refusal reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError
from toonvid.video import Pixels


class Backend(Protocol):
    """An engine that is loaded on one device. A context manager, for one thread at a time."""

    engine: Engine
    name: str
    """Name of the backend: `openvino`, `tensorrt` or `onnxruntime`."""
    device: str
    """Device in use, under the library's name for it: `CPU`, `cuda:0`."""
    precision: Precision
    """Precision in which the engine computes."""
    reason: str
    """Why this backend, device and precision were chosen; empty if the caller named them."""
    batch_size: int
    """Number of frames per call of `run` at which it is fastest."""

    def run(self, frames: Pixels) -> Pixels:
        """Turn frames into cartoons, and wait for the result.

        Args:
            frames: (N, H, W, 3) uint8, RGB. H and W are multiples of the card's `multiple_of`.

        Returns:
            (N, H, W, 3) uint8, RGB. The array belongs to the caller.

        Raises:
            BackendError: The library fails, for instance because memory is short.
        """
        ...

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """Turn batches into cartoons, in order; each as `run` would.

        A backend may take further batches before it yields the cartoons of the first, so that
        copies and arithmetic overlap. A caller that cannot wait for the next batch, such as live
        video, calls `run`.

        Args:
            batches: Each as in `run`; sizes may change from batch to batch.

        Yields:
            One array per batch, as `run` returns it.

        Raises:
            BackendError: As in `run`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_port(
    engine: Engine, role: Literal["input", "output"], names: Sequence[str], fits: bool, found: str
) -> None:
    """Check one side of an engine's graph: it must be a single uint8 (N, H, W, 3) tensor.

    Args:
        engine: Its card holds the expected name.
        role: Side of the graph.
        names: Names of all tensors that the graph has on this side.
        fits: Whether type and shape agree with the contract, as far as the library knows them.
        found: Type and shape of the tensor, for the message.

    Raises:
        BackendError: The graph does not keep the contract.
    """
    style, name = engine.card.style, getattr(engine.card, role)
    if list(names) != [name]:
        raise BackendError(f"engine {style} has no single {role} {name!r}")
    if not fits:
        raise BackendError(f"engine {style}: {role} is {found}, not uint8 (N, H, W, 3)")


def frames_failed(library: str, shape: Sequence[int], reason: str) -> BackendError:
    """Return the error to raise when a library fails with frames of a shape, (N, H, W, 3)."""
    size = "x".join(str(side) for side in shape)
    return BackendError(f"{library} failed with frames of {size}: {reason}")


def one_line(error: Exception | str, which: Literal["first", "last"] = "first") -> str:
    """Return the line of a long message that says most; each library puts it at one end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0 if which == "first" else -1] if lines else "unknown error"

"""The interface of all backends, and checks that an engine's graph keeps the engine contract.

The contract: one input `frame` and one output `cartoon`, both (N, H, W, 3) uint8, RGB; and for each
control of the card an input of its name, (1,) float32. Each backend reads types and shapes through
its own library and has them checked here, so that every library's refusal reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from toonvid.choices import ControlName
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError
from toonvid.video import Pixels

_PROBE_SIDES = (64, 96)  # height and width in pixels: two sides that cannot be mistaken

ControlValues: TypeAlias = Mapping[ControlName, float]
"""Values of an engine's controls, by name. Those that are missing have the card's default."""


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

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Begin to get ready to `stream` frames of a shape, and return at once.

        The next `run` or `stream` waits until that is done. What fails is reported there. A backend
        that takes no time for a new shape does nothing.

        Args:
            shape: (N, H, W, 3), as `stream` will be given it.
        """
        ...

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        """Turn frames into cartoons, and wait for the result.

        Args:
            frames: (N, H, W, 3) uint8, RGB. H and W are multiples of the card's `multiple_of`.
            controls: How the engine draws; None for its defaults. Other values than those of the
                call before cost no time.

        Returns:
            (N, H, W, 3) uint8, RGB. The array belongs to the caller.

        Raises:
            BackendError: The library fails, for instance because memory is short.
            ControlError: The engine has no such control, or the value is outside its range.
        """
        ...

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """Turn batches into cartoons, in order; each as `run` would.

        A backend may take further batches before it yields the cartoons of the first, so that
        copies and arithmetic overlap. A caller that cannot wait for the next batch, such as live
        video, calls `run`.

        Args:
            batches: Each as in `run`; sizes may change from batch to batch.
            controls: As in `run`, for all batches.

        Yields:
            One array per batch, as `run` returns it.

        Raises:
            BackendError, ControlError: As in `run`. A `BackendError` also where another stream has
                not ended and the backend cannot have two.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class Port:
    """An input or output of an engine's graph, as a library describes it."""

    is_image: bool
    """Whether it may be uint8 (N, H, W, 3), as far as the library knows type and shape."""
    is_scalar: bool
    """Whether it is float32 (1,)."""
    found: str
    """Type and shape, for messages."""


def check_inputs(engine: Engine, ports: Mapping[str, Port]) -> None:
    """Check the inputs of an engine's graph: the frame, and the controls of its card.

    Args:
        engine: Its card holds the expected names.
        ports: Name -> input, all that the graph has.

    Raises:
        BackendError: The graph does not keep the contract.
    """
    card = engine.card
    _check_image(engine, "input", {n: p for n, p in ports.items() if n not in card.controls})
    for name in card.controls:
        if name not in ports:
            raise BackendError(f"engine {card.style} has no input {name!r}, which its card names")
        if not ports[name].is_scalar:
            found = ports[name].found
            raise BackendError(f"engine {card.style}: {name} is {found}, not float32 (1,)")


def check_outputs(engine: Engine, ports: Mapping[str, Port]) -> None:
    """Check the outputs of an engine's graph: the cartoon alone. As `check_inputs`."""
    _check_image(engine, "output", ports)


def _check_image(
    engine: Engine, role: Literal["input", "output"], ports: Mapping[str, Port]
) -> None:
    """Check that there is a single image, of the name on the card."""
    style, name = engine.card.style, getattr(engine.card, role)
    if list(ports) != [name]:
        raise BackendError(f"engine {style} has no single {role} {name!r}")
    if not ports[name].is_image:
        raise BackendError(
            f"engine {style}: {role} is {ports[name].found}, not uint8 (N, H, W, 3) of any size"
        )


def probe_shape(engine: Engine) -> tuple[int, int, int, int]:
    """Return a shape, (1, H, W, 3), with which a graph is asked for the size of its output."""
    step = engine.card.multiple_of
    height, width = (-(-side // step) * step for side in _PROBE_SIDES)
    return (1, height, width, 3)


def check_cartoons(engine: Engine, frames: Sequence[int], cartoons: Sequence[int]) -> None:
    """Check that cartoons have the number and the size of their frames.

    Args:
        engine: The engine that made them.
        frames: Shape of the frames, (N, H, W, 3).
        cartoons: Shape of what the graph gave for them.

    Raises:
        BackendError: The shapes differ.
    """
    if tuple(cartoons) != tuple(frames):
        raise BackendError(
            f"engine {engine.card.style}: of {_size(frames)} it makes {_size(cartoons)};"
            " cartoons must have the number and the size of their frames"
        )


def frames_failed(library: str, shape: Sequence[int], reason: str) -> BackendError:
    """Return the error to raise when a library fails with frames of a shape, (N, H, W, 3)."""
    return BackendError(f"{library} failed with frames of {_size(shape)}: {reason}")


def _size(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def one_line(error: Exception | str, which: Literal["first", "last"] = "first") -> str:
    """Return the line of a long message that says most; each library puts it at one end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0 if which == "first" else -1] if lines else "unknown error"

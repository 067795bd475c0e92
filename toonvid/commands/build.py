"""`toonvid build`: compile styles for TensorRT ahead of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.commands.arguments import parse_size
from toonvid.engine import Engine, find_engine, list_engines
from toonvid.errors import BackendError

if TYPE_CHECKING:
    from rich.console import Console

    from toonvid.backends.tensorrt.plan import Plan


def build(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="STYLE...", help="Styles; all when none is named."),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH|720p", help="Size of the frames to tune for.")
    ] = "720p",
) -> None:
    """Compile styles for TensorRT ahead of time, so that no film has to wait for it.

    Without an NVIDIA card, TensorRT-RTX compiles for all of them. Plans stay on this machine.
    """
    from rich.console import Console

    from toonvid.backends.tensorrt.plan import build_plans

    console = Console(highlight=False, soft_wrap=True)
    engines = [find_engine(name) for name in names] if names else list_engines()
    frame = _frame_size(size)
    for engine in engines:
        for plan in build_plans(engine, frame):
            console.print(_describe(plan), markup=False)


def build_where_possible(engine: Engine, console: Console) -> None:
    """Compile a new engine if a TensorRT is here; that it cannot be compiled is told, no more."""
    from toonvid.backends.choice import is_tensorrt_installed
    from toonvid.backends.tensorrt.plan import build_plans

    if not is_tensorrt_installed():
        return
    try:
        lines = [_describe(plan) for plan in build_plans(engine)]
    except BackendError as error:
        lines = [f"No plan for TensorRT: {error}"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _frame_size(text: str) -> tuple[int, int]:
    """Width and height; of a short side alone, those of a wide film."""
    size = parse_size(text)
    assert size is not None
    return (round(size * 16 / 9), size) if isinstance(size, int) else size


def _describe(plan: Plan) -> str:
    key = plan.key
    what = f"{key.style} {key.precision} for {_cards(key.target)}, {key.size[0]}x{key.size[1]}"
    megabytes = f"{len(plan.content) / 1e6:.1f} MB"
    if plan.path is None:
        return f"Built {what}: {megabytes} in {plan.build_seconds:.1f} s, and could not keep it"
    if not plan.build_seconds:
        return f"There is {what}: {plan.path} ({megabytes})"
    return f"Wrote {what}: {plan.path} ({megabytes}, {plan.build_seconds:.1f} s)"


def _cards(target: str) -> str:
    from toonvid.backends.tensorrt.build_plan import AMPERE_AND_NEWER
    from toonvid.backends.tensorrt.plan import TURING

    names = {TURING: "RTX 20 and GTX 16", AMPERE_AND_NEWER: "RTX 30 and newer"}
    return names.get(target, target)

"""`toonvid build`: TensorRT plans of styles, compiled before they are needed.

Plans are compiled and kept by `toonvid.backends.tensorrt.plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from toonvid.commands.arguments import parse_size, wide_frame_size
from toonvid.commands.messages import error_console, output_console, say
from toonvid.commands.options import complete_style
from toonvid.engine import Engine, find_engine, list_engines
from toonvid.errors import BackendError, EngineError

if TYPE_CHECKING:
    from toonvid.backends.tensorrt.plan import Plan


def build(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STYLE",
            help="Styles to compile; all of them when none is named.",
            autocompletion=complete_style,
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Frame size to tune for: 1280x720, or 720p."),
    ] = "720p",
) -> None:
    """Compile styles for TensorRT ahead of time, so that no conversion has to wait for it.

    On a machine without an NVIDIA GPU, TensorRT-RTX compiles plans for all supported GPUs. Plans
    are kept in this machine's cache.

    Examples:
        toonvid build
        toonvid build ink pepper --size 1080p
    """
    from toonvid.backends.tensorrt.plan import build_plans

    console = output_console()
    engines = [find_engine(name) for name in names] if names else list_engines()
    frame_size = wide_frame_size(parse_size(size))
    has_failed = False
    for engine in engines:
        if engine.card.is_openvino_only and not names:
            say(console, f"No plan of {engine.card.style}, which is for OpenVINO alone")
            continue
        try:
            for plan in build_plans(engine, frame_size):
                say(console, _describe(plan))
        except EngineError as error:
            if names:
                raise
            has_failed = True  # one damaged style; the others are compiled
            say(error_console(), f"left out {engine.card.style}: {error}", "yellow")
    if has_failed:
        raise typer.Exit(1)


def build_where_possible(engine: Engine, console: Console) -> None:
    """Compile a new engine if TensorRT is installed; a failure is printed and is no error."""
    from toonvid.backends.choice import is_tensorrt_installed
    from toonvid.backends.tensorrt.plan import build_plans

    if not is_tensorrt_installed():
        return
    try:
        lines = [_describe(plan) for plan in build_plans(engine)]
    except BackendError as error:
        lines = [f"No plan for TensorRT: {error}"]
    for line in lines:
        say(console, line)


def _describe(plan: Plan) -> str:
    key = plan.key
    width, height = key.size
    name = f"{key.style} {key.precision} for {_gpu_names(key.target)}, {width}x{height}"
    megabytes = f"{len(plan.content) / 1e6:.1f} MB"
    if plan.path is None:
        return f"Built {name}: {megabytes} in {plan.build_seconds:.1f} s, but could not keep it"
    if not plan.build_seconds:
        return f"Already built {name}: {plan.path} ({megabytes})"
    return f"Wrote {name}: {plan.path} ({megabytes}, {plan.build_seconds:.1f} s)"


def _gpu_names(target: str) -> str:
    from toonvid.backends.tensorrt.build_plan import AMPERE_AND_NEWER
    from toonvid.backends.tensorrt.plan import TURING

    names = {TURING: "RTX 20 and GTX 16", AMPERE_AND_NEWER: "RTX 30 and newer"}
    return names.get(target, target)

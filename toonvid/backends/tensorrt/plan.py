"""Plans: what TensorRT compiles from an engine. Which are needed, and how one is come by.

How a plan is run is not known here (`toonvid.backends.tensorrt.backend`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from toonvid.backends.tensorrt.build_plan import AMPERE_AND_NEWER, build_plan
from toonvid.backends.tensorrt.library import OLDEST_CAPABILITY, TensorRTLibrary, load_tensorrt
from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanKey, PlanPrecision
from toonvid.engine import Engine
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia

TURING = "7.5"
"""Target of a portable plan: compute capability 7.5, which has to be named on its own."""
DEFAULT_SIZE = (1280, 720)
"""(width, height) that plans are tuned for when nobody says."""
LARGEST_SIDE = 4096
"""Width and height of the largest frames, in pixels: 4K film, lying or standing."""


@dataclass(frozen=True)
class Plan:
    """A compiled engine."""

    key: PlanKey
    content: bytes
    path: Path | None
    """Where it is kept; None when it could not be."""
    build_seconds: float
    """0 when it was there already."""


def build_plans(engine: Engine, size: tuple[int, int] = DEFAULT_SIZE) -> list[Plan]:
    """Build the plans of an engine ahead of time: for this machine's card, or for every card.

    Without a card, TensorRT-RTX builds one plan for Turing and one for Ampere and newer. Nothing
    is run.

    Args:
        engine: Checked before it is parsed.
        size: (width, height) of the frames for which the plans are tuned; others run as well.

    Raises:
        DeviceMissingError: There is no TensorRT, or it cannot build without a card.
        EngineError: The engine cannot be trusted.
        BackendError: TensorRT refuses the engine, or the plans' folder is not safe.
    """
    library, nvidia = load_tensorrt(), find_nvidia()
    if nvidia.gpus:
        targets = [target_of(library, nvidia.gpus[0], nvidia)]
    elif library.is_portable:
        targets = [AMPERE_AND_NEWER, TURING]
    else:
        raise DeviceMissingError(f"{library.name} builds on a card alone, and {nvidia.problem}")
    precision, cache = best_precision(engine), PlanCache()
    return [
        find_plan(library, engine, plan_key(library, engine, precision, target, size), cache, size)
        for target in targets
    ]


def find_plan(
    library: TensorRTLibrary,
    engine: Engine,
    key: PlanKey,
    cache: PlanCache,
    size: tuple[int, int] | None = None,
) -> Plan:
    """Read the plan of an engine, or build and keep it.

    Args:
        engine: Checked before it is parsed.
        key: From `plan_key`, which checked the file; one tuned for another size is good too.
        size: Not None: one that is tuned for another size is not.

    Raises:
        EngineError, BackendError: As `build_plans`.
    """
    if (found := cache.find(key, size is not None)) is not None:
        return Plan(key, *found, 0.0)
    return make_plan(library, engine, key, cache)


def make_plan(library: TensorRTLibrary, engine: Engine, key: PlanKey, cache: PlanCache) -> Plan:
    """Build the plan of an engine, whatever is kept, and keep it.

    Raises:
        EngineError, BackendError: As `build_plans`.
    """
    began = time.perf_counter()
    content = build_plan(library, engine, engine.path(key.precision).read_bytes(), key)
    seconds = time.perf_counter() - began
    return Plan(key, content, cache.keep(key, content), seconds)


def best_precision(engine: Engine) -> PlanPrecision:
    """What TensorRT runs an engine in when nobody asks."""
    return "f16" if "f16" in engine.card.precisions else "f32"


def plan_key(
    library: TensorRTLibrary,
    engine: Engine,
    precision: PlanPrecision,
    target: str,
    size: tuple[int, int],
) -> PlanKey:
    """What a plan has to be.

    Raises:
        EngineError: The engine has no file of this precision, or it is not what the card says.
        BackendError: The size is larger than plans are made for.
    """
    engine.path(precision)
    card = engine.card
    width, height = (-(-side // card.multiple_of) * card.multiple_of for side in size)
    largest = largest_side(engine)
    if max(width, height) > largest:
        raise BackendError(
            f"TensorRT plans take frames up to {largest} x {largest}, not {width} x {height}"
        )
    return PlanKey(
        style=card.style,
        engine_sha256=card.sha256[card.file_name(precision)],
        precision=precision,
        library=f"{library.package} {library.version}",
        target=target,
        smallest=(card.multiple_of, card.multiple_of),
        size=(width, height),
        largest=(largest, largest),
    )


def largest_side(engine: Engine) -> int:
    """Of the frames that an engine's plans take, in pixels."""
    return LARGEST_SIDE // engine.card.multiple_of * engine.card.multiple_of


def target_of(library: TensorRTLibrary, card: Gpu, nvidia: NvidiaInfo) -> str:
    """What a plan for a card is made for; with the driver, where the plan depends on it.

    Raises:
        DeviceMissingError: The card is too old.
    """
    if card.capability < OLDEST_CAPABILITY:
        major, minor = card.capability
        raise DeviceMissingError(
            f"{card.name} is too old for TensorRT: its compute capability is {major}.{minor},"
            " 7.5 (RTX 20, GTX 16) is the oldest; --backend onnxruntime or openvino run without"
        )
    if not library.is_portable:
        return gpu_and_driver(card, nvidia)
    return TURING if card.capability == OLDEST_CAPABILITY else AMPERE_AND_NEWER


def gpu_and_driver(card: Gpu, nvidia: NvidiaInfo) -> str:
    """What code that is compiled on a card depends on."""
    return f"{card.name}, driver {nvidia.driver or 'unknown'} for CUDA {nvidia.cuda}"

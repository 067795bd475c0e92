"""Plans, which are compiled engines: which one an engine needs, and loading or building it.

In: an engine, a GPU (or none) and a size of frames. Out: a `Plan`. How a plan is compiled is left
to `build_plan`, how it is stored to `plan_cache`, how it runs to `inference`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from toonvid.backends.tensorrt.build_plan import AMPERE_AND_NEWER, build_plan
from toonvid.backends.tensorrt.library import (
    OLDEST_CAPABILITY,
    TensorRTLibrary,
    is_supported_by_rtx,
    load_tensorrt,
    tensorrt_install,
)
from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanKey, PlanPrecision
from toonvid.engine import Engine
from toonvid.errors import BackendError, DeviceMissingError
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia

TURING = "7.5"
"""Target of a portable plan for compute capability 7.5, which `AMPERE_AND_NEWER` leaves out."""
DEFAULT_SIZE = (1280, 720)
"""(width, height) of the frames that plans are tuned for by default, in pixels."""
LARGEST_SIDE = 4096
"""Largest width and height of frames, in pixels: 4K video in either orientation."""


@dataclass(frozen=True)
class Plan:
    """A compiled engine."""

    key: PlanKey
    content: bytes
    """The plan as TensorRT serializes it."""
    path: Path | None
    """File in the cache; None if it could not be written."""
    build_seconds: float
    """Time the build took; 0 if the plan was in the cache."""


def build_plans(engine: Engine, size: tuple[int, int] = DEFAULT_SIZE) -> list[Plan]:
    """Build the plans of an engine ahead of time, for the first GPU of this machine.

    Without a GPU, TensorRT-RTX builds a plan for Turing and one for Ampere and newer GPUs. No plan
    is run.

    Args:
        engine: Engine to compile. Its file is checked before it is parsed.
        size: (width, height) of the frames that the plans are tuned for, in pixels. Frames of other
            sizes run too.

    Raises:
        DeviceMissingError: There is no TensorRT, or it cannot build without a GPU.
        EngineError: The engine cannot be trusted.
        BackendError: TensorRT refuses the engine, or others can write to the plans' folder.
    """
    library, nvidia = load_tensorrt(), find_nvidia()
    if nvidia.gpus:
        # The first GPU, which is also the one that `TensorRTBackend` uses by default.
        targets = [plan_target(library, nvidia.gpus[0], nvidia)]
    elif library.is_portable:
        targets = [AMPERE_AND_NEWER, TURING]
    else:
        raise DeviceMissingError(f"{library.name} builds on a GPU only, and {nvidia.problem}")
    precision, cache = best_precision(engine), PlanCache()
    keys = [plan_key(library, engine, precision, target, size) for target in targets]
    return [load_or_build(library, engine, key, cache, exact_size=True) for key in keys]


def load_or_build(
    library: TensorRTLibrary,
    engine: Engine,
    key: PlanKey,
    cache: PlanCache,
    exact_size: bool = False,
) -> Plan:
    """Load the plan of an engine from the cache; if it is not there, build and store it.

    Args:
        library: TensorRT.
        engine: Engine to compile. Its file is checked before it is parsed.
        key: Key of the plan, from `plan_key`.
        cache: Folder of plans.
        exact_size: Whether a cached plan must be tuned for the key's `size`.

    Raises:
        EngineError, BackendError: As `build_plans`.
    """
    # A plan that is tuned for another size runs as well, and building one takes far longer.
    if (found := cache.find(key, exact_size)) is not None:
        content, path = found
        return Plan(key, content, path, build_seconds=0.0)
    return build_and_store(library, engine, key, cache)


def build_and_store(
    library: TensorRTLibrary, engine: Engine, key: PlanKey, cache: PlanCache
) -> Plan:
    """Build the plan of an engine and store it, in place of a cached one.

    Raises:
        EngineError, BackendError: As `build_plans`.
    """
    began = time.perf_counter()
    content = build_plan(library, engine, engine.path(key.precision).read_bytes(), key)
    seconds = time.perf_counter() - began
    return Plan(key, content, cache.store(key, content), seconds)


def best_precision(engine: Engine) -> PlanPrecision:
    """Return the precision that TensorRT uses by default: f16 if the engine has it."""
    return "f16" if "f16" in engine.card.precisions else "f32"


def plan_key(
    library: TensorRTLibrary,
    engine: Engine,
    precision: PlanPrecision,
    target: str,
    size: tuple[int, int],
) -> PlanKey:
    """Describe the plan that an engine needs.

    Args:
        library: TensorRT.
        engine: Engine to compile.
        precision: Precision of the plan.
        target: GPUs that the plan is for, from `plan_target`.
        size: (width, height) in pixels; rounded up to the card's `multiple_of`.

    Raises:
        EngineError: The engine has no file of this precision, or the file cannot be trusted.
        BackendError: The size is larger than plans are built for.
    """
    engine.path(precision)  # checks the file, so that a cached plan does not hide a changed engine
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
        library=f"{library.package} {library.version}",  # which loads no plans of other versions
        target=target,
        smallest=(card.multiple_of, card.multiple_of),
        size=(width, height),
        largest=(largest, largest),
    )


def largest_side(engine: Engine) -> int:
    """Return the largest width and height of frames in an engine's plans, in pixels."""
    return LARGEST_SIDE // engine.card.multiple_of * engine.card.multiple_of


def plan_target(library: TensorRTLibrary, gpu: Gpu, nvidia: NvidiaInfo) -> str:
    """Return the target of a plan for a GPU: a family of GPUs, or one GPU with its driver.

    Raises:
        DeviceMissingError: The GPU is too old, or TensorRT-RTX does not support it.
    """
    if gpu.capability < OLDEST_CAPABILITY:
        major, minor = gpu.capability
        raise DeviceMissingError(
            f"{gpu.name} is too old for TensorRT: its compute capability is {major}.{minor},"
            " 7.5 (RTX 20, GTX 16) is the oldest; --backend onnxruntime or openvino run without"
        )
    if not library.is_portable:
        return gpu_and_driver(gpu, nvidia)
    if not is_supported_by_rtx(gpu.capability):
        major, minor = gpu.capability
        raise DeviceMissingError(
            f"{library.name} does not support {gpu.name} (compute capability {major}.{minor}):"
            f" {tensorrt_install(gpu.capability)}, or use --backend onnxruntime or openvino"
        )
    return TURING if gpu.capability == OLDEST_CAPABILITY else AMPERE_AND_NEWER


def gpu_and_driver(gpu: Gpu, nvidia: NvidiaInfo) -> str:
    """Name a GPU and its driver: what native code that was compiled on the GPU depends on."""
    return f"{gpu.name}, driver {nvidia.driver or 'unknown'} for CUDA {nvidia.cuda}"

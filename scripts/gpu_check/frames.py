"""Frames to measure with, ways to run a style, and the cartoons of the CPU as the reference.

In: a style and a size. Out: cartoons, (N, H, W, 3) uint8, and their difference from the cartoons
that the CPU makes in float32.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from gpu_check.rows import STYLE
from toonvid.backends import open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import Engine, read_engine, shipped_engines
from toonvid.stylizing.stylizer import pad_to_multiple
from toonvid.video import Pixels

if TYPE_CHECKING:
    from torch import nn

IN_FLIGHT = 3
"""Frames that PyTorch has in flight, as the TensorRT backend."""
Stream = Callable[[Iterable[Pixels]], Iterator[Pixels]]

_ROUND_SECONDS = 0.4  # of a round that is timed
_ROUNDS = 3


def sizes(tiny: bool) -> dict[str, tuple[int, int]]:
    """Return the (width, height) of frames that are measured, by name."""
    if tiny:
        return {"720p": (64, 40), "1080p": (96, 56), "2160p": (128, 72)}
    return {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}


@cache
def scene_frame(width: int, height: int, seconds: float = 1.0) -> Pixels:
    """Return a frame of the demo scene, (1, height, width, 3) uint8. Do not write to it.

    As in the pipeline, it is enlarged at its edges to the multiple of sides that styles take.
    """
    return _pad(draw_scene(width, height, seconds)[None])


@cache
def coarse_frame(width: int, height: int) -> Pixels:
    """Return a frame to measure rates with, as large as `scene_frame`. Do not write to it.

    The scene is drawn at half the size, because drawing it takes longer than stylizing it.
    """
    half = draw_scene(width // 2, height // 2, 1.0)[None]
    return _pad(half.repeat(2, axis=1).repeat(2, axis=2))


def _pad(frame: Pixels) -> Pixels:
    return np.ascontiguousarray(pad_to_multiple(frame, shipped(STYLE).card.multiple_of))


def shipped(style: str) -> Engine:
    """Open a shipped engine."""
    return read_engine(shipped_engines() / f"{style}.json")


def cpu_cartoons(style: str, frames: Pixels) -> Pixels:
    """Return the cartoons that the CPU makes in float32, (N, H, W, 3) uint8."""
    name = "openvino" if find_spec("openvino") else "onnxruntime"
    with open_backend(shipped(style), name, "CPU" if name == "openvino" else "cpu", "f32") as cpu:
        return cpu.run(frames)


def describe_difference(found: Pixels, wanted: Pixels) -> tuple[str, dict[str, float]]:
    """Compare cartoons of one shape, in levels (0..255)."""
    levels = np.abs(found.astype(np.int16) - wanted)
    values = {
        "max_levels": int(levels.max()),
        "mean_levels": round(float(levels.mean()), 4),
        "p99_9_levels": float(np.percentile(levels, 99.9)),
    }
    text = "{max_levels} max, {mean_levels:.3f} mean, {p99_9_levels:.0f} at 99.9 %"
    return text.format(**values), values


def measure_rate(stream: Stream, frame: Pixels, tiny: bool) -> float:
    """Return frames per second: the median of three rounds, after one that is not counted.

    Args:
        stream: From batches to cartoons.
        frame: Frame to repeat, (1, H, W, 3).
        tiny: Whether to time a few frames only.
    """

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in stream([frame] * count):
            pass
        return time.perf_counter() - began

    run(2 * IN_FLIGHT)  # compiles, allocates
    count = 4 * IN_FLIGHT
    if not tiny:
        count = max(count, min(2000, round(count * _ROUND_SECONDS / run(count))))
    return count / sorted(run(count) for _ in range(_ROUNDS))[_ROUNDS // 2]


class TorchStream:
    """A generator in PyTorch, tuned: channels last, pinned memory, three frames in flight."""

    def __init__(self, generator: nn.Module, device: str, compiled: bool) -> None:
        """Move a generator to the device; on a GPU in float16.

        Args:
            generator: Generator in evaluation mode; it is changed.
            device: `cuda` or `cpu`.
            compiled: Whether `torch.compile` compiles it, for each size of frames again.
        """
        import torch

        from trainer.exporting.export import _FrameGenerator  # the module that is exported

        self._device = device
        half = generator.half() if device == "cuda" else generator
        net = _FrameGenerator(half.to(device, memory_format=torch.channels_last)).eval()
        # On the CPU Dynamo alone, without a compiler: it tries the script, and measures nothing.
        inductor = "inductor" if device == "cuda" else "eager"
        # In one graph, or not at all: what falls back to Python in between is not what is measured.
        self._net = (
            torch.compile(net, dynamic=False, fullgraph=True, backend=inductor) if compiled else net
        )

    def __call__(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """Yield a cartoon for each batch, in order."""
        import torch

        if self._device == "cpu":
            for batch in batches:
                with torch.inference_mode():
                    yield self._net(torch.from_numpy(batch)).numpy()
            return
        in_flight: deque[tuple[torch.cuda.Event, torch.Tensor]] = deque()
        for batch in batches:
            frame = torch.from_numpy(batch).pin_memory().cuda(non_blocking=True)
            with torch.inference_mode():
                cartoon = self._net(frame)
            host = torch.empty(cartoon.shape, dtype=torch.uint8, pin_memory=True)
            host.copy_(cartoon, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
            in_flight.append((done, host))
            if len(in_flight) == IN_FLIGHT:
                yield self._finish(*in_flight.popleft())
        while in_flight:
            yield self._finish(*in_flight.popleft())

    @staticmethod
    def _finish(done: object, host: object) -> Pixels:
        done.synchronize()
        return host.numpy().copy()


def cel_generator(style: str) -> nn.Module:
    """Return the generator of a shipped `cel` style as its engine computes it, with its weights."""
    import onnx
    import torch
    from onnx import numpy_helper
    from train_styles import STYLES, default_look

    from trainer.config import change_config
    from trainer.exporting.cel_frames import CelFrames
    from trainer.networks.build import make_look
    from trainer.networks.cel import CelGenerator
    from trainer.presets import find_preset

    model = onnx.load(str(shipped(style).path("f32")))
    prefix = "generator."
    weights = {
        tensor.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
        if tensor.name.startswith(prefix)
    }
    settings = (*default_look(), *STYLES[style].look)
    look = make_look(change_config(find_preset("cel"), settings))
    generator = CelFrames(CelGenerator(look=look))
    generator.load_state_dict(weights)
    return generator.eval()

"""Measure TensorRT against PyTorch on an NVIDIA GPU: same networks, same frames, in one run.

    python scripts/measure_gpu.py [--frames 200] [--rounds 3]

Half precision; frames go from host memory to the GPU and back, three in flight. Networks have
random weights, which take as long as trained ones. Needs PyTorch with CUDA, and the extra
`tensorrt` (or the package `tensorrt`, for data-center GPUs). The row of a library that refuses the
GPU says so.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from toonvid.backends import open_backend
from toonvid.bench.demo_scene import draw_scene
from toonvid.bench.work_time import time_work
from toonvid.engine import Engine, EngineCard
from toonvid.errors import ToonvidError
from toonvid.ffmpeg.nvidia import find_nvidia
from toonvid.video import Pixels

SIZES = ((1280, 720), (1920, 1080))
IN_FLIGHT = 3
Stream = Callable[[Iterable[Pixels]], Iterator[Pixels]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    nvidia = find_nvidia()
    if not nvidia.gpus:
        sys.exit(f"nothing to measure: {nvidia.problem}")
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"nothing to measure: this PyTorch ({torch.__version__}) has no CUDA")
    table = Table(title=f"{nvidia.gpus[0].name}, driver {nvidia.driver}: frames per second, f16")
    for title in (
        "network",
        "library",
        *(f"{width} x {height}" for width, height in SIZES),
        "difference",
    ):
        table.add_column(title, justify="left" if title in ("network", "library") else "right")
    for name, generator in generators().items():
        for library, cells in measure(name, generator, options.frames, options.rounds).items():
            table.add_row(name, library, *cells)
    Console(width=120).print(table)
    print("difference: largest and mean number of levels from eager PyTorch")


def generators() -> dict[str, object]:
    """Return the paper's network and ours, with random weights that draw more than one color."""
    import torch
    from torch import nn
    from trainer.networks.build.lite import LiteGenerator
    from trainer.networks.build.paper import Generator, fold_batch_norm

    torch.manual_seed(0)
    paper = Generator().eval()
    for layer in paper.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return {"paper": fold_batch_norm(paper), "lite": LiteGenerator().eval()}


def measure(name: str, generator: object, count: int, rounds: int) -> dict[str, list[str]]:
    """Return for each library its rates and its difference from PyTorch, or why it refuses."""
    cells: dict[str, list[str]] = {}
    expected: list[Pixels] = []
    for library, open_stream in libraries(name, generator).items():
        try:
            with open_stream() as stream:
                cartoons = [next(iter(stream([scene_frame(*size)]))) for size in SIZES]
                rates = [rate(stream, scene_frame(*size), count, rounds) for size in SIZES]
        except (ToonvidError, RuntimeError) as error:
            cells[library] = ["refused: " + str(error).strip().splitlines()[0], "", ""]
            continue
        expected = expected or cartoons
        pairs = zip(cartoons, expected, strict=True)
        differences = [np.abs(cartoon.astype(int) - wanted) for cartoon, wanted in pairs]
        most, mean = max(a.max() for a in differences), max(a.mean() for a in differences)
        cells[library] = [*(f"{value:.1f}" for value in rates), f"{most}, {mean:.2f}"]
    return cells


def libraries(name: str, generator: object) -> dict[str, Callable[[], object]]:
    """Return for each library what opens it: a context manager with a stream of cartoons."""
    return {
        "torch eager": lambda: TorchStream(generator, compiled=False),
        "torch.compile": lambda: TorchStream(generator, compiled=True),
        "tensorrt": lambda: BackendStream(name, generator, "tensorrt"),
        "onnxruntime": lambda: BackendStream(name, generator, "onnxruntime"),
    }


class TorchStream:
    """PyTorch, tuned: channels last, pinned memory, no needless synchronization."""

    def __init__(self, generator: object, compiled: bool) -> None:
        import torch

        from trainer.exporting.export import _FrameGenerator  # the module that is exported

        half = copy.deepcopy(generator).half().to(memory_format=torch.channels_last)
        self.net = _FrameGenerator(half).eval().cuda()
        if compiled:
            self.net = torch.compile(self.net, mode="max-autotune-no-cudagraphs", dynamic=False)

    def __enter__(self) -> Stream:
        return self.stream

    def __exit__(self, *_: object) -> None:
        import torch

        del self.net
        torch.cuda.empty_cache()

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        import torch

        in_flight: deque[tuple[torch.cuda.Event, torch.Tensor]] = deque()
        for batch in batches:
            frame = torch.from_numpy(batch).pin_memory().cuda(non_blocking=True)
            with torch.inference_mode():
                cartoon = self.net(frame)
            host = torch.empty(cartoon.shape, dtype=torch.uint8, pin_memory=True)
            host.copy_(cartoon, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
            in_flight.append((done, host))
            if len(in_flight) == IN_FLIGHT:
                yield self._finished(*in_flight.popleft())
        while in_flight:
            yield self._finished(*in_flight.popleft())

    def _finished(self, done: object, host: object) -> Pixels:
        done.synchronize()
        return host.numpy().copy()


class BackendStream:
    """One of toonvid's backends on the GPU."""

    def __init__(self, name: str, generator: object, backend: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="toonvid-gpu-")
        engine = write_engine(Path(self.folder.name), name, generator)
        self.backend = open_backend(engine, backend, "cuda", "f16")

    def __enter__(self) -> Stream:
        return self.backend.__enter__().stream

    def __exit__(self, *trace: object) -> None:
        self.backend.__exit__(*trace)
        self.folder.cleanup()


def write_engine(folder: Path, name: str, generator: object) -> Engine:
    """Export a network in f32 and f16."""
    from trainer.exporting.export import OPSET, to_onnx

    files = {
        f"{name}.onnx": to_onnx(generator),
        f"{name}.f16.onnx": to_onnx(copy.deepcopy(generator).half()),
    }
    for file, content in files.items():
        (folder / file).write_bytes(content)
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    card = EngineCard(name, name, "", hashes, 0, 0, "MIT", multiple_of=4, opset=OPSET)
    return Engine(card, folder)


def scene_frame(width: int, height: int) -> Pixels:
    return np.ascontiguousarray(draw_scene(width, height, 1.0))[None]


def rate(stream: Stream, frame: Pixels, count: int, rounds: int) -> float:
    """Return frames per second: the median of several rounds, after one that is not counted."""

    def run() -> int:
        return sum(1 for _ in stream([frame] * count))

    run()
    return median(time_work(run).rate for _ in range(rounds))


if __name__ == "__main__":
    main()

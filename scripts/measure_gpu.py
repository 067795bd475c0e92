"""Time TensorRT against PyTorch on an NVIDIA card: the same nets, the same frames, in one run.

    python scripts/measure_gpu.py [--frames 200] [--rounds 3]

Half precision throughout; frames go from the host's memory and come back to it, three in flight.
The nets have random weights, which cost as much as learned ones. Needs PyTorch with CUDA, and the
extra `tensorrt` (or a `tensorrt` for data-centre cards). What refuses the card says so in its row.
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
    table = Table(title=f"{nvidia.gpus[0].name}, driver {nvidia.driver}: frames a second, f16")
    for title in ("net", "way", *(f"{width} x {height}" for width, height in SIZES), "apart"):
        table.add_column(title, justify="left" if title in ("net", "way") else "right")
    for name, generator in generators().items():
        for way, cells in measure(name, generator, options.frames, options.rounds).items():
            table.add_row(name, way, *cells)
    Console(width=120).print(table)
    print("apart: most levels from PyTorch's eager answer, and the mean")


def generators() -> dict[str, object]:
    """The paper's and ours, at random, but so that they draw something."""
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
    """Way -> its rate at each size, and how far it is from PyTorch; or why it cannot."""
    cells: dict[str, list[str]] = {}
    expected: list[Pixels] = []
    for way, opened in ways(name, generator).items():
        try:
            with opened() as stream:
                answers = [next(iter(stream([picture(*size)]))) for size in SIZES]
                rates = [rate(stream, picture(*size), count, rounds) for size in SIZES]
        except (ToonvidError, RuntimeError) as error:
            cells[way] = ["refused: " + str(error).strip().splitlines()[0], "", ""]
            continue
        expected = expected or answers
        pairs = zip(answers, expected, strict=True)
        apart = [np.abs(answer.astype(int) - wanted) for answer, wanted in pairs]
        most, mean = max(a.max() for a in apart), max(a.mean() for a in apart)
        cells[way] = [*(f"{value:.1f}" for value in rates), f"{most}, {mean:.2f}"]
    return cells


def ways(name: str, generator: object) -> dict[str, Callable[[], object]]:
    """Way -> what opens it: a context manager that gives a stream of frames to cartoons."""
    return {
        "torch eager": lambda: TorchWay(generator, compiled=False),
        "torch.compile": lambda: TorchWay(generator, compiled=True),
        "tensorrt": lambda: BackendWay(name, generator, "tensorrt"),
        "onnxruntime": lambda: BackendWay(name, generator, "onnxruntime"),
    }


class TorchWay:
    """PyTorch as one would write it with care: channels last, pinned memory, nothing waited for."""

    def __init__(self, generator: object, compiled: bool) -> None:
        import torch

        from trainer.exporting.export import _FrameGenerator  # the very one that is exported

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

        waiting: deque[tuple[torch.cuda.Event, torch.Tensor]] = deque()
        for batch in batches:
            frame = torch.from_numpy(batch).pin_memory().cuda(non_blocking=True)
            with torch.inference_mode():
                cartoon = self.net(frame)
            host = torch.empty(cartoon.shape, dtype=torch.uint8, pin_memory=True)
            host.copy_(cartoon, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
            waiting.append((done, host))
            if len(waiting) == IN_FLIGHT:
                yield self._finished(*waiting.popleft())
        while waiting:
            yield self._finished(*waiting.popleft())

    def _finished(self, done: object, host: object) -> Pixels:
        done.synchronize()
        return host.numpy().copy()


class BackendWay:
    """One of toonvid's own backends, on the card."""

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


def picture(width: int, height: int) -> Pixels:
    return np.ascontiguousarray(draw_scene(width, height, 1.0))[None]


def rate(stream: Stream, frame: Pixels, count: int, rounds: int) -> float:
    """Frames a second: the median of some rounds, after one that is not counted."""

    def go() -> int:
        return sum(1 for _ in stream([frame] * count))

    go()
    return median(time_work(go).rate for _ in range(rounds))


if __name__ == "__main__":
    main()

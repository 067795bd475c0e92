"""Generator -> engine: `<style>.onnx`, `<style>.f16.onnx` and the card, compared number by number.

The scaling to [-1, 1], the layout, the clamp and the rounding become nodes of the graph, so that
every backend gives the same answer. An engine that differs from its generator is not written.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from toonvid.backends import open_backend
from toonvid.engine import FILE_SUFFIXES, STYLE_NAME, DataSource, Engine, EngineCard, Precision
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.files import make_folder, write_atomically
from trainer.game import load_trained_generator
from trainer.lite_networks import LiteGenerator, fold_enlarging
from trainer.networks import count_multiply_adds, count_parameters
from trainer.paper_networks import fold_batch_norm
from trainer.recipe import describe_recipe
from trainer.run import Run, RunRecord

OPSET = 17
"""The oldest with all that the generators need: old runtimes can read it."""

TOLERANCE: dict[str, int] = {"f32": 1, "f16": 2}
"""Most levels (0..255) between an engine and its generator at float32."""

COMPARED_SIZES = ((1, 64, 64), (2, 60, 100), (1, 360, 204))
"""(N, H, W) of the pictures an engine is compared on, rounded down to its multiple."""


@dataclass(frozen=True)
class EngineText:
    """What an engine's card says in words."""

    style: str
    """Name of the look, as `--style` takes it."""
    title: str = ""
    """Empty: made from the style."""
    description: str = ""
    licence: str = "not stated"
    trained_on: tuple[DataSource, ...] = ()
    """Empty: the run's folder of photos is named, without author and licence."""

    def __post_init__(self) -> None:
        if not STYLE_NAME.fullmatch(self.style):
            raise TrainingError(f"style name {self.style!r}: use a-z, 0-9, - and _")


def export(run: Run, text: EngineText, target: Path) -> Engine:
    """Export a run's generator, its running mean, as an engine.

    Args:
        run: A run with at least one training state.
        text: The words on the card.
        target: Folder for the engine; one of the same style in it is replaced.

    Returns:
        The engine that was written.

    Raises:
        TrainingError: The run has nothing to export, the folder cannot be written, or an engine
            differs from its generator; an older engine is then still there.
    """
    record = run.record()
    trained, step = load_trained_generator(run.states, record.config)
    generator = fold_batch_norm(trained)
    make_folder(target)
    files: dict[Precision, bytes] = {
        "f32": to_onnx(generator),
        "f16": to_onnx(copy.deepcopy(generator).half()),
    }
    card = _write_card(files, text, record, generator, step)
    card = replace(card, metrics=_compare(files, card, generator))
    for precision, content in files.items():
        write_atomically(target / card.file_name(precision), content)
    write_atomically(target / f"{card.style}.json", card.to_json().encode())
    return Engine(card, target)


def to_onnx(generator: nn.Module) -> bytes:
    """The engine's graph: `frame` to `cartoon`, both uint8 (N, H, W, 3) RGB, any N, H, W.

    Args:
        generator: float32, or float16 for an engine that works in float16 inside.
    """
    dynamic = {name: {0: "N", 1: "H", 2: "W"} for name in ("frame", "cartoon")}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "engine.onnx"
        # The exporter that replaces this one needs onnxscript, a further dependency, for less.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It asks whether instance norm shall have run-time statistics: it shall.
        warnings.filterwarnings("ignore", message=".*instance_norm", category=UserWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        torch.onnx.export(
            _FrameGenerator(fold_enlarging(generator)).eval(),
            (torch.zeros(1, 64, 64, 3, dtype=torch.uint8),),
            path,
            input_names=["frame"],
            output_names=["cartoon"],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def levels_apart(content: bytes, card: EngineCard, generator: nn.Module) -> int:
    """Most levels (0..255) between an engine in OpenVINO and its generator, both at float32.

    Args:
        content: The engine's file, of any precision that has one.
        card: The engine's card.
        generator: float32.
    """
    hashes = {card.file_name("f32"): hashlib.sha256(content).hexdigest()}
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(replace(card, sha256=hashes), Path(folder))
        (engine.folder / card.file_name("f32")).write_bytes(content)
        with open_backend(engine, "openvino", precision="f32") as backend:
            return max(
                int(np.abs(backend.run(frames).astype(np.int16) - wanted).max())
                for frames in _compared_frames(card.multiple_of)
                for wanted in [_run_generator(generator, frames)]
            )


def read_credits(path: Path) -> tuple[DataSource, ...]:
    """Read the data sets that a card names: a JSON list of objects with `DataSource`'s fields.

    Raises:
        TrainingError: The file cannot be read, or is not such a list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return tuple(DataSource(**entry) for entry in entries)
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path} is not a list of data sets: {error}") from error


def _write_card(
    files: dict[Precision, bytes],
    text: EngineText,
    record: RunRecord,
    generator: nn.Module,
    step: int,
) -> EngineCard:
    """The card of an engine that has not been measured yet."""
    return EngineCard(
        style=text.style,
        title=text.title or text.style.replace("-", " ").replace("_", " ").capitalize(),
        description=text.description,
        sha256={
            text.style + FILE_SUFFIXES[precision]: hashlib.sha256(content).hexdigest()
            for precision, content in files.items()
        },
        parameters=count_parameters(generator),
        multiply_adds_per_pixel=round(count_multiply_adds(fold_enlarging(generator))),
        licence=text.licence,
        trained_on=text.trained_on or _undescribed_source(record),
        recipe=describe_recipe(record),
        training_step=step,
        source_commit=record.source_commit,
        tolerance=TOLERANCE,
        multiple_of=generator.multiple_of,
        opset=OPSET,
    )


def _compare(
    files: dict[Precision, bytes], card: EngineCard, generator: nn.Module
) -> dict[str, float]:
    """How many levels each file is apart from the generator, by the names of the card's metrics.

    Raises:
        TrainingError: More than the card allows.
    """
    apart: dict[str, float] = {}
    for precision, content in files.items():
        levels = levels_apart(content, card, generator)
        if levels > card.tolerance[precision]:
            raise TrainingError(
                f"the {precision} engine differs from its generator by {levels} levels "
                f"({card.tolerance[precision]} allowed): nothing is written"
            )
        apart[f"levels_apart_{precision}"] = levels
    return apart


class _FrameGenerator(nn.Module):
    """A generator with the engine's own input and output around it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self._dtype = next(generator.parameters()).dtype

    def forward(self, frame: Tensor) -> Tensor:
        # TensorRT takes a uint8 input only if it is cast before anything else.
        photos = frame.to(self._dtype) / 127.5 - 1
        levels = (self._redraw(photos).clamp(-1, 1) + 1) * 127.5
        return levels.round().to(torch.uint8)

    def _redraw(self, photos: Tensor) -> Tensor:
        """Shapes (N, H, W, 3)."""
        if isinstance(self.generator, LiteGenerator):
            return self.generator.redraw(photos)
        return self.generator(photos.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _run_generator(generator: nn.Module, frames: Pixels) -> Pixels:
    with torch.no_grad():
        return _FrameGenerator(generator)(torch.from_numpy(frames)).numpy()


def _compared_frames(multiple_of: int) -> list[Pixels]:
    """Noise, and the same noise blown up to areas: (N, H, W, 3) uint8 for each compared size."""
    random = np.random.default_rng(0)
    frames = []
    for count, *sides in COMPARED_SIZES:
        height, width = (side // multiple_of * multiple_of for side in sides)
        noise = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        areas = noise[:, : height // 4, : width // 4].repeat(4, axis=1).repeat(4, axis=2)
        frames += [noise, areas]
    return frames


def _undescribed_source(record: RunRecord) -> tuple[DataSource, ...]:
    """The run's folders by their names, where nobody said whose the pictures are."""
    folders = [folder for folder in (record.photos, record.cartoons) if folder]
    return tuple(DataSource(Path(f).name, "not stated", "not stated") for f in folders)

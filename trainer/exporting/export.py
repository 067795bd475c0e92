"""A trained generator becomes an engine: `<style>.onnx`, `<style>.f16.onnx` and the model card.

A training run goes in; files that `toonvid convert --style` takes come out. Scaling to [-1, 1],
layout, clamp and rounding become nodes of the graph, so that every backend gives the same pixels.
Each file is run and compared with the generator; an engine that differs is not written. INT8 is
left out (`trainer.exporting.quantize`).
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from toonvid.backends import open_backend
from toonvid.choices import CONTROLS, ControlName
from toonvid.engine import (
    FILE_SUFFIXES,
    STYLE_NAME,
    Control,
    DataSource,
    Engine,
    EngineCard,
    Precision,
)
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.exporting.cel_frames import CelFrames
from trainer.exporting.recipe import describe_recipe
from trainer.files import make_folder, write_atomically
from trainer.networks.build import count_multiply_adds, count_parameters
from trainer.networks.cel import CONTROL_RANGES, CONTROL_STEPS, CelGenerator
from trainer.networks.lite import LiteGenerator, fold_upsampling
from trainer.networks.paper import fold_batch_norm
from trainer.training.run_folder import Run, RunRecord
from trainer.training.state import load_trained_generator

OPSET = 17
"""Oldest ONNX opset that has all operators of the generators, so that old runtimes can read it."""

TOLERANCE: dict[str, int] = {"f32": 1, "f16": 2}
"""Precision -> largest allowed difference, in levels (0..255), from the float32 generator."""
COMPARED_SHARES: dict[str, float] = {"f32": 1.0, "f16": 0.999}
"""Precision -> share of the values that it holds for. Where a color is at a tonal step, the least
difference moves its rim: in float16, one value in a thousand is left out."""

COMPARED_SIZES = ((1, 64, 64), (2, 60, 100), (1, 360, 204))
"""(N, H, W) of the frames that an engine is compared on; rounded down to its multiple."""


_CARD_KEYS = {"license": "licence", "images": "pictures"}
"""Field of a dataset -> its name on cards, which dates from the first version of the format."""


@dataclass(frozen=True)
class EngineText:
    """Texts for the card of an engine, which no program can know."""

    style: str
    """Name of the style, as `--style` takes it."""
    title: str = ""
    """Name to show; empty: made from `style`."""
    description: str = ""
    """One sentence on how the style looks."""
    license: str = "not stated"
    """SPDX identifier of the engine's license."""
    trained_on: tuple[DataSource, ...] = ()
    """Datasets and their authors; empty: the names of the run's folders."""

    def __post_init__(self) -> None:
        if not STYLE_NAME.fullmatch(self.style):
            raise TrainingError(f"style name {self.style!r}: use a-z, 0-9, - and _")


def export(run: Run, text: EngineText, target: Path) -> Engine:
    """Exports the exponential moving average (EMA) of a run's generator as an engine.

    Args:
        run: A training run with at least one training state.
        text: Texts for the card.
        target: Folder for the engine; an engine of the same style in it is replaced.

    Returns:
        The engine that was written.

    Raises:
        TrainingError: The run has no training state, the folder cannot be written, or an engine
            differs from its generator. An older engine is then still there.
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
    """Traces a generator to ONNX: `frame` to `cartoon`, both uint8 (N, H, W, 3) RGB, any N, H, W.

    Controls of the generator become inputs too, also in float16 as float32 of shape (1,).

    Args:
        generator: float32; or float16, for an engine that computes in float16.

    Returns:
        Content of the `.onnx` file.
    """
    controls = find_controls(generator)
    defaults = (torch.tensor([control.default]) for control in controls.values())
    dynamic = {name: {0: "N", 1: "H", 2: "W"} for name in ("frame", "cartoon")}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "engine.onnx"
        # The newer exporter (dynamo=True) needs another dependency, onnxscript, for the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It warns that instance norm computes statistics at run time, which is meant.
        warnings.filterwarnings("ignore", message=".*instance_norm", category=UserWarning)
        warnings.filterwarnings("ignore", message="Constant folding", category=UserWarning)
        # And that the colors of a look become constants, which is meant too.
        warnings.filterwarnings("ignore", message=".*constants", category=torch.jit.TracerWarning)
        torch.onnx.export(
            _FrameGenerator(fold_upsampling(generator)).eval(),
            (torch.zeros(1, 64, 64, 3, dtype=torch.uint8), *defaults),
            path,
            input_names=["frame", *controls],
            output_names=["cartoon"],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def find_controls(generator: nn.Module) -> dict[ControlName, Control]:
    """Return the controls that a generator's engine has; only `cel` has any.

    Their defaults are those of its look. A range that does not hold its default is widened to it.
    """
    if not isinstance(generator, CelGenerator):
        return {}
    found: dict[ControlName, Control] = {}
    for name in CONTROLS:
        default, (smallest, largest) = getattr(generator.look, name), CONTROL_RANGES[name]
        found[name] = Control(
            default, min(smallest, default), max(largest, default), CONTROL_STEPS[name]
        )
    return found


def compared_controls(card: EngineCard) -> list[dict[ControlName, float]]:
    """List the values of controls that an engine is compared at.

    Returns:
        The defaults, and each control at both ends of its range beside the others' defaults.
    """
    ends = [
        {name: end}
        for name, control in card.controls.items()
        for end in (control.minimum, control.maximum)
    ]
    return [card.control_values(values) for values in [{}, *ends]]


def max_level_difference(
    content: bytes, card: EngineCard, generator: nn.Module, share: float = 1.0
) -> int:
    """Largest difference, in levels (0..255), between an engine in OpenVINO and its generator.

    All `compared_controls` are tried.

    Args:
        content: The engine's `.onnx` file, of any precision; it is run in float32.
        card: The engine's card.
        generator: The generator in float32.
        share: Share of each frame's values that are no further apart, in [0, 1].
    """
    hashes = {card.file_name("f32"): hashlib.sha256(content).hexdigest()}
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(replace(card, sha256=hashes), Path(folder))
        (engine.folder / card.file_name("f32")).write_bytes(content)
        with open_backend(engine, "openvino", precision="f32") as backend:
            return max(
                int(np.quantile(np.abs(backend.run(frames, controls).astype(int) - wanted), share))
                for frames in _compared_frames(card.multiple_of)
                for controls in compared_controls(card)
                for wanted in [_run_generator(generator, frames, controls)]
            )


def read_credits(path: Path) -> tuple[DataSource, ...]:
    """Reads the datasets for a card from a JSON list of objects with the fields of `DataSource`.

    The names of two fields on cards, `licence` and `pictures`, are accepted too.

    Raises:
        TrainingError: The file cannot be read, or is not such a list.
    """
    try:
        datasets = msgspec.json.decode(path.read_bytes(), type=list[dict[str, object]])
        renamed = [{_CARD_KEYS.get(k, k): value for k, value in each.items()} for each in datasets]
        return msgspec.convert(renamed, tuple[DataSource, ...])
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise TrainingError(f"{path} is not a list of data sets: {error}") from error


def _write_card(
    files: dict[Precision, bytes],
    text: EngineText,
    record: RunRecord,
    generator: nn.Module,
    step: int,
) -> EngineCard:
    """Returns the card of an engine, without metrics."""
    return EngineCard(
        style=text.style,
        title=text.title or text.style.replace("-", " ").replace("_", " ").capitalize(),
        description=text.description,
        sha256={
            text.style + FILE_SUFFIXES[precision]: hashlib.sha256(content).hexdigest()
            for precision, content in files.items()
        },
        parameters=count_parameters(generator),
        multiply_adds_per_pixel=round(count_multiply_adds(fold_upsampling(generator))),
        license=text.license,
        trained_on=text.trained_on or _undescribed_source(record),
        recipe=describe_recipe(record),
        training_step=step,
        source_commit=record.source_commit,
        tolerance=TOLERANCE,
        controls=find_controls(generator),
        multiple_of=generator.multiple_of,
        opset=OPSET,
    )


def _compare(
    files: dict[Precision, bytes], card: EngineCard, generator: nn.Module
) -> dict[str, float]:
    """Returns the difference of each file from the generator in levels, as metrics of the card.

    Raises:
        TrainingError: A file differs by more than the card allows.
    """
    metrics: dict[str, float] = {}
    for precision, content in files.items():
        levels = max_level_difference(content, card, generator, COMPARED_SHARES[precision])
        if levels > card.tolerance[precision]:
            raise TrainingError(
                f"the {precision} engine differs from its generator by {levels} levels "
                f"({card.tolerance[precision]} allowed): nothing is written"
            )
        metrics[f"levels_apart_{precision}"] = levels  # the name that cards have always had
    return metrics


class _FrameGenerator(nn.Module):
    """A generator between the input and output of an engine: uint8 (N, H, W, 3) RGB both.

    Controls are further inputs, float32 of shape (1,), in the order of `find_controls`.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = CelFrames(generator) if isinstance(generator, CelGenerator) else generator
        self._dtype = next(generator.parameters()).dtype
        self._controls = list(find_controls(generator))

    def forward(self, frame: Tensor, *controls: Tensor) -> Tensor:
        # TensorRT takes a uint8 input only if a cast is the first node behind it.
        return self._draw(frame.to(self._dtype), controls).round().to(torch.uint8)

    def _draw(self, frames: Tensor, controls: tuple[Tensor, ...]) -> Tensor:
        """Frames (N, H, W, 3), levels in 0..255, to cartoons of the same shape and range."""
        if isinstance(self.generator, CelFrames):
            # Without any, the look's own values count.
            values = (control.to(self._dtype) for control in controls)
            return self.generator(frames, dict(zip(self._controls, values, strict=False)))
        photos = frames / 127.5 - 1
        if isinstance(self.generator, LiteGenerator):
            cartoons = self.generator.redraw(photos)
        else:
            cartoons = self.generator(photos.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (cartoons.clamp(-1, 1) + 1) * 127.5


def _run_generator(
    generator: nn.Module, frames: Pixels, controls: Mapping[ControlName, float]
) -> Pixels:
    values = [torch.tensor([controls[name]]) for name in find_controls(generator)]
    with torch.no_grad():
        return _FrameGenerator(generator)(torch.from_numpy(frames), *values).numpy()


def _compared_frames(multiple_of: int) -> list[Pixels]:
    """Noise, and the same noise enlarged to flat areas: (N, H, W, 3) uint8 for each compared size.

    Noise has every level and differs from pixel to pixel; enlarged, it has flat areas and edges.
    """
    random = np.random.default_rng(0)
    frames = []
    for count, *sides in COMPARED_SIZES:
        height, width = (side // multiple_of * multiple_of for side in sides)
        noise = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        areas = noise[:, : height // 4, : width // 4].repeat(4, axis=1).repeat(4, axis=2)
        frames += [noise, areas]
    return frames


def _undescribed_source(record: RunRecord) -> tuple[DataSource, ...]:
    """The names of the run's folders, for a card whose datasets were not described."""
    folders = [folder for folder in (record.photos, record.cartoons) if folder]
    return tuple(DataSource(Path(f).name, "not stated", "not stated") for f in folders)

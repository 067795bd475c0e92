"""Distillation: a small generator learns from the output of a trained one, its teacher.

In: the folder of a finished run, or an engine. Out: a `DrawingMethod`, which takes the place of the
drawings that `lite` learns from, so that a run of the preset `distilled` is a run like any other.

Photos and the teacher's outputs are pairs, and so the losses are those of paired translation: L1,
features, total variation and an adversarial term, as in Auto-painter (Liu et al., "Auto-painter:
Cartoon Image Generation from Sketch by Using Conditional Generative Adversarial Networks", 2017).
They train a small network better than a discriminator alone.

Left out: the training itself (`trainer.training.train`), and the cache of drawings
(`trainer.data.photos`).
"""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from toonvid.backends import open_backend
from toonvid.engine import file_sha256, find_engine
from toonvid.errors import TrainingError
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer, pad_to_multiple
from toonvid.video import Frame, Pixels
from trainer.data.drawing import DRAWING_VERSION, drop_short_strokes
from trainer.data.images import to_tensor
from trainer.data.photos import DrawingMethod
from trainer.networks.cel import CelGenerator
from trainer.networks.engine_weights import read_generator
from trainer.training.precision import choose_precision
from trainer.training.run_folder import Run
from trainer.training.sample_sheet import stylize
from trainer.training.state import load_trained_generator
from trainer.training.state_file import find_state


def open_teacher(place: str, device: torch.device) -> DrawingMethod:
    """Open a trained generator as a way of drawing photos.

    Args:
        place: Folder of a finished run, whose generator then runs on `device`, in the precision of
            the run; or name of a style or path of an engine, which then runs on the CPU.
        device: Device for the generator of a run.

    Raises:
        EngineError, TrainingError: There is no such generator.
    """
    if (Path(place) / "run.json").is_file():
        return _open_run(Run(Path(place)), device)
    return _open_engine(place)


def open_layer_teacher(place: str, device: torch.device) -> DrawingMethod:
    """Open a trained generator `cel` as a way of drawing photos in its two layers.

    Short strokes are left out, as in a drawing.

    Args:
        place: Folder of a finished run, or name of a style or path of an engine.
        device: Device for the generator.

    Raises:
        EngineError, TrainingError: There is no such generator.
    """
    generator, key = read_layered_generator(place)
    generator = generator.to(device)
    one_at_a_time = threading.Lock()

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        with one_at_a_time:
            color, ink = _draw_layers(generator, photo)
        ink = drop_short_strokes(photo, ink, frame_height)
        return np.vstack([color, np.repeat(ink[..., None], 3, axis=2)])

    return DrawingMethod(draw, f"layers of {key}, drawing {DRAWING_VERSION}", layers=2)


def read_layered_generator(place: str) -> tuple[CelGenerator, str]:
    """Read a trained generator `cel` from a run or an engine.

    Args:
        place: Folder of a finished run, or name of a style or path of an engine.

    Returns:
        The generator on the CPU, and the SHA-256 of the file that its weights are from.

    Raises:
        EngineError, TrainingError: There is no such generator.
    """
    if not (Path(place) / "run.json").is_file():
        engine = find_engine(place)
        return read_generator(engine), engine.card.sha256[engine.card.file_name("f32")]
    run = Run(Path(place))
    generator, _ = load_trained_generator(run.states, run.record().config)
    if not isinstance(generator, CelGenerator):
        raise TrainingError(f"{place} has another generator than cel, and so no layers")
    return generator, file_sha256(find_state(run.folder))


def _draw_layers(generator: CelGenerator, photo: Pixels) -> tuple[Pixels, NDArray[np.uint8]]:
    """Flat color (H, W, 3) and ink (H, W), uint8, of a photo (H, W, 3)."""
    device = next(generator.parameters()).device
    height, width = photo.shape[:2]
    padded = to_tensor(pad_to_multiple(photo[None], generator.multiple_of)).to(device)
    with torch.no_grad():
        color, ink_logits = generator.layers(padded)
    shares = torch.cat([(color + 1) / 2, torch.sigmoid(ink_logits)], dim=1)
    levels = (shares.clamp(0, 1) * 255).round().byte()[0, :, :height, :width].cpu().numpy()
    return np.ascontiguousarray(levels[:3].transpose(1, 2, 0)), levels[3]


def _open_run(run: Run, device: torch.device) -> DrawingMethod:
    config = run.record().config
    generator, _ = load_trained_generator(run.states, config)
    generator = generator.to(device)
    precision = choose_precision(config.precision, device)
    one_at_a_time = threading.Lock()  # the dataset draws on several threads; memory is for one

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        with one_at_a_time, precision.autocast():
            return stylize(generator, photo)

    # Both are part of the key under which drawings are cached.
    return DrawingMethod(draw, f"{file_sha256(find_state(run.folder))} {precision.name}")


def _open_engine(place: str) -> DrawingMethod:
    engine = find_engine(place)
    backend = open_backend(engine, "openvino", precision="f32")
    stylizer = Stylizer(backend, StylizeOptions(steady=0))  # photos that do not follow each other
    one_at_a_time = threading.Lock()  # a backend serves one thread at a time

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        with one_at_a_time:
            [cartoon] = stylizer.stylize([Frame(np.ascontiguousarray(photo), 0, Fraction(1))])
        return cartoon.pixels

    return DrawingMethod(draw, engine.card.sha256[engine.card.file_name("f32")])

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

import hashlib
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from toonvid.backends import open_backend
from toonvid.engine import find_engine
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels
from trainer.data.photos import DrawingMethod
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
    state = hashlib.sha256(find_state(run.folder).read_bytes()).hexdigest()
    return DrawingMethod(draw, f"{state} {precision.name}")


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

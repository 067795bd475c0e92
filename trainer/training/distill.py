"""Distillation: a small generator learns from a trained one, by being shown its pictures.

The teacher draws each photo once; the drawings take the place of the abstractions, so that a run of
the preset `distilled` is a run like any other. The pictures are pairs, and so are the losses: l1,
features, total variation and an adversarial term, as in Auto-painter (Liu et al., "Auto-painter:
Cartoon Image Generation from Sketch by Using Conditional Generative Adversarial Networks", 2017). A
small net that is trained by a discriminator alone is weaker than one that is shown the answer.

Leaves out the training itself (`trainer.training.train`) and where drawings are kept (`trainer.data.photos`).
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
from toonvid.stylizing.stylizer import Stylizer, pad_to_multiple
from toonvid.video import Frame, Pixels
from trainer.data.photos import DrawingMethod
from trainer.training.game import load_trained_generator
from trainer.training.run_folder import Run
from trainer.training.sample_sheet import stylize
from trainer.training.state import find_state


def open_teacher(place: str, device: torch.device) -> DrawingMethod:
    """The drawings of a trained generator.

    Args:
        place: The folder of a finished run, whose generator then draws on `device`; or a style's
            name or an engine's path, which then draws on the processor.
        device: Where a run's generator works.

    Raises:
        EngineError, TrainingError: There is no such generator.
    """
    if (Path(place) / "run.json").is_file():
        return _run_drawing(Run(Path(place)), device)
    return _engine_drawing(place)


def _run_drawing(run: Run, device: torch.device) -> DrawingMethod:
    generator, _ = load_trained_generator(run.states, run.record().config)
    generator = generator.to(device)
    multiple_of = int(generator.multiple_of)
    taking_turns = threading.Lock()

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        height, width = photo.shape[:2]
        with taking_turns:
            return stylize(generator, pad_to_multiple(photo[None], multiple_of)[0])[:height, :width]

    state = find_state(run.folder)
    return DrawingMethod(draw, hashlib.sha256(state.read_bytes()).hexdigest())


def _engine_drawing(place: str) -> DrawingMethod:
    engine = find_engine(place)
    backend = open_backend(engine, "openvino", precision="f32")
    stylizer = Stylizer(backend, StylizeOptions(steady=0))  # photos that do not follow each other
    taking_turns = threading.Lock()  # a backend serves one thread at a time

    def draw(photo: Pixels, frame_height: int) -> Pixels:
        with taking_turns:
            [cartoon] = stylizer.stylize([Frame(np.ascontiguousarray(photo), 0, Fraction(1))])
        return cartoon.pixels

    return DrawingMethod(draw, engine.card.sha256[engine.card.file_name("f32")])

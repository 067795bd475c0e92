"""Training from prepared crops: `cel`, and a generator of the same kind with 120 thousand
multiply-adds per pixel. Both phases; the EMA of the generator is kept as a file to start from.

The length of the run is chosen from its own first steps, so that the learning rate falls to its end
in the time there is.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from gpu_check.report import Report, one_line
from gpu_check.rows import HQ_BLOCKS, HQ_WIDTH, training_row
from gpu_check.steps import Settings
from toonvid.bench.demo_scene import draw_scene
from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data.photos import LAYERED_DRAWING, PhotoCrops
from trainer.device import Machine
from trainer.exporting.export import to_onnx
from trainer.networks.build import count_multiply_adds
from trainer.presets import find_preset
from trainer.training.run_folder import Run, Sources
from trainer.training.sample_sheet import draw_contact_sheet, read_heldout
from trainer.training.state import load_trained_generator
from trainer.training.state_file import SavedState, load_newest_state, save_state
from trainer.training.train import TrainingProgress, train

FRAME_HEIGHT = 432
"""Short side in pixels of the photos in a pack: one of those that the preset `cel` samples."""

_ADVERSARIAL_SHARE = 0.15  # of all steps
_MEASURED_STEPS = 40  # to find out the speed
_BATCH_SIZE = 32  # a GPU is hardly busy with the preset's 8
_MARGIN_SECONDS = 14.0  # for the start, drawings from the cache and the states
_ADVERSARIAL_COST = 2.5  # time of its step, in steps of the initialization phase
_MAX_STATE_BYTES = 16 * 2**20


def run(settings: Settings, report: Report, variant: str) -> None:
    """Train, keep the state, draw a contact sheet."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    began = time.monotonic()
    data = settings.data or make_data(settings.work / "data")
    config = make_config(variant, settings.tiny)
    sources = Sources(data / "photos", data / "cartoons", cache=data / "cache")
    machine = Machine(
        device="cuda" if settings.device == "cuda" else "cpu",
        workers=max(2, min(14, (os.cpu_count() or 2) - 1)),
    )
    seconds = min(settings.training_minutes * 60 / 2, settings.seconds - _MARGIN_SECONDS)
    try:
        rate = _measure_speed(settings, config, sources, machine, variant)
        left = seconds - (time.monotonic() - began)
        config = _fit_to_time(config, rate, max(left, 1.0), settings.tiny)
        folder = Run(settings.work / variant)
        folder.claim("cel", config, sources)
        until = time.monotonic() + max(left, 1.0) * 1.15
        started = time.monotonic()
        progress = train(
            folder,
            config,
            sources,
            should_stop=lambda: time.monotonic() > until,
            machine=machine,
        )
        took = time.monotonic() - started
    except TrainingError as error:
        report.add(training_row(variant), f"failed: {one_line(error)}")
        return
    kept = keep_state(folder, settings.out / f"{variant}.pt")
    generator, _ = load_trained_generator(folder.states, config)
    _draw_sheet(generator, data / "photos", settings.out / f"{variant}.jpg")
    figures = {name: round(value, 4) for name, value in progress.figures.items()}
    images = progress.step * config.batch_size / took
    losses = ", ".join(
        f"{name} {value}" for name, value in figures.items() if name.startswith(("layer", "disc"))
    )
    report.add(
        training_row(variant),
        f"{progress.step} of {config.steps} steps of {config.batch_size} crops of {config.crop} in "
        f"{took:.0f} s, {images:.0f} images/s; {losses}; {kept}",
        steps=progress.step,
        seconds=round(took, 1),
        images_per_second=round(images, 1),
        multiply_adds_per_pixel=round(count_multiply_adds(generator)),
        onnx_bytes=len(to_onnx(generator)),
        skipped=[str(path) for path in progress.skipped],
        figures=figures,
    )


def make_config(variant: str, tiny: bool) -> TrainConfig:
    """Return the config of `cel` or `cel-hq`, before its length is known."""
    config = replace(
        find_preset("cel"),
        frame_heights=(FRAME_HEIGHT,),
        batch_size=_BATCH_SIZE,
        save_every=10_000_000,  # at the end only
        cartoon_colors=0.0,  # whose statistics take some seconds of every start
        log_every=20,
    )
    if variant == "cel-hq":
        config = replace(config, width=HQ_WIDTH, blocks=HQ_BLOCKS)
    if tiny:
        small = {"crop": 64, "frame_heights": (128,), "batch_size": 2, "width": 8, "blocks": 1}
        config = replace(config, **small, log_every=1, discriminator_width=4)
    return config


def make_data(folder: Path) -> Path:
    """Write frames of the demo scene as photos and as cartoons, where there is nothing else."""
    for kind in ("photos", "cartoons"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            frame = draw_scene(400, 240, 5.0 * number)
            cv2.imwrite(str(folder / kind / f"{number}.jpg"), frame[:, :, ::-1])
    return folder


def prepare_drawings(photos: Path, cache: Path) -> None:
    """Draw all photos of a folder into a cache, as the configs of this module ask for them."""
    config = make_config("cel", tiny=False)
    crops = PhotoCrops(
        photos, cache, LAYERED_DRAWING, config.frame_heights, config.crop, config.seed
    )
    for path in crops.images.paths:
        crops.prepare(path, FRAME_HEIGHT)


def keep_state(run: Run, target: Path) -> str:
    """Write the EMA of a run's generator as a state that `--start-from` takes.

    Returns:
        What was written, or that it would be too large.
    """
    saved = load_newest_state(run.states)
    assert saved, "a run that ended has a state"
    path = save_state(
        target.parent, SavedState(saved.step, {"ema": saved.values["ema"]}), target.name
    )
    size = path.stat().st_size
    if size > _MAX_STATE_BYTES:
        path.unlink()
        return f"state of {size} bytes left out"
    return f"{path.name}, {size / 2**20:.1f} MiB"


def _measure_speed(
    settings: Settings, config: TrainConfig, sources: Sources, machine: Machine, variant: str
) -> float:
    """Return steps per second of the initialization phase, from a short run of its own."""
    steps = 4 if settings.tiny else _MEASURED_STEPS
    short = replace(
        config,
        initialization=replace(config.initialization, steps=steps, pixel_only_steps=0),
        adversarial=replace(config.adversarial, steps=0),
    )
    run = Run(settings.work / f"{variant}-speed")
    run.claim("cel", short, sources)
    times: list[float] = []

    def note(progress: TrainingProgress) -> None:
        if settings.device == "cuda":
            torch.cuda.synchronize()
        times.append(time.monotonic())

    train(run, short, sources, on_progress=note, machine=machine)
    half = len(times) // 2
    return (len(times) - 1 - half) / (times[-1] - times[half])


def _fit_to_time(config: TrainConfig, rate: float, seconds: float, tiny: bool) -> TrainConfig:
    """Set the number of steps of both phases, so that they take about `seconds`."""
    cost = 1 - _ADVERSARIAL_SHARE + _ADVERSARIAL_SHARE * _ADVERSARIAL_COST
    steps = 8 if tiny else max(20, round(rate * seconds / cost))
    adversarial = max(2, round(steps * _ADVERSARIAL_SHARE))
    first = replace(
        config.initialization,
        steps=steps - adversarial,
        pixel_only_steps=(steps - adversarial) // 3,
        warmup_steps=min(config.initialization.warmup_steps, max(1, steps // 10)),
    )
    second = replace(
        config.adversarial,
        steps=adversarial,
        warmup_steps=min(config.adversarial.warmup_steps, max(1, adversarial // 10)),
    )
    decay = min(config.ema_decay, 1 - 10 / max(steps, 20))  # a short run has a short memory
    return replace(config, initialization=first, adversarial=second, ema_decay=decay)


def _draw_sheet(generator: torch.nn.Module, photos: Path, target: Path) -> None:
    sheet = draw_contact_sheet(generator, read_heldout(photos)[:4])
    cv2.imwrite(str(target), sheet[:, :, ::-1])

"""`toonvid train`: learn a style, or go on learning it, and export it as an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toonvid.commands.require_trainer import require_trainer
from toonvid.commands.stop_signals import stop_signals
from toonvid.commands.training_report import (
    in_short,
    messages,
    progress_bar,
    say,
    tell_skipped,
)
from toonvid.engine import user_engines
from toonvid.errors import TrainingError

DeviceName = Literal["auto", "cpu", "cuda"]

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.device import Machine
    from trainer.training.run_folder import Sources
    from trainer.training.sweep import Probe


def train(
    photos: Annotated[Path, typer.Option(help="Folder of photos to learn on, or a film.")],
    target: Annotated[
        Path, typer.Option("--target", "-o", help="The run's folder; the same one goes on.")
    ],
    cartoons: Annotated[
        Path | None,
        typer.Option(
            help="Folder of cartoons, or a film; without, the initialization phase alone."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="Which training to start from.")] = "lite",
    start_from: Annotated[
        Path | None,
        typer.Option(help="Run or training state to take the generator from, initialized already."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Run or style whose pictures to learn to make: --preset distilled."),
    ] = None,
    content_weights: Annotated[
        Path | None, typer.Option(help="Weights of the content network: safetensors or .pth.")
    ] = None,
    holdout: Annotated[
        Path | None, typer.Option(help="Folder of photos for contact sheets, never learned on.")
    ] = None,
    initialization_steps: Annotated[
        int | None, typer.Option(help="Batches of the initialization phase.")
    ] = None,
    adversarial_steps: Annotated[
        int | None, typer.Option(help="Batches of the adversarial phase.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops in a batch.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of a crop in pixels.")] = None,
    content_weight: Annotated[
        float | None, typer.Option(help="Of the content loss in both phases; 0 leaves it out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything drawn at random.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other value of the training."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for prepared photos, to be shared by runs.")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where to train.")] = "auto",
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="4GB", help="GPU memory for the whole process; all if not given."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Threads that prepare batches.", min=1)] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do one step of each phase, and tell what it takes.")
    ] = False,
    probe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=A,B,C", help="Short runs with each value, and one sheet to choose by."
        ),
    ] = None,
    probe_steps: Annotated[
        int, typer.Option(help="Most batches of each phase of a probe.", min=1)
    ] = 300,
    style: Annotated[
        str | None, typer.Option(help="Name of the engine; the run's folder's if not given.")
    ] = None,
    engines: Annotated[
        Path | None, typer.Option(help="Folder for the engine; the user's own if not given.")
    ] = None,
) -> None:
    """Learn a style from photos. The same command again goes on where it was stopped."""
    require_trainer()
    from rich.console import Console

    from toonvid.commands.build import build_where_possible
    from trainer.config import change_config
    from trainer.device import Machine, parse_memory
    from trainer.exporting.export import EngineText, export
    from trainer.prepare.training_videos import find_folder, is_prepared
    from trainer.presets import find_preset
    from trainer.training.dry_run import dry_run as try_phases
    from trainer.training.run_folder import Run, Sources
    from trainer.training.sweep import parse_probes
    from trainer.training.train import train as train_generator

    if start_from and initialization_steps is None:
        initialization_steps = 0
    flags = {
        "initialization.steps": initialization_steps,
        "adversarial.steps": adversarial_steps,
        "batch_size": batch_size,
        "crop": crop,
        "initialization.content_weight": content_weight,
        "adversarial.content_weight": content_weight,
        "seed": seed,
    }
    typed = [f"{name}={value}" for name, value in flags.items() if value is not None]
    typed += settings or []
    start = find_preset(preset, with_cartoons=cartoons is not None)
    config = change_config(start, typed)
    if teacher is not None and config.content_target != "teacher":
        raise TrainingError(f"the preset {preset} has no teacher; --preset distilled has one")
    text = EngineText(style or target.resolve().name)
    machine = Machine(device, parse_memory(memory_limit) if memory_limit else None, workers)
    console = Console()
    with messages(console):
        photos = find_folder(photos, target / "photos", config.crop)
        cartoons = find_folder(cartoons, target / "cartoons", config.crop) if cartoons else None
    if cartoons and is_prepared(cartoons):  # several scales are in it already
        config = change_config(start, ["cartoon_scales=1", *typed])
    sources = Sources(photos, cartoons, content_weights, start_from, teacher, holdout, cache)
    if dry_run:
        with messages(console):
            for trial in try_phases(config, sources, machine):
                say(console, trial.describe())
        return
    if probe is not None:
        _probe(console, parse_probes(probe, config, probe_steps), preset, sources, target, machine)
        return
    run = Run(target)
    run.claim(preset, config, sources)
    with stop_signals() as signals, progress_bar(console, config.steps) as show:
        progress = train_generator(run, config, sources, show, lambda: bool(signals), machine)
    tell_skipped(console, progress)
    if progress.step < progress.steps:
        say(console, f"Stopped after step {progress.step}; the same command goes on from there.")
        raise typer.Exit(128 + signals[0])
    engine = export(run, text, engines or user_engines())
    say(console, f"Wrote {engine.folder / engine.card.file_name('f32')}")
    build_where_possible(engine, console)


def _probe(
    console: Console,
    probes: list[Probe],
    preset: str,
    sources: Sources,
    target: Path,
    machine: Machine,
) -> None:
    """Train the probes and write their sheet."""
    from trainer.training.sweep import run_probes, write_probe_sheet

    if sources.heldout is None:
        raise TrainingError("the sheet of a probe shows held-out photos: give --holdout DIR")
    with stop_signals() as signals, messages(console):
        for probe, progress in run_probes(
            probes, preset, sources, target, machine, lambda: bool(signals)
        ):
            say(console, f"{probe.name}: step {progress.step}  {in_short(progress.figures)}")
    if signals:
        say(console, "Stopped; the same command goes on from there.")
        raise typer.Exit(128 + signals[0])
    say(console, f"Wrote {write_probe_sheet(probes, target, sources.heldout)}")

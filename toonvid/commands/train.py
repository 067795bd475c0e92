"""`toonvid train`: photos and cartoons in, a training run and an engine out.

Options become a configuration here; the training is `trainer.training.train`, and the export after
it is `trainer.exporting.export`.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer
from rich.console import Console

from toonvid.bench.work_time import system_load
from toonvid.commands.bench_tables import QUIET_LOAD
from toonvid.commands.build import build_where_possible
from toonvid.commands.help import OUTPUT_PANEL
from toonvid.commands.interrupt import record_signals
from toonvid.commands.messages import count, format_duration, say
from toonvid.commands.options import complete_style, listed
from toonvid.commands.progress import memory_and_losses, training_bar
from toonvid.commands.torchrun import run_processes, signal_teller, speaking_console
from toonvid.commands.trainer_package import require_trainer, trainer_log
from toonvid.engine import copy_engine, read_engine, refuse_existing, user_engines
from toonvid.errors import EngineError, TrainingError
from toonvid.ffmpeg.nvidia import find_nvidia

DeviceName = Literal["auto", "cpu", "cuda"]

if TYPE_CHECKING:
    from trainer.device import Machine
    from trainer.training.dry_run import StepMeasurement
    from trainer.training.run_folder import Run, Sources
    from trainer.training.sweep import SweepRun
    from trainer.training.train import TrainingProgress

_DATA_PANEL = "Data"
_TRAINING_PANEL = "Training"
_MACHINE_PANEL = "Machine"
_TRIAL_PANEL = "Trials"
_PRESET_VALUE = "from the preset"  # shown as the default of options that override a preset


def train(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder of the training run. An existing run is resumed.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE",
            help="Photos to train on: a folder, or a video. Only --preset paint needs none.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = None,
    cartoons: Annotated[
        Path | None,
        typer.Option(
            metavar="SOURCE",
            help="Cartoons to train on: a folder, or a video. Without them, lite, cel"
            " and distilled run their initialization phase alone; the other presets need them.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Photos for the contact sheets, which are never trained on.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = None,
    content_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of the content network: safetensors or .pth.",
            show_default="downloaded once by PyTorch",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for prepared photos, which several runs may share.",
            show_default="in the run's folder",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Configuration to start from: lite, cel, paper, improved, cyclegan, paint"
            " or distilled.",
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = "lite",
    start_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run, training state or style of the preset cel whose generator is trained"
            " further; the initialization phase is left out.",
            autocompletion=complete_style,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="STYLE",
            help="Run or style that is imitated: its output with --preset distilled, its layers"
            " with cel.",
            autocompletion=complete_style,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    initialization_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Training steps of the initialization phase.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    adversarial_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Training steps of the adversarial phase.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of crops per batch.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of a crop.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    content_weight: Annotated[
        float | None,
        typer.Option(
            metavar="WEIGHT",
            help="Weight of the content loss in both phases; 0 leaves it out.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random seed.",
            show_default=_PRESET_VALUE,
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Override any other value of the configuration. May be repeated.",
            rich_help_panel=_TRAINING_PANEL,
        ),
    ] = None,
    device: Annotated[
        DeviceName,
        typer.Option(
            metavar="NAME",
            help=f"Where to train: {listed(get_args(DeviceName))}.",
            rich_help_panel=_MACHINE_PANEL,
        ),
    ] = "auto",
    memory_limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="GPU memory for the whole process, such as 4GB.",
            show_default="all of it",
            rich_help_panel=_MACHINE_PANEL,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Number of threads that prepare batches.",
            rich_help_panel=_MACHINE_PANEL,
        ),
    ] = 2,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Do some training steps of each phase, and print their time and memory, and the"
            " time of the whole run.",
            rich_help_panel=_TRIAL_PANEL,
        ),
    ] = False,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=A,B,C",
            help="Train a short run with each value, and write a contact sheet to choose by.",
            rich_help_panel=_TRIAL_PANEL,
        ),
    ] = None,
    sweep_steps: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Most training steps per phase of a run of the sweep.",
            rich_help_panel=_TRIAL_PANEL,
        ),
    ] = 300,
    style: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the style.",
            show_default="name of the run's folder",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    engines: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the engine.",
            show_default="your own styles",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
) -> None:
    """Train a style on photos and cartoons, and export it as an engine.

    The same command resumes a training that was stopped.

    Examples:
        toonvid train --photos holidays/ --cartoons film.mkv -o runs/mine
        toonvid train --photos holidays/ --cartoons film.mkv -o runs/mine --dry-run
        toonvid convert party.mp4 --style mine
    """
    require_trainer()
    from trainer.config import change_config
    from trainer.device import Machine, parse_memory
    from trainer.exporting.export import EngineText, export
    from trainer.prepare.training_videos import is_prepared
    from trainer.presets import find_preset
    from trainer.training.dry_run import dry_run as try_phases
    from trainer.training.run_folder import Run, Sources
    from trainer.training.sweep import parse_sweep
    from trainer.training.train import train as train_generator

    named = {each.partition("=")[0].strip() for each in settings or []}
    if start_from and initialization_steps is None and "initialization.steps" not in named:
        if cartoons is None:
            raise TrainingError(
                "--start-from leaves the initialization phase out: give --cartoons for the "
                "adversarial phase, or --initialization-steps"
            )
        initialization_steps = 0
    options = {
        "initialization.steps": initialization_steps,
        "adversarial.steps": adversarial_steps,
        "batch_size": batch_size,
        "crop": crop,
        "initialization.content_weight": content_weight,
        "adversarial.content_weight": content_weight,
        "seed": seed,
    }
    changes = [f"{name}={value}" for name, value in options.items() if value is not None]
    changes += settings or []
    with run_processes(device) as processes, speaking_console(processes) as console:
        if processes.share.count > 1 and (dry_run or sweep is not None):
            raise TrainingError("--dry-run and --sweep are for one process: start without torchrun")
        start = find_preset(preset, with_cartoons=cartoons is not None)
        config = change_config(start, changes)
        if teacher is not None and config.content_target not in ("teacher", "layers"):
            raise TrainingError(
                f"the preset {preset} has no teacher; --preset distilled and cel have one"
            )
        if (photos is None) != (config.content_target == "art"):
            raise typer.BadParameter(
                "--preset paint draws its line art from --cartoons, and takes no --photos"
                if photos
                else f"--preset {preset} needs --photos"
            )
        processes.check_batch(config.batch_size)
        text = EngineText(style or output.resolve().name)
        machine = Machine(device, parse_memory(memory_limit) if memory_limit else None, workers)
        with trainer_log(console):
            prepare = partial(_prepare_folders, photos, cartoons, output, config.crop)
            photos, cartoons = processes.from_first(prepare)
        run = Run(output)
        prepared = []  # images of a video hold several scales already
        if cartoons and is_prepared(cartoons):
            prepared += ["cartoon_scales=1"]
        # A run that an earlier version began goes on as it was.
        if photos and is_prepared(photos) and not run.has_other_enlargement():
            prepared += ["max_enlargement=1"]
        config = change_config(start, [*prepared, *changes])
        if photos is None:  # line art is drawn from the art
            photos, cartoons = cartoons, None
        assert photos
        sources = Sources(photos, cartoons, content_weights, start_from, teacher, holdout, cache)
        if dry_run:
            load = system_load()  # before the trial, when all of it is due to other programs
            with trainer_log(console):
                _print_trials(console, try_phases(config, sources, machine), load)
            return
        if sweep is not None:
            runs = parse_sweep(sweep, config, sweep_steps)
            _sweep(console, runs, preset, sources, output, machine)
            return
        engine_folder = engines or user_engines()
        if not run.may_replace(engine_folder / f"{text.style}.json"):
            refuse_existing(engine_folder, text.style, "give another --style NAME")
        processes.from_first(partial(run.claim, preset, config, sources))
        finished_before = run.is_finished()
        on_signal = signal_teller(console, processes)
        with record_signals(on_signal) as received, training_bar(console, config.steps) as show:
            progress = train_generator(
                run, config, sources, show, lambda: bool(received), machine, processes
            )
        _print_skipped(console, progress)
    if finished_before:
        option = run.record().lengthening_option()
        longer = f"A larger {option} makes it longer; " if option else ""
        say(
            console,
            f"This run was finished. {longer}--start-from begins another run with its generator.",
        )
    if progress.step < progress.steps:
        say(console, f"Stopped after step {progress.step}; the same command resumes from there.")
        raise typer.Exit(128 + (received or [signal.SIGTERM])[0])  # or another process got it
    if not processes.is_first:
        return
    if finished_before and _is_exported(run, engine_folder / f"{text.style}.json", progress.step):
        return  # nothing is new, and its card may have got more texts and an int8 file since
    with tempfile.TemporaryDirectory() as scratch:
        engine = export(run, text, Path(scratch))
        # Noted first: an engine that is copied and not noted would be taken for another style.
        run.note_export(engine)
        engine = copy_engine(engine, engine_folder)
    say(console, f"Wrote {engine.folder / engine.card.file_name('f32')}")
    # Not where TensorRT alone is installed: it may have come with the packages for tests. Plans for
    # another machine are built by `toonvid export` and `toonvid build`.
    if find_nvidia().gpus:
        build_where_possible(engine, console)


def _is_exported(run: Run, card: Path, step: int) -> bool:
    """Whether an engine was exported from this state of a run, and has all its files."""
    if not run.has_exported(card):
        return False
    try:
        engine = read_engine(card)
        engine.check_files()
    except EngineError:
        return False
    return engine.card.training_step == step


def _prepare_folders(
    photos: Path | None, cartoons: Path | None, output: Path, crop: int
) -> tuple[Path | None, Path | None]:
    """Return the folders of photos and cartoons; videos are cut into images in the run's folder."""
    from trainer.prepare.training_videos import dataset_folder

    return (
        dataset_folder(photos, output / "photos", crop) if photos else None,
        dataset_folder(cartoons, output / "cartoons", crop) if cartoons else None,
    )


def _sweep(
    console: Console,
    runs: list[SweepRun],
    preset: str,
    sources: Sources,
    target: Path,
    machine: Machine,
) -> None:
    """Train a short run for each value, and write the contact sheet."""
    from trainer.training.sweep import run_sweep, write_sweep_sheet

    if sources.heldout is None:
        raise TrainingError("the sheet of a sweep shows held-out photos: give --holdout DIR")
    on_signal = partial(say, console)
    with record_signals(on_signal) as received, trainer_log(console):
        for run, progress in run_sweep(
            runs, preset, sources, target, machine, lambda: bool(received)
        ):
            figures = memory_and_losses(progress.figures)
            say(console, f"{run.name}: step {progress.step}  {figures}")
    if received:
        say(console, "Stopped; the same command resumes from there.")
        raise typer.Exit(128 + received[0])
    say(console, f"Wrote {write_sweep_sheet(runs, target, sources.heldout)}")


def _print_trials(console: Console, trials: Iterator[StepMeasurement], load: float | None) -> None:
    """Print what a step of each phase takes, and how long the run would take."""
    found = []
    for trial in trials:
        say(console, trial.describe())
        found.append(trial)
    steps = " + ".join(f"{trial.steps:,}" for trial in found)
    fewest = min(trial.measured_steps for trial in found)
    total = format_duration(sum(trial.phase_seconds for trial in found))
    kind = f"the median of {fewest}" if fewest > 1 else "the one measured"
    say(console, f"The whole run: about {total} for {steps} steps, each as long as {kind}.")
    if load is not None and load > QUIET_LOAD:
        say(
            console,
            f"This machine was busy before (load {load:.1f}): alone, the run takes less time.",
        )


def _print_skipped(console: Console, progress: TrainingProgress) -> None:
    """Count the images that could not be used; the trainer has logged why, one by one."""
    if progress.skipped:
        names = ", ".join(path.name for path in progress.skipped)
        say(console, f"Skipped {count(len(progress.skipped), 'image')}: {names}")

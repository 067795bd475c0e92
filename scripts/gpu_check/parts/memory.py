"""The preset `paper` at 256 x 256 in 3.2 GB of GPU memory for the whole process.

Real training steps of both phases on noise, BatchNorm and the content loss of VGG-19 included; the
weights of VGG-19 are random, which takes the same memory and time. The variant says whether the
convolutions use mixed precision, and whether gradient checkpointing is on from the start. A batch
that does not fit gets gradient checkpointing, then smaller parts, as in a real run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from gpu_check.report import Report, one_line
from gpu_check.rows import MEMORY_LIMIT, memory_row
from gpu_check.steps import Settings
from toonvid.errors import TrainingError
from trainer.config import TrainConfig
from trainer.data.dataset import Batch
from trainer.device import MB, cap_memory, open_device, parse_memory
from trainer.gpu_memory import GpuUse, OwnMemory, find_own_memory, read_gpu_use
from trainer.networks.content_features import VGG_LAYERS
from trainer.presets import find_preset
from trainer.training.dry_run import last_steps
from trainer.training.memory import MemoryPlan, describe_plan, initial_plan
from trainer.training.state import TrainingState, create_state
from trainer.training.step_inputs import prepare_step
from trainer.training.train import train_step

_SHARE_OF_TIME = 0.6  # of the step's time for training steps; the rest is for the start


def run(settings: Settings, report: Report, variant: str) -> None:
    """Train both phases for a while, and write what they took."""
    deadline = time.monotonic() + (0 if settings.tiny else settings.seconds * _SHARE_OF_TIME)
    config = make_config(variant, settings.tiny)
    before = read_gpu_use()
    weights = settings.work / "vgg19.safetensors"
    if not weights.is_file():
        write_random_vgg(weights)
    device = open_device("cuda" if settings.device == "cuda" else "cpu")
    cap_memory(device, parse_memory(MEMORY_LIMIT))
    state = create_state(config, weights, device)
    plan = initial_plan(config)
    if "one image" in variant:
        plan = replace(plan, micro_batch=1)
    steps = last_steps(config)
    for number, step in enumerate(steps):
        share = (deadline - time.monotonic()) / (len(steps) - number)
        name = config.phase_at(step)[0]
        try:
            text, values = measure_phase(state, step, plan, share, before)
        except TrainingError as error:
            report.add(memory_row(variant, name), f"failed: {one_line(error)}")
            continue
        report.add(memory_row(variant, name), text, **values)


def make_config(variant: str, tiny: bool) -> TrainConfig:
    """Return the config of a variant; a tiny one has fewer channels, blocks and pixels."""
    config = replace(
        find_preset("paper"),
        precision="f32" if "float32" in variant else "auto",
        gradient_checkpointing="checkpointed" in variant,
    )
    if tiny:
        small = {"crop": 64, "frame_heights": (64,), "batch_size": 2, "width": 16, "blocks": 1}
        config = replace(config, **small, discriminator_width=4)
    return config


def measure_phase(
    state: TrainingState, step: int, first_plan: MemoryPlan, seconds: float, before: GpuUse | None
) -> tuple[str, dict[str, object]]:
    """Do steps of one phase for some seconds.

    Args:
        state: State of the run.
        step: Index of a step of the phase.
        first_plan: How the batch is processed at first. A batch that does not fit gets a plan that
            takes less.
        seconds: Time to spend, in seconds.
        before: The GPU's use before this process used it; None: unknown.

    Returns:
        The row in words and in values.

    Raises:
        TrainingError: One image at a time does not fit.
    """
    config, device = state.config, state.precision.device
    on_gpu = device.type == "cuda"
    _, phase, _ = config.phase_at(step)
    state.begin_phase(phase)
    state.memory.apply(first_plan)
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    batch = noise_batch(config, device, with_cartoons=step >= config.initialization.steps)
    times: list[float] = []
    measured: list[OwnMemory | None] = []
    until = time.monotonic() + seconds
    # The first steps find the plan and the fastest convolutions; they are not counted.
    while len(times) < 3 or time.monotonic() < until:
        began = time.monotonic()
        losses, _ = train_step(state, prepare_step(config, step, batch), phase.learning_rate)
        if on_gpu:
            torch.cuda.synchronize(device)
        times.append(time.monotonic() - began)
        if len(times) % 20 == 3:
            measured.append(find_own_memory(before, read_gpu_use()))
    if not all(loss.isfinite() for loss in losses.values()):
        raise TrainingError(f"losses are not finite: {losses}")
    counted = times[2:]
    images_per_second = config.batch_size * len(counted) / sum(counted)
    values: dict[str, object] = {
        "steps": len(times),
        "images_per_second": round(images_per_second, 2),
        "seconds_per_step": round(sum(counted) / len(counted), 4),
        "precision": state.precision.name,
        "plan": describe_plan(state.memory.plan),
        "checkpointed": state.memory.plan.gradient_checkpointing,
        "micro_batch": state.memory.plan.micro_batch,
    }
    text = (
        f"{len(times)} steps at {state.precision.name}, {images_per_second:.1f} images/s, "
        f"{describe_plan(state.memory.plan)}"
    )
    if on_gpu:
        allocated = torch.cuda.max_memory_allocated(device) / MB
        reserved = torch.cuda.max_memory_reserved(device) / MB
        values |= {"allocated_mb": round(allocated), "reserved_mb": round(reserved)}
        process, process_values = describe_process([each for each in measured if each])
        values |= process_values
        text += f"; peak {allocated:.0f} MB allocated, {reserved:.0f} reserved; {process}"
    return text, values


def describe_process(measured: list[OwnMemory]) -> tuple[str, dict[str, object]]:
    """Say how much GPU memory the process took at most, and how that is known.

    Args:
        measured: Its memory at several moments; none where the driver does not tell.
    """
    if not measured:
        return "whole process unknown: NVML does not answer", {}
    highest = max(measured, key=lambda each: each.size)
    limit = parse_memory(MEMORY_LIMIT) / MB
    size = highest.size / MB
    values: dict[str, object] = {
        "process_mb": round(size),
        "counted_by_process": highest.is_counted_by_process,
    }
    if highest.is_counted_by_process:
        fits = "within" if size <= limit else "ABOVE"
        return f"whole process {size:.0f} MB, {fits} {limit:.0f}", values
    if any(each.others_changed for each in measured):
        values["others_changed"] = True
        return f"whole process unknown: with what others took, {size:.0f} MB were added", values
    fits = "within" if size <= limit else "ABOVE"
    return f"whole process {size:.0f} MB, {fits} {limit:.0f}, as what was added", values


def noise_batch(config: TrainConfig, device: torch.device, with_cartoons: bool) -> Batch:
    """Return a batch of noise as the config asks for it."""
    random = torch.Generator().manual_seed(config.seed)
    size = (config.batch_size, config.crop, config.crop, 3)
    # Channels last in memory, as real batches are.
    noise = [torch.rand(size, generator=random).permute(0, 3, 1, 2) * 2 - 1 for _ in range(4)]
    images = noise if with_cartoons else noise[:2]
    return Batch(*images, ink=(noise[0][:, :1] + 1) / 2).to(device)


def write_random_vgg(path: Path) -> None:
    """Write a VGG-19 with random weights, named as in torchvision."""
    torch.manual_seed(0)
    weights, inputs, outputs = {}, 3, 64
    for kind, number in VGG_LAYERS:
        if kind == "pool":
            outputs = min(2 * outputs, 512)
            continue
        weight = torch.empty(outputs, inputs, 3, 3)
        torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
        weights[f"features.{number}.weight"] = weight
        weights[f"features.{number}.bias"] = torch.zeros(outputs)
        inputs = outputs
    save_file(weights, str(path))

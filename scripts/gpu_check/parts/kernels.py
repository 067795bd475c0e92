"""What a training step spends its time on, by PyTorch's profiler: ten kernels, and the GPU's share.

On the CPU the operations take the place of the kernels.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_check.parts.memory import noise_batch, write_random_vgg
from gpu_check.parts.training import make_config
from gpu_check.report import Report, one_line
from gpu_check.rows import PROFILED, kernels_row
from gpu_check.steps import Settings
from trainer.config import TrainConfig
from trainer.device import open_device
from trainer.presets import find_preset
from trainer.training.dry_run import last_steps
from trainer.training.state import create_state
from trainer.training.step_inputs import prepare_step
from trainer.training.train import train_step

_SHOWN = 10
_WARM_UP, _STEPS = 5, 10
_KERNEL_NAME_LENGTH = 60


def run(settings: Settings, report: Report, variant: str) -> None:
    """Profile some steps of the last phase of each config."""
    device = open_device("cuda" if settings.device == "cuda" else "cpu")
    deadline = time.monotonic() + settings.seconds - 5
    for name in PROFILED:
        if time.monotonic() > deadline:
            return
        try:
            text, values = _profile(_config(name, settings.tiny), settings, device)
        except RuntimeError as error:
            report.add(kernels_row(name), f"failed: {one_line(error)}")
            continue
        report.add(kernels_row(name), text, **values)


def _config(name: str, tiny: bool) -> TrainConfig:
    if name != "paper":
        return make_config(name, tiny)
    from gpu_check.parts.memory import make_config as make_paper

    return make_paper("mixed", True) if tiny else replace(find_preset("paper"), batch_size=4)


def _profile(
    config: TrainConfig, settings: Settings, device: torch.device
) -> tuple[str, dict[str, object]]:
    weights = settings.work / "vgg19.safetensors"
    if config.needs_content_network and not weights.is_file():
        write_random_vgg(weights)
    state = create_state(config, weights, device)
    step = last_steps(config)[-1]
    _, phase, _ = config.phase_at(step)
    state.begin_phase(phase)
    batch = noise_batch(config, device, with_cartoons=True)
    on_gpu = device.type == "cuda"

    def do_steps(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            train_step(state, prepare_step(config, step, batch), phase.learning_rate)
        if on_gpu:
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / count

    steps = 1 if settings.tiny else _STEPS
    do_steps(1 if settings.tiny else _WARM_UP)
    seconds = do_steps(steps)
    # The profiler slows the CPU's part down, so the share is of the time without it.
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        do_steps(steps)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    times: Counter[str] = Counter()
    for event in profiler.events() or []:
        if event.device_type == kind and not getattr(event, "is_user_annotation", False):
            spent = event.device_time_total if on_gpu else event.self_cpu_time_total
            times[event.name] += spent / 1e6 / steps
    whole = sum(times.values())
    top = [
        {"kernel": name[:_KERNEL_NAME_LENGTH], "milliseconds": round(spent * 1000, 3)}
        for name, spent in times.most_common(_SHOWN)
    ]
    busy = whole / seconds
    listed = "; ".join(f"{each['milliseconds']} {each['kernel']}" for each in top)
    where = "GPU busy" if on_gpu else "CPU operations"
    text = f"{seconds * 1000:.1f} ms a step, {where} {busy:.0%}; ms of kernels: {listed}"
    values: dict[str, object] = {"milliseconds_per_step": round(seconds * 1000, 2)}
    return text, values | {"busy_share": round(busy, 3), "kernels": top}

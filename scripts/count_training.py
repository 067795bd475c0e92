"""Count the multiply-adds of training steps, from which times on other machines are estimated.

    python scripts/count_training.py RESNET [PRESET...]

In: weights of ResNet-50, and names of presets, by default all. Out: a row of a Markdown table for
each phase: the multiply-adds of convolutions and matrix products, forward and backward, in one step
on noise, in as many images of the size that the preset has. VGG-19 has random weights, which cost
as much as the real ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gpu_check.parts.memory import noise_batch, write_random_vgg
from torch.utils.flop_counter import FlopCounterMode

from trainer.config import TrainConfig
from trainer.device import open_device
from trainer.presets import PRESETS
from trainer.training.dry_run import last_steps
from trainer.training.memory import initial_plan
from trainer.training.state import create_state
from trainer.training.step_inputs import prepare_step
from trainer.training.train import train_step


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("resnet", type=Path, metavar="RESNET")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=", ".join(PRESETS))
    options = parser.parse_args()
    if unknown := set(options.presets) - set(PRESETS):
        parser.error(f"no preset {min(unknown)}; there are: {', '.join(PRESETS)}")
    print("| preset | phase | steps | 10^9 multiply-adds a step | 10^15 in all |")
    print("|---" * 5 + "|")
    with tempfile.TemporaryDirectory() as folder:
        vgg = Path(folder) / "vgg19.safetensors"
        write_random_vgg(vgg)
        for name in options.presets or PRESETS:
            config = PRESETS[name]
            weights = vgg if config.content_network == "vgg19" else options.resnet
            for phase, steps, step_cost, cost in count(config, weights):
                cells = (f"`{name}`", phase, f"{steps:,}", f"{step_cost:,.0f}", f"{cost:,.2f}")
                print(f"| {' | '.join(cells)} |", flush=True)


def count(config: TrainConfig, weights: Path) -> Iterator[tuple[str, int, float, float]]:
    """Count a step of each phase of a preset.

    Yields:
        Name of the phase, its number of steps, 10^9 multiply-adds of its last step, and 10^15 of
        all its steps; steps of the pixel losses alone are counted as such.
    """
    device = open_device("cpu")
    state = create_state(config, weights, device)
    for last in last_steps(config):
        name, phase, step_of_phase = config.phase_at(last)
        state.begin_phase(phase)
        state.memory.apply(initial_plan(config))
        alone = min(phase.pixel_only_steps, step_of_phase)
        batch = noise_batch(config, device, name == "adversarial")
        costs = []
        for step in (last - step_of_phase, last) if alone else (last, last):
            with FlopCounterMode(display=False) as counter:
                train_step(state, prepare_step(config, step, batch), 0.0)
            costs.append(counter.get_total_flops() / 2e9)
        first, other = costs
        yield name, phase.steps, other, (alone * first + (phase.steps - alone) * other) / 1e6


if __name__ == "__main__":
    main()

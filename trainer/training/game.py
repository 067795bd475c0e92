"""Generator and discriminator of a run, ready to play: made, resumed, or begun from another run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from toonvid.errors import TrainingError
from trainer.config import PhaseConfig, TrainConfig
from trainer.networks.build import make_discriminator, make_generator
from trainer.networks.content_features import ContentFeatures, load_content_features
from trainer.training.players import Player
from trainer.training.precision import Precision, choose_precision
from trainer.training.state import TrainingState, Values, find_state, load_newest_state, load_state


@dataclass(frozen=True)
class Game:
    """Who plays, and by which rules."""

    config: TrainConfig
    precision: Precision
    generator: Player
    mean: AveragedModel
    """The running mean of the generator's weights: what is exported."""
    discriminator: Player | None
    """None where there is no adversarial phase."""
    features: ContentFeatures | None
    """None where no loss asks for a content network."""

    def players(self) -> Iterator[Player]:
        """The generator, and the discriminator if there is one."""
        yield self.generator
        if self.discriminator:
            yield self.discriminator

    def begin_phase(self, phase: PhaseConfig) -> None:
        """Let the players forget the momentum of the phase before."""
        for player in self.players():
            player.begin_phase(phase)

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(player.is_finite() for player in self.players())

    def capture(self) -> dict[str, Values]:
        """All that the players' further way depends on."""
        values = {"generator": self.generator.capture(), "mean": self.mean.state_dict()}
        if self.discriminator:
            values["discriminator"] = self.discriminator.capture()
        return values

    def restore(self, state: TrainingState) -> None:
        """Go on from a state with what `capture` gave in it."""
        _, phase, done = self.config.phase_after(state.step)
        self.begin_phase(phase)
        self.generator.restore(state.values["generator"], same_phase=done > 0)
        self.mean.load_state_dict(state.values["mean"])
        if self.discriminator:
            self.discriminator.restore(state.values["discriminator"], same_phase=done > 0)

    def start_from(self, place: Path) -> None:
        """Begin with the running mean of another run's generator.

        Args:
            place: The run's folder, or one of its training states.

        Raises:
            TrainingError: There is no training state, or it is another network's.
        """
        path = find_state(place)
        try:
            self.mean.load_state_dict(load_state(path).values["mean"])
        except (RuntimeError, KeyError) as error:
            raise TrainingError(f"{path} holds another generator than this run's config") from error
        self.generator.network.load_state_dict(self.mean.module.state_dict())


def open_game(config: TrainConfig, content_weights: Path | None, device: torch.device) -> Game:
    """Both players with random weights, which the seed decides, and the content network.

    Raises:
        TrainingError: The content network's weights are not there, or are another network's.
    """
    torch.manual_seed(config.seed)
    precision = choose_precision(config.precision, device)
    generator = make_generator(config).to(device)
    mean = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    discriminator = make_discriminator(config).to(device) if config.adversarial.steps else None
    features = None
    if config.needs_content:
        features = load_content_features(config.content_network, content_weights)
        features = features.to(device, memory_format=torch.channels_last)
    return Game(
        config,
        precision,
        Player(generator, precision),
        mean.eval(),
        Player(discriminator, precision) if discriminator else None,
        features,
    )


def load_trained_generator(states: Path, config: TrainConfig) -> tuple[nn.Module, int]:
    """The running mean of a run's generator, and the steps behind it.

    Args:
        states: The run's folder of training states.
        config: The run's.

    Raises:
        TrainingError: The run has no training state yet.
    """
    state = load_newest_state(states)
    if state is None:
        raise TrainingError(f"{states.parent} has no training state yet: train it first")
    mean = AveragedModel(make_generator(config))
    mean.load_state_dict(state.values["mean"])
    return mean.module.eval(), state.step

"""A run's course: where it is, what it leaves behind, and how it goes back when it went wrong."""

from __future__ import annotations

import copy
import logging
import time
from pathlib import Path

import torch
from torch import Tensor

from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.config import PhaseName
from trainer.data.dataset import Dataset
from trainer.training.game import Game
from trainer.training.memory import MemoryKeeper, MemoryPlan, describe_plan, measure_memory
from trainer.training.monitors import Watchdog, find_no_number
from trainer.training.phases import Lesson, Terms, draw_lesson
from trainer.training.players import learning_rate
from trainer.training.run_folder import Run
from trainer.training.run_log import RunLog
from trainer.training.sample_sheet import draw_contact_sheet
from trainer.training.state import TrainingState, load_newest_state, save_state

log = logging.getLogger(__name__)

INITIALIZED = "initialization.pt"
"""State at the end of the initialization phase: what other runs may start from."""

RETREATS = 3
"""How often a run goes back to its last good state before it gives up."""

RETREAT_RATE = 0.5
"""What the learning rate is multiplied by each time."""


class Course:
    """Gives the lessons of a run in order, and records what comes of them; a context manager."""

    def __init__(
        self,
        run: Run,
        game: Game,
        dataset: Dataset,
        heldout: list[Pixels],
        start_from: Path | None = None,
        workers: int = 2,
    ) -> None:
        """Go on where the run was left, or begin.

        Args:
            run: The run's folder.
            game: Its players; they get what the newest training state knows.
            dataset: Its pictures.
            heldout: Photos for contact sheets, squares of one size; none draws no sheets.
            start_from: Run or state whose generator a new run begins with.
            workers: Threads that prepare batches.

        Raises:
            TrainingError: All training states are damaged, or there is nothing to start from.
        """
        self.game = game
        self.config = game.config
        self.step = 0
        """Steps done."""
        self.figures: dict[str, float] = {}
        """As last logged."""
        self.skipped = dataset.skipped
        plan = MemoryPlan(self.config.batch_size, self.config.gradient_checkpointing)
        self.memory = MemoryKeeper(plan, [player.network for player in game.players()])
        self._run = run
        self._dataset = dataset
        self._heldout = heldout
        self._workers = workers
        self._retreats = 0
        self._start: TrainingState | None = None
        if state := load_newest_state(run.states):
            self._go_on(state)
            log.info("going on after step %d of %d", self.step, self.config.steps)
            return
        if start_from:
            game.start_from(start_from)
        # Kept until the first state is written: so far there is no other to go back to.
        self._start = copy.deepcopy(self._capture())

    def __enter__(self) -> Course:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def phase(self) -> PhaseName:
        """Of the last step done, or of the first one."""
        return self.config.phase_after(max(self.step - 1, 0))[0]

    @property
    def pictures_per_second(self) -> float:
        """Over the steps since the run was started, resumed or went back."""
        seconds = time.monotonic() - self._started
        return (self.step - self._first_step) * self.config.batch_size / seconds

    @property
    def learning_rate(self) -> float:
        """For the next step."""
        _, phase, done = self.config.phase_after(self.step)
        return learning_rate(phase, done) * RETREAT_RATE**self._retreats

    def next_lesson(self) -> Lesson:
        """What the next step learns from; a new phase begins where it is due."""
        name, phase, done = self.config.phase_after(self.step)
        if done == 0:
            self.game.begin_phase(phase)
        if done == 0 or self._watchdog is None:
            repeats = name == "initialization" and self.config.content_target == "photo"
            self._watchdog = Watchdog(may_equal=repeats)
        batch = next(self._batches).to(self.game.precision.device)
        return draw_lesson(self.config, self.step, batch)

    def finish_step(self, lesson: Lesson, terms: Terms, generated: Tensor, ending: bool) -> None:
        """Log, draw and save what is due after a step; go back if its numbers lead nowhere.

        Args:
            lesson: The step's.
            terms: Its losses.
            generated: G(p), (N, 3, H, W).
            ending: Whether no step follows: then all is due.

        Raises:
            TrainingError: Going back did not help, or the disk is full.
        """
        config, rate = self.config, self.learning_rate
        self.step += 1
        ending |= self.step == config.steps
        logging, drawing, saving = (
            ending or self.step % every == 0
            for every in (config.log_every, config.sheet_every, config.save_every)
        )
        initialized = self.step == config.initialization.steps < config.steps
        if logging or saving or initialized:
            losses = {name: term.item() for name, term in terms.items()}
            problem = find_no_number(losses)
            if not problem and (saving or initialized) and not self.game.is_finite():
                problem = "a weight is no number any more"
            if problem:
                self._retreat(problem)
                return
        if logging:
            self._log(losses, lesson.batch.photos, generated, rate)
        if drawing and self._heldout:
            self._log_file.draw(self.step, draw_contact_sheet(self.game.mean.module, self._heldout))
        if saving:
            self.save()
        if initialized:
            save_state(self._run.states, self._capture(), INITIALIZED)

    def save(self) -> None:
        """Write a training state.

        Raises:
            TrainingError: The disk is full.
        """
        save_state(self._run.states, self._capture())
        self._start = None

    def _log(self, losses: dict[str, float], photos: Tensor, made: Tensor, rate: float) -> None:
        assert self._watchdog
        seen, alarms = self._watchdog.look(photos, made)
        self.figures = {
            **losses,
            "learning_rate": rate,
            "pictures_per_second": round(self.pictures_per_second, 2),
            **seen,
            **measure_memory(self.game.precision.device),
        }
        self._log_file.write(self.step, self.phase, self.figures)
        for alarm in alarms:
            self._tell(alarm)

    def _tell(self, event: str) -> None:
        log.warning("after step %d: %s", self.step, event)
        self._log_file.note(self.step, event)

    def _retreat(self, problem: str) -> None:
        """Go back to the last good state with a lower learning rate."""
        if self._retreats == RETREATS:
            raise TrainingError(
                f"{problem} at step {self.step}, after going back {RETREATS} times: "
                "begin a new run with a lower learning rate or other weights"
            )
        failed, retreats = self.step, self._retreats + 1
        self._close()
        state = load_newest_state(self._run.states) or self._start
        assert state
        self._go_on(copy.deepcopy(state))
        self._retreats = retreats
        self._open()
        rate = RETREAT_RATE**retreats
        self._tell(f"{problem} at step {failed}; back to here with {rate:g} of the learning rate")
        if not self._start:
            self.save()  # so that a resumed run keeps to the lower rate

    def _capture(self) -> TrainingState:
        """Everything that the rest of the run depends on. The order of the pictures and all that is
        drawn at random are decided by the step; PyTorch's own numbers are kept all the same."""
        values = {
            **self.game.capture(),
            "memory": self.memory.capture(),
            "retreats": self._retreats,
            "random": torch.get_rng_state(),
        }
        return TrainingState(self.step, values)

    def _go_on(self, state: TrainingState) -> None:
        self.game.restore(state)
        self.memory.restore(state.values["memory"])
        torch.set_rng_state(state.values["random"])
        self._retreats = state.values["retreats"]
        self.step = state.step
        if self.memory.plan.micro_batch < self.config.batch_size:
            log.info("memory: %s", describe_plan(self.memory.plan))

    def _open(self) -> None:
        self._log_file = RunLog(self._run, self.step)
        self._batches = self._dataset.batches(self.step, self._workers)
        self._watchdog: Watchdog | None = None
        self._started, self._first_step = time.monotonic(), self.step

    def _close(self) -> None:
        self._batches.close()
        self._log_file.close()

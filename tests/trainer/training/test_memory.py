"""When memory runs out less is held at a time, and at the end a crop that fits is named."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

import trainer.training.train
from toonvid.errors import TrainingError
from trainer.config import PhaseConfig, TrainConfig
from trainer.data.dataset import Batch
from trainer.networks.checkpointing import Stages
from trainer.training.memory import MemoryKeeper, MemoryPlan, measure_memory
from trainer.training.phases import Lesson
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state

PHASE = PhaseConfig(steps=1, learning_rate=1.0, pixel_weight=1.0)


def lesson(side: int = 96) -> Lesson:
    return Lesson(PHASE, True, Batch(torch.zeros(8, 3, side, side)), None, (0, 1))


def keeper() -> MemoryKeeper:
    return MemoryKeeper(MemoryPlan(8), [nn.Sequential(Stages(nn.ReLU()))])


def test_checkpointing_comes_first_then_smaller_and_smaller_parts() -> None:
    plans = [MemoryPlan(5)]
    while plan := plans[-1].thriftier():
        plans.append(plan)
    assert [(p.micro_batch, p.gradient_checkpointing) for p in plans] == [
        *((5, False), (5, True), (3, True), (2, True), (1, True))
    ]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_step_that_does_not_fit_is_done_in_parts(error: Exception) -> None:
    memory = keeper()
    tried: list[tuple[int, bool]] = []

    def compute(lesson: Lesson, micro_batch: int) -> str:
        tried.append((micro_batch, memory.plan.gradient_checkpointing))
        if micro_batch > 2:
            raise error
        return "done"

    assert memory.fit(compute, lesson()) == "done"
    assert tried == [(8, False), (8, True), (4, True), (2, True)]
    assert memory.fit(compute, lesson()) == "done"
    assert len(tried) == 5  # what fitted once is kept to


def test_checkpointing_is_turned_on_in_the_networks() -> None:
    network = Stages(nn.ReLU())
    memory = MemoryKeeper(MemoryPlan(8), [network])
    assert not network.recompute
    memory.follow(MemoryPlan(4, gradient_checkpointing=True))
    assert network.recompute
    memory.restore(MemoryKeeper(MemoryPlan(2), [network]).capture())
    assert memory.plan == MemoryPlan(2)
    assert not network.recompute


def test_other_errors_are_not_taken_for_memory() -> None:
    def compute(lesson: Lesson, micro_batch: int) -> str:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        keeper().fit(compute, lesson())


def test_what_a_failed_try_held_is_free_before_the_next() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def compute(lesson: Lesson, micro_batch: int) -> str:
        gc.collect()
        alive.append(sum(ref() is not None for ref in held))
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        if micro_batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    keeper().fit(compute, lesson())
    assert alive == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("most", "advice"), [(64, "--crop 64 fits, in a new run"), (16, "whatever its size")]
)
def test_at_one_picture_a_crop_that_fits_is_named(most: int, advice: str) -> None:
    def compute(lesson: Lesson, micro_batch: int) -> str:
        if lesson.batch.photos.shape[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    with pytest.raises(TrainingError, match=f"out of memory with one picture at a time.*{advice}"):
        keeper().fit(compute, lesson(96))


def test_a_run_that_runs_out_of_memory_goes_on_and_remembers(
    tmp_path: Path,
    photos: Path,
    cartoons: Path,
    both_phases: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("generator_gradients", "discriminator_gradients"):
        true = getattr(trainer.training.train, name)

        def small(game: object, lesson: Lesson, micro_batch: int, true: object = true) -> object:
            made = true(game, lesson, micro_batch)
            if micro_batch > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return made

        monkeypatch.setattr(trainer.training.train, name, small)
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons)
    run.claim("lite", both_phases, sources)
    progress = trainer.training.train.train(run, both_phases, sources)
    assert progress.step == both_phases.steps
    state = load_newest_state(run.states)
    assert state is not None
    assert state.values["memory"] == {"micro_batch": 1, "gradient_checkpointing": 1}


def test_memory_is_measured() -> None:
    assert 50 < measure_memory(torch.device("cpu"))["memory_mb"] < 50_000

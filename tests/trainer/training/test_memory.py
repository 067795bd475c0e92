"""Out of memory, a step is done in smaller parts; at the end a crop that fits is named."""

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
from trainer.training.memory import MemoryManager, MemoryPlan, measure_memory
from trainer.training.run_folder import Run, Sources
from trainer.training.state_file import load_newest_state
from trainer.training.step_inputs import StepInputs

PHASE = PhaseConfig(steps=1, learning_rate=1.0, pixel_weight=1.0)


def step_inputs(side: int = 96) -> StepInputs:
    batch = Batch(torch.zeros(8, 3, side, side))
    return StepInputs(PHASE, True, batch, perturbation=None, shift=(0, 1))


def manager() -> MemoryManager:
    return MemoryManager(MemoryPlan(8), [nn.Sequential(Stages(nn.ReLU()))])


def test_gradient_checkpointing_comes_first_then_smaller_micro_batches() -> None:
    plans = [MemoryPlan(5)]
    while plan := plans[-1].smaller():
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
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        MemoryError(),
    ],
)
def test_a_step_that_does_not_fit_is_done_in_parts(error: Exception) -> None:
    memory = manager()
    tried: list[tuple[int, bool]] = []

    def compute(inputs: StepInputs, micro_batch: int) -> str:
        tried.append((micro_batch, memory.plan.gradient_checkpointing))
        if micro_batch > 2:
            raise error
        return "done"

    assert memory.run(compute, step_inputs()) == "done"
    assert tried == [(8, False), (8, True), (4, True), (2, True)]
    assert memory.run(compute, step_inputs()) == "done"
    assert len(tried) == 5  # the plan that fitted is kept


def test_a_plan_switches_gradient_checkpointing_in_the_networks() -> None:
    network = Stages(nn.ReLU())
    memory = MemoryManager(MemoryPlan(8), [network])
    assert not network.recompute
    memory.apply(MemoryPlan(4, gradient_checkpointing=True))
    assert network.recompute
    memory.restore(MemoryManager(MemoryPlan(2), [network]).capture())
    assert memory.plan == MemoryPlan(2)
    assert not network.recompute


def test_a_resumed_run_has_the_checkpointing_that_its_config_asks_for_now() -> None:
    off, on = MemoryPlan(8), MemoryPlan(8, gradient_checkpointing=True)
    for before, now in ((off, on), (on, off)):
        memory = MemoryManager(now, [])
        memory.restore(MemoryManager(before, []).capture())
        assert memory.plan == now
    ran_out = MemoryManager(off, [])
    ran_out.apply(MemoryPlan(2, gradient_checkpointing=True))
    memory = MemoryManager(off, [])
    memory.restore(ran_out.capture())
    assert memory.plan == MemoryPlan(2, gradient_checkpointing=True)  # nobody asked otherwise


def test_other_errors_are_raised() -> None:
    def compute(inputs: StepInputs, micro_batch: int) -> str:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        manager().run(compute, step_inputs())


def test_a_failed_attempt_is_freed_before_the_next() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def compute(inputs: StepInputs, micro_batch: int) -> str:
        gc.collect()
        alive.append(sum(ref() is not None for ref in held))
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        if micro_batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    manager().run(compute, step_inputs())
    assert alive == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("largest", "advice"),
    [(64, "--crop 64 fits, in a new run"), (16, r"whatever its size.* \(CUDA out of memory\)$")],
)
def test_when_one_image_does_not_fit_a_crop_that_does_is_named(largest: int, advice: str) -> None:
    def compute(inputs: StepInputs, micro_batch: int) -> str:
        if inputs.batch.photos.shape[-1] > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    with pytest.raises(TrainingError, match=f"out of memory with one image at a time.*{advice}"):
        manager().run(compute, step_inputs(96))


def test_a_run_that_runs_out_of_memory_goes_on_and_saves_its_plan(
    tmp_path: Path,
    photos: Path,
    cartoons: Path,
    both_phases: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("generator_gradients", "discriminator_gradients"):
        original = getattr(trainer.training.train, name)

        def small(
            state: object, inputs: StepInputs, micro_batch: int, original: object = original
        ) -> object:
            result = original(state, inputs, micro_batch)
            if micro_batch > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return result

        monkeypatch.setattr(trainer.training.train, name, small)
    run, sources = Run(tmp_path / "run"), Sources(photos, cartoons)
    run.claim("lite", both_phases, sources)
    progress = trainer.training.train.train(run, both_phases, sources)
    assert progress.step == both_phases.steps
    state = load_newest_state(run.states)
    assert state is not None
    plan = {"micro_batch": 1, "gradient_checkpointing": 1}
    assert state.values["memory"] == {**plan, "asked_for_checkpointing": 0}


def test_memory_is_measured() -> None:
    assert 50 < measure_memory(torch.device("cpu"))["memory_mb"] < 50_000

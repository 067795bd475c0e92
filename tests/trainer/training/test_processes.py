"""Two processes learn what one learns from the same batches, and stop, resume and fail together."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.state_tensors import tensors
from support.torchrun import needs_gloo, output_of, start_two
from support.two_processes import COLOR_CROPS, Scenario
from torch import Tensor, nn

from toonvid.errors import TrainingError
from trainer.config import TrainConfig, change_config
from trainer.data import dataset
from trainer.data.share import WHOLE, Share
from trainer.presets import CYCLEGAN, PRESETS
from trainer.training.open_dataset import open_dataset
from trainer.training.phases import generator_gradients
from trainer.training.processes import ALONE, Processes
from trainer.training.run_folder import Run, Sources
from trainer.training.state import create_state
from trainer.training.state_file import load_newest_state
from trainer.training.step_inputs import prepare_step
from trainer.training.train import train

CPU = torch.device("cpu")
ROUNDING = 1e-4
"""Largest distance between momenta of one and of two processes, relative to their norm."""
SMALL = ("crop=32", "frame_heights=36", "blocks=1", "discriminator_width=4", "precision=f32")

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def lite(both_phases: TrainConfig) -> TrainConfig:
    """All losses of `lite` but the content loss, on three of four images, and noisy photos."""
    settings = ("batch_size=4", "content_images=3", "noisy_share=0.5", "precision=f32")
    return change_config(both_phases, [*settings, "cartoon_colors=0.5", "ema_decay=0.5"])


@pytest.fixture(scope="module")
def cyclegan() -> TrainConfig:
    """CycleGAN whose pools of three images are full after the first of two steps."""
    pool = ("batch_size=4", "width=8", "image_pool=3", "adversarial.steps=2", "log_every=1")
    return change_config(CYCLEGAN, [*SMALL, *pool])


@pytest.fixture(scope="module")
def paper() -> TrainConfig:
    """The generator with BatchNorm, for one step."""
    weights = ("initialization.content_weight=0", "initialization.pixel_weight=1")
    steps = ("initialization.steps=1", "adversarial.steps=0", "batch_size=4", "width=16")
    return change_config(PRESETS["paper"], [*SMALL, *weights, *steps])


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    photos: Path,
    cartoons: Path,
    lite: TrainConfig,
    cyclegan: TrainConfig,
    paper: TrainConfig,
) -> Path:
    """Runs that two processes trained, by the names of their folders."""
    folder = tmp_path_factory.mktemp("two")
    sources = Sources(photos, cartoons, cache=folder / "cache")
    for name, stop_after in (("whole", None), ("resumed by two", 2)):
        train_alone(folder / name, lite, replace(sources, cache=folder / "cache-1"), stop_after)
    train_alone(folder / "cyclegan of one", cyclegan, sources)
    half = change_config(lite, ["precision=f16"])
    train_alone(folder / "half", half, sources)
    scenarios = [
        Scenario(folder / "two", lite, sources),
        Scenario(folder / "resumed by two", lite, sources),
        Scenario(folder / "resumed by one", lite, sources, stop_after=4),
        Scenario(folder / "cyclegan", cyclegan, sources),
        Scenario(folder / "paper", paper, Sources(photos)),
        Scenario(folder / "memory", lite, sources, fault="memory"),
        Scenario(folder / "nan", lite, sources, fault="nan"),
        Scenario(folder / "infinite", half, sources, fault="infinite"),
    ]
    file = folder / "scenarios"
    file.write_bytes(pickle.dumps(scenarios))
    started = start_two("-m", "support.two_processes", file)
    output = output_of(started)
    assert started.returncode == 0, output
    return folder


def train_alone(
    folder: Path, config: TrainConfig, sources: Sources, stop_after: int | None = None
) -> None:
    """Train or resume a run in this process alone."""
    run, steps = Run(folder), []
    run.claim("lite", config, sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "COLOR_CROPS", COLOR_CROPS)
        train(
            run,
            config,
            sources,
            lambda progress: steps.append(progress.step),
            lambda: steps[-1] + 1 == stop_after,
        )


def saved(folder: Path) -> dict[str, Tensor]:
    state = load_newest_state(Run(folder).states)
    assert state
    return tensors(dict(state.values))


def assert_equal_gradients(ours: Path, theirs: Path) -> None:
    """Compare the momenta, which are sums of gradients, network by network."""
    first, second = saved(ours), saved(theirs)
    assert first.keys() == second.keys()
    for network in ("generator", "discriminator"):
        momenta = [n for n in first if n.startswith(f"/{network}/opt") and n.endswith("exp_avg")]
        assert momenta
        one, two = (torch.cat([s[name].flatten() for name in momenta]) for s in (first, second))
        assert one.norm() > 0
        assert (one - two).norm() <= ROUNDING * one.norm(), network


def assert_equal_up_to_rounding(ours: Path, theirs: Path) -> None:
    """Compare the gradients, then the weights that are exported."""
    assert_equal_gradients(ours, theirs)
    first, second = saved(ours), saved(theirs)
    for name in (name for name in first if name.startswith("/ema/module")):
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-4)


def assert_same_in_both(folder: Path) -> None:
    """Both processes have the same weights, optimizers and statistics, bit for bit."""
    first, second = (tensors(torch.load(folder / f"process-{i}.pt")) for i in range(2))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@needs_gloo
@pytest.mark.parametrize("name", ["two", "resumed by two", "cyclegan", "paper", "memory"])
def test_both_processes_have_the_same_state_at_the_end(runs: Path, name: str) -> None:
    assert_same_in_both(runs / name)


@needs_gloo
def test_two_processes_learn_what_one_learns(runs: Path) -> None:
    assert_equal_up_to_rounding(runs / "whole", runs / "two")


@needs_gloo
def test_the_log_has_the_losses_of_whole_batches(runs: Path) -> None:
    one, two = ((runs / name / "stats.jsonl").read_text() for name in ("whole", "two"))
    lines = list(zip(*(map(json.loads, text.splitlines()) for text in (one, two)), strict=True))
    assert len(lines) == 6
    for ours, theirs in lines:
        assert ours.keys() == theirs.keys() >= {"pixel", "levels_from_photo"}
        for name in ours.keys() - {"phase", "memory_mb", "images_per_second"}:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-3, abs=1e-6), name


@needs_gloo
def test_a_shared_cache_has_the_drawings_that_one_process_makes(runs: Path) -> None:
    one, two = (
        {path.name: path.read_bytes() for path in (runs / name).iterdir()}
        for name in ("cache-1", "cache")
    )
    assert one and one.items() <= two.items()
    assert all(name.endswith(".jpg") for name in two)  # no part of a file is left


@needs_gloo
def test_a_run_resumes_with_another_number_of_processes(runs: Path, lite: TrainConfig) -> None:
    assert_equal_up_to_rounding(runs / "whole", runs / "resumed by two")
    stopped = load_newest_state(Run(runs / "resumed by one").states)
    assert stopped and stopped.step == 4  # where the second process alone was asked to stop
    record = Run(runs / "resumed by one").record()
    sources = Sources(Path(record.photos), Path(record.cartoons), cache=runs / "cache")
    train_alone(runs / "resumed by one", lite, sources)
    assert_equal_up_to_rounding(runs / "whole", runs / "resumed by one")


@needs_gloo
def test_image_pools_have_the_images_of_all_processes(runs: Path) -> None:
    # Not the weights: Adam makes full steps of the rounding of a bias before instance norm, whose
    # gradient is 0.
    assert_equal_gradients(runs / "cyclegan of one", runs / "cyclegan")
    one, two = saved(runs / "cyclegan of one"), saved(runs / "cyclegan")
    for pool in ("/cartoon_pool", "/photo_pool"):
        assert len(one[pool]) == 3
        torch.testing.assert_close(one[pool].float(), two[pool].float(), atol=2e-3, rtol=0)


@needs_gloo
def test_batch_norm_uses_each_processes_images_and_averages_its_statistics(
    runs: Path, paper: TrainConfig, photos: Path, tmp_path: Path
) -> None:
    gradients, statistics = 0.0, 0.0
    for share in (Share(0, 2), Share(1, 2)):
        state = create_state(paper, None, CPU)
        images = open_dataset(paper, Sources(photos), tmp_path, tmp_path, CPU, share)
        inputs = prepare_step(paper, 0, images.batch(0), share)
        generator_gradients(state, inputs, micro_batch=4)
        network = state.generator.network
        gradients = gradients + torch.cat([p.grad.flatten() for p in network.parameters()])
        running = [value for name, value in network.named_buffers() if "running" in name]
        statistics = statistics + torch.cat(running) / 2
    found = saved(runs / "paper")
    prefix = "/generator/optimizer/state"
    momenta = [found[f"{prefix}/{i}/exp_avg"] for i in range(len(list(network.parameters())))]
    momentum = torch.cat([value.flatten() for value in momenta])
    expected = (1 - paper.initialization.beta1) * gradients
    assert (momentum - expected).norm() <= ROUNDING * expected.norm()
    names = [name for name, _ in network.named_buffers() if "running" in name]
    averaged = torch.cat([found[f"/generator/network/{name}"] for name in names])
    torch.testing.assert_close(averaged, statistics)


@needs_gloo
def test_all_follow_the_memory_plan_of_the_one_whose_memory_runs_out(runs: Path) -> None:
    assert_equal_up_to_rounding(runs / "whole", runs / "memory")
    state = load_newest_state(Run(runs / "memory").states)
    assert state
    assert state.values["memory"].items() >= {"micro_batch": 1, "gradient_checkpointing": 1}.items()


@needs_gloo
def test_a_divergence_in_one_process_rolls_all_back(runs: Path) -> None:
    assert_same_in_both(runs / "nan")
    state = load_newest_state(Run(runs / "nan").states)
    assert state and state.step == 6 and state.values["rollbacks"] == 1
    assert (runs / "nan" / "stats.jsonl").read_text().count("rolled back") == 1


@needs_gloo
def test_an_overflow_in_one_process_skips_the_update_of_all(runs: Path) -> None:
    assert_same_in_both(runs / "infinite")
    states = [load_newest_state(Run(runs / name).states) for name in ("half", "infinite")]
    scales = [state.values["generator"]["scaler"]["scale"] for state in states if state]
    assert scales[1] == scales[0] / 2  # one overflow more than where nothing goes wrong


@needs_gloo
def test_processes_that_differ_and_one_that_does_not_answer_give_one_line_each() -> None:
    output = output_of(start_two("-m", "support.two_processes", "hang"))
    differing, silent = [line for line in output.splitlines() if line.startswith("got: ")]
    assert differing.startswith("got: the processes of this run have different numbers: give all")
    assert silent.startswith("got: another process of this run did not answer in time; its newest")


def test_shares_alternate_and_repeat_nothing() -> None:
    shares = [Share(index, 3) for index in range(3)]
    assert [list(share.indices(6, 6)) for share in shares] == [[6, 9], [7, 10], [8, 11]]
    assert [len(share.indices(0, 2)) for share in shares] == [1, 1, 0]
    assert list(WHOLE.indices(6, 3)) == [6, 7, 8]


def test_one_process_exchanges_nothing() -> None:
    layer = nn.Linear(2, 2)
    ALONE.sum_gradients(layer)
    assert layer.weight.grad is None
    assert ALONE.any(True) and not ALONE.any(False)
    assert ALONE.mean([1.0, 3.0]) == [1.0, 3.0]
    assert ALONE.sum_values({"pixel": 2.0}) == {"pixel": 2.0}
    assert ALONE.from_first(lambda: 5) == 5


def test_a_batch_that_cannot_be_split_names_one_that_can() -> None:
    with pytest.raises(TrainingError, match=r"of 5 cannot be split among 3 .* --batch-size 6 can"):
        Processes(Share(1, 3)).check_batch(5)

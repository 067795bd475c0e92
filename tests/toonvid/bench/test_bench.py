"""The bench measures what it says it measures. No test here depends on how fast that was."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import Clip, Tone, decoded

from toonvid.backends import Backend
from toonvid.bench import peak_arithmetic
from toonvid.bench.child_process import can_pin, convert_in_subprocess
from toonvid.bench.core_scaling import measure_rates_by_cores
from toonvid.bench.measure import BenchOptions, measure_size
from toonvid.bench.null_pipeline import run_null_pipeline
from toonvid.bench.real_time_load import _PlaybackClock, run_in_real_time
from toonvid.bench.results import SizeResults
from toonvid.bench.side_by_side import OneBatchAtATime, SideBySide, run_side_by_side
from toonvid.bench.stages import decode_alone, encode_alone, hold_frames, stylize_alone
from toonvid.bench.test_video import repeat_video, wide_size, write_test_video
from toonvid.bench.work_time import WorkTime, core_count, time_work
from toonvid.errors import ToonvidError
from toonvid.pipeline import Progress
from toonvid.reading.decoder import VideoDecoder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import VideoInfo

QUICK = BenchOptions(seconds=0.5, rounds=1, real_time=False)


def times(video: Path) -> list[Fraction]:
    with VideoDecoder(video) as decoder:
        return [frame.seconds for frame in decoder.frames()]


def packets(video: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(decoding time, bytes) of the packets of the first stream of a kind."""
    with av.open(str(video)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.dts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def test_work_time_gives_rates_and_shares() -> None:
    work = WorkTime(frames=10, seconds=2.0, cpu_seconds=3.0)
    assert (work.rate, work.cpu_seconds_per_frame) == (5.0, 0.3)
    assert work.cores_busy(2) == 0.75


def test_sleeping_takes_no_cpu_time() -> None:
    def rest() -> int:
        time.sleep(0.05)
        return 3

    work = time_work(rest)
    assert work.frames == 3
    assert work.cpu_seconds < work.seconds >= 0.05


def test_the_scene_is_repeated_without_a_gap(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (64, 48), 6)
    found = times(video)
    assert found == [Fraction(n, 24) for n in range(144)]
    frames = decoded(video)
    assert np.array_equal(frames[0], frames[48])
    sounds = [dts for dts, _ in packets(video, "audio")]
    assert sounds == sorted(set(sounds))
    assert sounds[-1] > Fraction(11, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_a_large_test_video_is_drawn_small_and_enlarged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.test_video._MAX_DRAWN_PIXELS", 64 * 48)
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (128, 96), 0.5)
    assert decoded(video)[0].shape == (96, 128, 3)
    assert times(video) == [Fraction(n, 24) for n in range(12)]
    assert packets(video, "audio")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_length_is_kept_when_the_scene_is_repeated(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, None, (32, 32), 2.75)
    assert len(times(video)) == 66


@pytest.mark.parametrize(("pixels", "frames"), [(32 * 32 * 30, 30), (1, 24), (32 * 32 * 99, 48)])
def test_test_videos_have_the_same_number_of_pixels_if_the_length_allows(
    pixels: int, frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.test_video._TOTAL_PIXELS", pixels)
    monkeypatch.setattr("toonvid.bench.test_video._LENGTH_SECONDS", (1.0, 2.0))
    write_test_video(tmp_path / "video.mp4", None, (32, 32))
    assert len(times(tmp_path / "video.mp4")) == frames


def test_the_beginning_of_a_source_is_scaled_to_the_size(scene_video: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_test_video(video, scene_video, 128, 0.5)  # larger than it is
    with VideoDecoder(video) as decoder:
        assert (decoder.info.width, decoder.info.height) == (192, 128)
    assert times(video) == times(scene_video)[:6]
    assert packets(video, "audio")


@pytest.mark.parametrize(("side", "size"), [(360, (640, 360)), (540, (960, 540)), (33, (58, 32))])
def test_a_short_side_becomes_a_wide_even_size(side: int, size: tuple[int, int]) -> None:
    assert wide_size(side) == size


def test_the_null_pipeline_keeps_times_audio_and_nearly_all_pixels(
    scene_video: Path, tmp_path: Path
) -> None:
    target = tmp_path / "null.mp4"
    work = run_null_pipeline(scene_video, target)
    assert work.frames == len(times(scene_video))
    assert times(target) == times(scene_video)
    assert [b for _, b in packets(target, "audio")] == [b for _, b in packets(scene_video, "audio")]
    differences = [
        np.abs(one.astype(int) - other).mean()
        for one, other in zip(decoded(scene_video), decoded(target), strict=True)
    ]
    assert max(differences) < 5


def test_the_null_pipeline_lets_the_encoder_choose_key_frames(tmp_path: Path) -> None:
    source = Clip(options={"g": "1"}, audio=(Tone(),)).write(tmp_path / "source.mp4")
    run_null_pipeline(source, tmp_path / "null.mp4")
    with av.open(str(tmp_path / "null.mp4")) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys == [True] + [False] * 5


def test_each_stage_processes_the_whole_video(
    scene_video: Path, tmp_path: Path, identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.bench.stages._HELD_FRAMES", (2, 3))
    held = hold_frames(scene_video, identity)
    assert (held.frames, len(held.sources), len(held.cartoons)) == (12, 3, 3)
    target = tmp_path / "encoded.mp4"
    stages = (decode_alone(scene_video), stylize_alone(held, identity), encode_alone(held, target))
    assert [stage.frames for stage in stages] == [12, 12, 12]
    assert times(target) == times(scene_video)
    frames = [frame.astype(int) for frame in decoded(target)]
    assert np.abs(frames[0] - frames[4]).mean() < np.abs(frames[0] - frames[2]).mean()


def make_results(**changes: object) -> SizeResults:
    """Make results of 10 frames on 2 cores: 1, 2 and 1 s of CPU time alone, 2 s together."""
    work = WorkTime(10, 1.0, 1.0)
    found = SizeResults(
        width=64,
        height=48,
        cores=2,
        rounds=1,
        decode=work,
        stylize=replace(work, seconds=1.5, cpu_seconds=2.0),
        encode=work,
        pipeline=replace(work, seconds=2.0, cpu_seconds=4.0),
        null=work,
        real_time=None,
        late_frames=None,
        warm_first_frame_seconds=0.1,
        cold_first_frame_seconds=None,
        peak_bytes=None,
        multiply_adds_per_pixel=1000,
        peak_multiply_adds=None,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_ratios_follow_from_the_measurements() -> None:
    found = make_results()
    assert found.ratio == 0.5
    assert found.efficiency == 1.0
    assert found.multiply_adds == 1000 * 64 * 48 * 10 / 1.5
    assert found.stage_shares == {"decode": 0.25, "stylize": 0.5, "encode": 0.25}
    assert "the cores are busy; stylize takes 50% of the work" in found.bottleneck


def test_stages_may_take_more_work_together_than_alone() -> None:
    found = make_results(pipeline=WorkTime(10, 2.5, 4.8))
    assert (found.efficiency, found.extra_work) == (0.8, pytest.approx(0.2))
    assert "the cores are busy; stylize" in found.bottleneck
    assert "20% more work together than alone" in found.bottleneck


@pytest.mark.parametrize("slowest", ["decode", "stylize", "encode"])
def test_idle_cores_are_explained_by_the_slowest_stage(slowest: str) -> None:
    found = make_results(pipeline=WorkTime(10, 8.0, 4.0), **{slowest: WorkTime(10, 4.0, 1.0)})
    assert found.slowest_stage == slowest
    assert f"wait for each other; {slowest} is the slowest, 2.5 frames" in found.bottleneck


def test_a_size_is_measured_completely(identity: Backend) -> None:
    found = measure_size(identity, (64, 48), QUICK, peak_multiply_adds=1e9)
    assert (found.width, found.height, found.cores) == (64, 48, core_count())
    for stage in (found.decode, found.stylize, found.encode, found.pipeline, found.null):
        assert stage.frames == 12
        assert stage.seconds > 0
    assert found.efficiency > 0
    assert (found.real_time, found.cold_first_frame_seconds, found.peak_bytes) == (None, None, None)
    assert set(found.to_json()) >= {"ratio", "efficiency", "peak_multiply_adds", "bottleneck"}


@pytest.mark.parametrize(("limit", "count"), [(0.0, 1), (3600.0, 2)])
def test_rounds_that_take_too_long_are_fewer(identity: Backend, limit: float, count: int) -> None:
    steps: list[str] = []
    options = replace(QUICK, seconds=0.1, rounds=2, rounds_seconds=limit)
    found = measure_size(identity, (32, 32), options, on_step=steps.append)
    assert found.rounds == count
    assert steps[:2] == ["test video", "a round that is not counted"]
    assert [step.partition(",")[0] for step in steps[2:]] == [
        f"round {number} of {count}" for number in range(1, count + 1)
    ]


def test_a_real_time_conversion_takes_as_long_as_the_video(
    scene_video: Path, tmp_path: Path, identity: Backend
) -> None:
    found = run_in_real_time(scene_video, tmp_path / "real_time.mp4", identity)
    assert found.work.frames == 12
    assert found.work.seconds >= 11 / 12  # from the first frame to the last
    assert 0 <= found.late_frames <= 12


def test_a_frame_is_late_if_it_comes_after_it_was_due() -> None:
    info = VideoInfo("video", "mp4", 64, 48, Fraction(1, 100), frame_rate=Fraction(100))
    clock = _PlaybackClock()
    clock.take_frame(Progress(info, 1, 0.01))
    time.sleep(0.05)
    clock.take_frame(Progress(info, 2, 0.02))
    assert clock.late_frames == 1
    clock.take_frame(Progress(info, 3, 0.3))
    assert clock.late_frames == 1


def test_turns_are_compared_pairwise() -> None:
    found = SideBySide(first=(2.0, 3.0, 8.0), second=(1.0, 2.0, 2.0))
    assert found.ratios == (2.0, 1.5, 4.0)
    assert (found.ratio, found.spread) == (2.0, (1.5, 4.0))


def test_both_backends_get_the_same_number_of_turns(identity: Backend) -> None:
    found = run_side_by_side(
        identity, OneBatchAtATime(identity), (32, 32), replace(QUICK, seconds=0.1, rounds=2)
    )
    assert len(found.first) == len(found.second) == 2


def test_one_batch_at_a_time_gives_the_same_cartoons(scene_video: Path, identity: Backend) -> None:
    with VideoDecoder(scene_video) as decoder:
        sources = list(decoder.frames())
    found = Stylizer(OneBatchAtATime(identity), StylizeOptions(steady=0)).stylize(sources)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, sources, strict=True))


def test_a_conversion_in_a_new_process_is_measured(
    engines_folder: Path, scene_video: Path, tmp_path: Path
) -> None:
    style = ("--style", str(engines_folder / "negative.json"))
    before = os.sched_getaffinity(0) if can_pin() else None
    cores = {min(before)} if before else None
    found = convert_in_subprocess(scene_video, tmp_path / "target.mp4", style, cores)
    assert found.frames == 12
    assert found.seconds > found.first_frame_seconds > 0
    assert found.frames_per_second is not None and found.frames_per_second > 0
    if Path("/proc/self/status").exists():
        assert found.peak_bytes is not None and found.peak_bytes > 2**20
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_a_conversion_in_a_new_process_that_fails_says_why(
    scene_video: Path, tmp_path: Path
) -> None:
    with pytest.raises(ToonvidError, match="no style named 'nobody'"):
        convert_in_subprocess(scene_video, tmp_path / "target.mp4", ("--style", "nobody"))


@pytest.mark.skipif(not can_pin(), reason="this system pins no process to cores")
def test_more_cores_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="counts ="):
        measure_rates_by_cores([core_count() + 1], (32, 32), QUICK)


@pytest.mark.skipif(not can_pin(), reason="this system pins no process to cores")
def test_rates_are_returned_by_number_of_cores(engines_folder: Path) -> None:
    arguments = ("--style", str(engines_folder / "negative.json"))
    found = measure_rates_by_cores(
        [1], (32, 32), replace(QUICK, seconds=0.2, convert_arguments=arguments)
    )
    assert list(found) == [1]
    assert found[1] > 0


def test_the_matrix_product_runs_in_the_precision_of_the_backend(
    identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov

    monkeypatch.setattr(peak_arithmetic, "_SIDE", 64)
    peak = peak_arithmetic.measure_peak_multiply_adds(identity)
    assert peak is not None and peak > 0
    for quantized, inside in ((False, "f32"), (True, "i8")):
        model = peak_arithmetic._matrix_product(quantized)
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
        kinds = {
            str(i["layerType"].astype(str)): str(i["runtimePrecision"].astype(str)) for i in infos
        }
        assert kinds["FullyConnected"] in (inside, "u8" if quantized else inside)


def test_repeating_keeps_every_video_packet(scene_video: Path, tmp_path: Path) -> None:
    repeat_video(scene_video, tmp_path / "thrice.mp4", 3)
    once = [b for _, b in packets(scene_video, "video")]
    assert [b for _, b in packets(tmp_path / "thrice.mp4", "video")] == once * 3

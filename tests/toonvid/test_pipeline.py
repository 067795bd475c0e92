"""Conversions from source to target: frame times, progress, and the queue of auxiliary packets."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import Clip, Tone, frame_times, moving_frames, only, video_end

from toonvid import pipeline
from toonvid.backends import open_backend
from toonvid.backends.openvino_model import OpenVINOModel
from toonvid.engine import find_engine
from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions, Progress
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume import segmented
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, PacketQueue

F = Fraction
NTSC = Fraction(24000, 1001)

SOURCES = {
    "constant": ("mp4", Clip()),
    "ntsc": ("mp4", Clip(time_base=1 / NTSC, rate=NTSC)),
    "variable": ("mp4", Clip(pts=(0, 1, 5, 6, 30, 31), time_base=F(1, 90))),
    "variable-odd-clock": (
        "mp4",
        Clip(pts=(0, 1001, 3003, 3500, 9999, 10001), time_base=F(1, 30000)),
    ),
    "b-frames": ("mp4", Clip(moving_frames(12), options={"bf": "3", "b_strategy": "0"})),
    "late-start": ("mp4", Clip(pts=range(13, 19), audio=(Tone(),))),
    "late-start-late-sound": ("mp4", Clip(pts=range(13, 19), audio=(Tone(start=F(1, 10)),))),
    "late-sound": ("mp4", Clip(audio=(Tone(start=F(1, 3)),))),
    "b-frames-late-start": (
        "mp4",
        Clip(moving_frames(12), pts=range(7, 19), options={"bf": "3", "b_strategy": "0"}),
    ),
    "b-frames-negative-dts": (
        "mp4",
        Clip(
            moving_frames(12),
            options={"bf": "3", "b_strategy": "0"},
            muxing={"movflags": "negative_cts_offsets"},
            audio=(Tone(),),
        ),
    ),
    "mov": ("mov", Clip(time_base=1 / NTSC, rate=NTSC, audio=(Tone("pcm_s16le"),))),
    "matroska": ("mkv", Clip(audio=(Tone("libopus"),))),
    "matroska-ntsc": ("mkv", Clip(time_base=1 / NTSC, rate=NTSC)),
    "matroska-variable-late": ("mkv", Clip(pts=(40, 41, 45, 46, 70, 71), time_base=F(1, 90))),
    "webm": ("webm", Clip(codec="libvpx-vp9", options={"deadline": "realtime"})),
    "transport": ("ts", Clip(audio=(Tone("mp2"),))),
    "gif": (
        "gif",
        Clip(codec="gif", pix_fmt="rgb8", pts=(0, 7, 9, 30, 31, 50), time_base=F(1, 100)),
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_frame_times_survive_exactly(kind, tmp_path, toon):
    suffix, film = SOURCES[kind]
    source = film.write(tmp_path / f"source.{suffix}")
    times = [time - begin(source) for time in frame_times(source)]
    for target in ("target.mp4", "target.mov", f"again.{suffix}"):
        done = toon(source, target)
        assert frame_times(done.target) == times, target
        assert done.frames == len(times)
        assert done.damage is None


def begin(source: Path) -> F:
    """Return the time at which a source begins, in whole units of its video."""
    with av.open(str(source)) as container:
        unit = container.streams.video[0].time_base
        if container.start_time is None:
            return frame_times(source)[0]
        return F(container.start_time, av.time_base) // unit * unit


def test_frame_times_of_avi_survive(tmp_path, toon):
    film = Clip(codec="mpeg4", audio=(Tone("libmp3lame"),))
    source = film.write(tmp_path / "source.avi")
    done = toon(source)
    assert frame_times(done.target) == frame_times(source)
    assert done.damage is None


@pytest.mark.parametrize("kind", ["constant", "ntsc", "variable", "late-start", "b-frames"])
def test_frame_times_in_matroska_are_right_to_its_millisecond(kind, tmp_path, toon):
    suffix, film = SOURCES[kind]
    source = film.write(tmp_path / f"source.{suffix}")
    found = frame_times(toon(source, "target.mkv").target)
    expected = frame_times(source)
    assert len(found) == len(expected)
    assert all(abs(a - b) <= F(1, 2000) for a, b in zip(found, expected, strict=True))


def test_last_frame_is_shown_as_long_as_in_the_source(tmp_path, toon):
    source = Clip(pts=(0, 1, 5, 6, 30, 31), time_base=F(1, 90)).write(tmp_path / "source.mp4")
    assert video_end(toon(source).target) == video_end(source)


def test_progress_counts_frames_and_video_seconds(tmp_path, identity):
    source = Clip().write(tmp_path / "source.mp4")
    seen: list[Progress] = []
    done = pipeline.convert(source, tmp_path / "target.mp4", identity, on_progress=seen.append)
    assert [progress.frames for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].video_seconds == pytest.approx(6 / 25)
    assert done.video_seconds == pytest.approx(6 / 25)
    assert set(done.stage_seconds) == {"decode", "stylize", "encode"}
    assert done.slowest_stage in done.stage_seconds
    assert all(0 <= taken <= done.seconds for taken in done.stage_seconds.values())


def test_a_source_that_is_rewritten_in_one_go_is_reported(tmp_path, identity):
    source = Clip().write(tmp_path / "source.mp4")

    def rewrite(progress: Progress) -> None:
        if progress.frames == 3:
            source.write_bytes(source.read_bytes())

    done = pipeline.convert(source, tmp_path / "target.mp4", identity, on_progress=rewrite)
    assert done.damage == pipeline.CHANGED


# Auxiliary packets wait in a bounded queue; a file never waits for itself.


def sound_apart(tmp_path: Path, **order: bool) -> Path:
    """Four seconds whose sound, 768 kB, lies in the file before or after all of the video."""
    clip = Clip(moving_frames(100), audio=(Tone("pcm_s16le", seconds=F(4)),), **order)
    return clip.write(tmp_path / "source.mkv")


@pytest.mark.parametrize("order", ["video_first", "video_last"])
def test_sound_far_from_its_video_comes_through_a_pipeline_with_few_frames_under_way(
    order, tmp_path, identity, monkeypatch
):
    monkeypatch.setattr(pipeline, "DEPTH", 1)
    source = sound_apart(tmp_path, **{order: True})
    for convert in (pipeline.convert, segmented.convert):
        target = tmp_path / f"{convert.__module__}.mkv"
        convert(source, target, identity, ConvertOptions(segment_seconds=F(1)))
        assert only(target, "audio").content == only(source, "audio").content
        assert frame_times(target) == frame_times(source)


def test_more_sound_before_a_frame_than_may_wait_is_refused_with_advice(
    tmp_path, identity, small_queue
):
    source = sound_apart(tmp_path, video_last=True)
    with pytest.raises(SourceError, match=r"source\.mkv has more than .* convert it from a file"):
        pipeline.convert(source, tmp_path / "target.mkv", identity)
    assert [path.name for path in tmp_path.iterdir()] == ["source.mkv"]


def test_a_join_needs_no_room_for_the_sound_behind_the_video(tmp_path, identity, small_queue):
    source = sound_apart(tmp_path, video_first=True)
    target = tmp_path / "target.mkv"
    segmented.convert(source, target, identity, ConvertOptions(segment_seconds=F(1)))
    assert only(target, "audio").content == only(source, "audio").content


@pytest.fixture
def small_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less may wait than the sound of `sound_apart` takes."""
    monkeypatch.setattr(
        "toonvid.reading.probe.PacketQueue", lambda source: PacketQueue(source, limit_bytes=50_000)
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 48), 4), ((3840, 2160), 4), ((7680, 4320), 1), ((11000, 11000), 0)],
)
def test_frames_between_stages_are_bounded_by_their_bytes(size, expected):
    assert pipeline.frames_between_stages(*size) == expected


class LivingFrames:
    """Counts the source frames and the cartoons whose pixels are in memory."""

    def __init__(self) -> None:
        self.most = 0
        self._alive: weakref.WeakSet[FramePixels] = weakref.WeakSet()

    def counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            pixels = np.array(frame.pixels).view(FramePixels)
            self._alive.add(pixels)
            self.most = max(self.most, len(self._alive))
            counted = replace(frame, pixels=pixels)
            del frame, pixels
            yield counted
            del counted


class FramePixels(np.ndarray):
    """An array that can be a member of a set."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_few_large_frames_are_in_memory_at_once(tmp_path, toon, monkeypatch):
    source = Clip(moving_frames(24)).write(tmp_path / "source.mp4")
    living = LivingFrames()
    decode, stylize = VideoDecoder.frames, Stylizer.stylize
    monkeypatch.setattr(VideoDecoder, "frames", lambda self: living.counted(decode(self)))
    monkeypatch.setattr(Stylizer, "stylize", lambda *args: living.counted(stylize(*args)))

    def most(name: str) -> int:
        living.most = 0
        toon(source, name, stylizing=StylizeOptions())
        return living.most

    assert most("usual.mp4") > 12
    for module in ("pipeline", "stylizing.steady", "reading.decoder", "writing.encoder"):
        monkeypatch.setattr(f"toonvid.{module}.LARGE_FRAME_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(pipeline, "_BYTES_BETWEEN_STAGES", 3 * 64 * 48 - 1)
    monkeypatch.setattr("toonvid.backends.openvino._LARGEST_IN_FLIGHT_BYTES", 3 * 64 * 48 - 1)
    # The frame before and the present one, each with its cartoon, and the next one.
    assert most("large.mp4") <= 5


def test_a_source_is_opened_once_and_once_more_to_join_its_segments(
    tmp_path, toon, monkeypatch, request
):
    """Opening takes seconds where a header holds thousands of tags."""
    source = Clip(moving_frames(12), audio=(Tone(),)).write(tmp_path / "source.mkv")
    opened: list[str] = []
    really_open = av.open

    def noted(file, *args, **options):
        opened.append(str(file))
        return really_open(file, *args, **options)

    monkeypatch.setattr(av, "open", noted)
    toon(source, "target.mkv")
    is_in_segments = "in-segments" in request.node.name
    assert opened.count(f"file:{source}") == 1 + is_in_segments


@pytest.mark.parametrize("convert", [pipeline.convert, segmented.convert])
def test_the_engine_is_compiled_once_while_the_source_is_opened(
    convert, engines_folder, scene_video, tmp_path, monkeypatch
):
    compiled = []
    original = OpenVINOModel.compile

    def compile_on_this_thread(self, config, shape):
        compiled.append((threading.current_thread().name, shape))
        return original(self, config, shape)

    monkeypatch.setattr(OpenVINOModel, "compile", compile_on_this_thread)
    with open_backend(find_engine(str(engines_folder / "negative.onnx")), "openvino") as backend:
        convert(scene_video, tmp_path / "target.mp4", backend)
    assert compiled == [("compile", (1, 64, 96, 3))]

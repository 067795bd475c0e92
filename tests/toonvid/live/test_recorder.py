"""Recordings have the camera's times and audio, and play even if the process was killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import Clip, Tone, moving_frames, only
from support.run_toonvid import START_SECONDS, killed_at_end, run_here, start_subprocess
from support.scripted_feed import LIMIT_SECONDS, ScriptedFeed, repeat
from support.slow_backend import SlowBackend

from toonvid.backends import Backend, ControlValues
from toonvid.errors import TargetError
from toonvid.live.camera import Camera
from toonvid.live.controls import Controls
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings, StylizedFrame
from toonvid.live.recorder import Recorder, RecordOptions
from toonvid.live.recording import Recording
from toonvid.live.session import DisplayFrame, LiveSession
from toonvid.video import Frame, Pixels
from toonvid.writing.provenance import has_provenance_tag


@pytest.fixture
def silent_camera() -> Iterator[Camera]:
    with Camera("camera 7", None) as camera:
        yield camera


def gray_frame(level: int, pts: int, size: tuple[int, int] = (64, 48)) -> Frame:
    return Frame(np.full((size[1], size[0], 3), level, np.uint8), pts, LIVE_TIME_BASE)


def display_frame(level: int, pts: int) -> DisplayFrame:
    frame = gray_frame(level, pts)
    return DisplayFrame(StylizedFrame(frame.pixels, frame, 0.0), frame.pixels)


def video_times(recording: Path) -> list[Fraction]:
    with av.open(recording) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
        return [packet.pts * packet.time_base for packet in packets]


def mean_levels(recording: Path) -> list[int]:
    with av.open(recording) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return [round(float(pixels.mean())) for pixels in decoded]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts"])
def test_frames_keep_their_times(suffix: str, tmp_path: Path, silent_camera: Camera) -> None:
    target = tmp_path / f"recording.{suffix}"
    all_pts = [7_000_000 + offset for offset in (0, 3003, 6006, 20_000, 100_000, 290_000)]
    with Recording(target, "ink", silent_camera) as recording:
        for index, pts in enumerate(all_pts):
            recording.write(gray_frame(40 * index, pts))
    times = video_times(target)
    tolerance = Fraction(1, 1000) if suffix in ("mkv", "webm") else Fraction(0)
    for found, pts in zip(times, all_pts, strict=True):
        assert abs(found - times[0] - (pts - all_pts[0]) * LIVE_TIME_BASE) <= tolerance
    assert mean_levels(target) == pytest.approx([0, 40, 80, 120, 160, 200], abs=4)
    assert suffix == "ts" or has_provenance_tag(target)


def test_frames_of_another_size_are_letterboxed_into_the_first(
    tmp_path: Path, silent_camera: Camera
) -> None:
    target = tmp_path / "recording.mkv"
    with Recording(target, "ink", silent_camera) as recording:
        recording.write(gray_frame(200, 0, (65, 49)))
        recording.write(gray_frame(200, 9000, (64, 48)))
        recording.write(gray_frame(200, 18_000, (32, 48)))
    with av.open(target) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert {pixels.shape for pixels in decoded} == {(48, 64, 3)}
    assert decoded[1].min() > 190
    assert decoded[2][:, :14].max() < 12 and decoded[2][:, 18:46].min() > 180


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "aac"), ("mkv", "aac"), ("mp4", "ac3"), ("mov", "eac3")]
)
def test_audio_packets_are_copied_unchanged(
    suffix: str,
    codec: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    engines_folder: Path,
) -> None:
    tones = (Tone(codec, seconds=Fraction(2)),)
    source = Clip(moving_frames(50), audio=tones).write(tmp_path / "source.mkv")
    target = tmp_path / f"recording.{suffix}"
    style = ("--style", engines_folder / "identity.onnx")
    ended = run_here(capsys, "live", source, *style, "--headless", "--record", target)
    assert ended.code == 0
    assert f"recording {target}, with audio" in ended.err

    def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
        with av.open(path) as container:
            packets = [p for p in container.demux(audio=0) if p.size]
            return [(p.pts * p.time_base, bytes(p)) for p in packets]

    source_packets, packets = audio_packets(source), audio_packets(target)
    skipped = [data for _, data in source_packets].index(packets[0][1])
    assert [data for _, data in packets] == [data for _, data in source_packets[skipped:]]
    # Audio and video are shifted alike: the first recorded frame is the source's at that time.
    with av.open(target) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    with av.open(source) as container:
        frames = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    first_time = min(frames, key=lambda pair: np.abs(pair[1] - first).mean())[0]
    shift = source_packets[skipped][0] - packets[0][0]
    assert float(shift) == pytest.approx(first_time, abs=0.03)


def test_file_is_recorded_whole_even_if_its_engine_loads_slowly(
    tmp_path: Path, identity: Backend
) -> None:
    class SlowAtFirst(SlowBackend):
        def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
            self._seconds = 0.0 if self.slept else 1.0
            return super().run(frames, controls)

    tones = (Tone(seconds=Fraction(4)),)
    # 25ths of a second, so far apart that a busy machine drops no frame. The engine takes longer.
    pts = [0, 20, 45, 65, 90]
    source = Clip(moving_frames(5), pts=pts, audio=tones).write(tmp_path / "source.mkv")
    target, settings = tmp_path / "recording.mkv", StyleSettings("identity")
    controls = Controls(settings, (), recording=True)
    with (
        LiveStylizer(lambda _: SlowAtFirst(identity), settings, None) as stylizer,
        Camera("clip", lambda: open_ffmpeg_feed(str(source))) as camera,
        Recorder(camera, controls, RecordOptions(target), print) as recorder,
    ):
        statistics = LiveSession(camera, stylizer, controls, [recorder.show]).run()
    assert (statistics.shown, statistics.dropped) == (5, 0)
    assert [round(time * 25) for time in video_times(target)] == pts
    audio = only(source, "audio")  # its first packet comes before the first frame
    expected = tuple(c for t, c in zip(audio.times, audio.content, strict=True) if t >= 0)
    assert only(target, "audio").content == expected


def test_recording_plays_after_kill_9(tmp_path: Path, engines_folder: Path) -> None:
    for suffix in ("mp4", "mkv"):
        target = tmp_path / f"recording.{suffix}"
        source = "lavfi:testsrc2=size=64x48:rate=25[out0];sine[out1]"
        style = ("--style", engines_folder / "identity.onnx")
        process = start_subprocess("live", source, *style, "--headless", "--record", target,
                              stderr=subprocess.DEVNULL)  # fmt: skip
        with killed_at_end(process):
            for _ in repeat("too little was recorded", seconds=START_SECONDS):
                if target.exists() and target.stat().st_size >= 100_000:  # some seconds
                    break
                assert process.poll() is None
                time.sleep(0.05)
        assert process.returncode == -signal.SIGKILL
        with av.open(target) as container:
            decoded = sum(1 for _ in container.decode(video=0))
        times = video_times(target)
        assert len(times) - 1 <= decoded <= len(times)  # the last packet may be incomplete
        assert times[-1] - times[0] > Fraction(9, 10)


def test_audio_that_begins_late_does_not_keep_the_file_empty(
    tmp_path: Path, engines_folder: Path
) -> None:
    target = tmp_path / "recording.mp4"
    tone = Tone("aac", seconds=Fraction(1), start=Fraction(59))
    source = Clip(moving_frames(1500), audio=(tone,)).write(tmp_path / "late.mkv")
    style = ("--style", engines_folder / "identity.onnx")
    process = start_subprocess("live", source, *style, "--headless", "--record", target,
                          stderr=subprocess.DEVNULL)  # fmt: skip
    with killed_at_end(process):
        for _ in repeat("no recording was begun", seconds=START_SECONDS):
            if target.exists():
                break
            assert process.poll() is None
            time.sleep(0.05)
        for _ in repeat("nothing was written", seconds=45):  # the audio begins later
            if target.stat().st_size >= 10_000:
                break
            assert process.poll() is None
            time.sleep(0.05)
    assert len(video_times(target)) > 10


def test_controls_start_and_stop_recordings(tmp_path: Path, silent_camera: Camera) -> None:
    controls, notices = Controls(StyleSettings("ink"), ()), []
    options = RecordOptions(tmp_path / "recording.mkv")
    with Recorder(silent_camera, controls, options, notices.append) as recorder:
        recorder.show(display_frame(1, 0))
        controls.recording = True
        recorder.show(None)
        assert list(tmp_path.iterdir()) == []
        for number in range(3):
            recorder.show(display_frame(1, 9000 * number))
        controls.recording = False
        recorder.show(None)
        controls.recording = True
        recorder.show(display_frame(1, 90_000))
    assert len(video_times(tmp_path / "recording.mkv")) == 3
    assert len(video_times(tmp_path / "recording-2.mkv")) == 1
    assert notices == [
        f"recording {tmp_path}/recording.mkv, without audio: camera 7 has none",
        f"wrote {tmp_path}/recording.mkv: 3 frames",
        f"recording {tmp_path}/recording-2.mkv, without audio: camera 7 has none",
        f"wrote {tmp_path}/recording-2.mkv: 1 frames",
    ]


def test_recording_that_fails_is_reported_and_switched_off(
    tmp_path: Path, silent_camera: Camera
) -> None:
    controls, notices = Controls(StyleSettings("ink"), (), recording=True), []
    folder = tmp_path / "folder"
    folder.mkdir()
    options = RecordOptions(folder / "recording.mkv")
    with Recorder(silent_camera, controls, options, notices.append) as recorder:
        folder.rmdir()  # as a disk that is taken away
        for number, _ in enumerate(repeat("the recording did not fail")):
            recorder.show(display_frame(1, 9000 * number))
            if recorder.failure:
                break
            time.sleep(0.05)
        assert not controls.recording
        recorder.show(display_frame(1, 900_000_000))
    assert "cannot record" in notices[-1] and "no such file" in notices[-1]


def test_existing_target_is_refused_without_overwrite(
    tmp_path: Path, silent_camera: Camera
) -> None:
    target = tmp_path / "recording.mkv"
    target.write_bytes(b"mine")
    controls = Controls(StyleSettings("ink"), ())
    with pytest.raises(TargetError, match="is there already"):
        Recorder(silent_camera, controls, RecordOptions(target), print)
    Recorder(silent_camera, controls, RecordOptions(target, overwrite=True), print)
    assert target.read_bytes() == b"mine"


def test_a_target_that_cannot_be_written_is_refused_before_the_session(
    tmp_path: Path, silent_camera: Camera
) -> None:
    controls = Controls(StyleSettings("ink"), ())
    folder = tmp_path / "folder.mkv"
    folder.mkdir()
    for target, message in (
        (tmp_path / "nowhere" / "recording.mkv", "there is no folder"),
        (folder, "is a folder, not a video"),
    ):
        with pytest.raises(TargetError, match=message):
            Recorder(silent_camera, controls, RecordOptions(target, overwrite=True), print)


def test_a_target_may_have_a_colon_in_its_name(tmp_path: Path, silent_camera: Camera) -> None:
    controls, notices = Controls(StyleSettings("ink"), (), recording=True), []
    target = tmp_path / "10:30.mkv"
    with Recorder(silent_camera, controls, RecordOptions(target), notices.append) as recorder:
        for number in range(4):
            recorder.show(display_frame(1, 9000 * number))
    assert target.stat().st_size > 0, notices


def test_target_that_is_not_a_video_container_is_refused() -> None:
    with pytest.raises(TargetError, match=r"toonvid records \.mp4"):
        RecordOptions(Path("recording.png"))


def test_recording_goes_on_when_the_source_is_back(tmp_path: Path) -> None:
    feed, target = ScriptedFeed(), tmp_path / "recording.mkv"
    feed.put(1, size=(64, 48))
    with Camera("feed", feed.open) as camera, Recording(target, "ink", camera) as recording:
        recording.write(camera.take_newest(LIMIT_SECONDS).frame)
        feed.end()
        feed.put(1, size=(96, 48))
        recording.write(camera.take_newest(LIMIT_SECONDS).frame)
        feed.end()
    first, second = video_times(target)
    assert second - first > Fraction(1, 4)

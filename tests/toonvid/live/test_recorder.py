"""Recordings: the times of the camera, its sound, and a film that plays whatever happens."""

from __future__ import annotations

import os
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
from support.run_toonvid import run_here, start_apart
from support.scripted_feed import ScriptedFeed
from support.slow_backend import SlowBackend

from toonvid.backends import Backend
from toonvid.errors import TargetError
from toonvid.live.camera import Camera
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings, StylizedFrame
from toonvid.live.recorder import Recorder, RecordOptions
from toonvid.live.recording import Recording
from toonvid.live.session import Controls, DisplayFrame, LiveSession
from toonvid.video import Frame, Pixels
from toonvid.writing.provenance import has_provenance_tag


@pytest.fixture
def silent_camera() -> Iterator[Camera]:
    with Camera("camera 7", None) as camera:
        yield camera


def frame(level: int, pts: int, size: tuple[int, int] = (64, 48)) -> Frame:
    return Frame(np.full((size[1], size[0], 3), level, np.uint8), pts, LIVE_TIME_BASE)


def picture(level: int, pts: int) -> DisplayFrame:
    taken = frame(level, pts)
    return DisplayFrame(StylizedFrame(taken.pixels, taken, 0.0), taken.pixels)


def times(film: Path) -> list[Fraction]:
    with av.open(film) as container:
        packets = [p for p in container.demux(video=0) if p.pts is not None]
        return [packet.pts * packet.time_base for packet in packets]


def levels(film: Path) -> list[int]:
    with av.open(film) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return [round(float(pixels.mean())) for pixels in decoded]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts"])
def test_frames_keep_their_times(suffix: str, tmp_path: Path, silent_camera: Camera) -> None:
    film = tmp_path / f"film.{suffix}"
    pts = [7_000_000 + at for at in (0, 3003, 6006, 20_000, 100_000, 290_000)]
    with Recording(film, "ink", silent_camera) as recording:
        for index, at in enumerate(pts):
            recording.write(frame(40 * index, at))
    kept = times(film)
    tick = Fraction(1, 1000) if suffix in ("mkv", "webm") else Fraction(0)
    for found, asked in zip(kept, pts, strict=True):
        assert abs(found - kept[0] - (asked - pts[0]) * LIVE_TIME_BASE) <= tick
    assert levels(film) == pytest.approx([0, 40, 80, 120, 160, 200], abs=4)
    assert suffix == "ts" or has_provenance_tag(film)


def test_another_size_goes_into_the_first(tmp_path: Path, silent_camera: Camera) -> None:
    film = tmp_path / "film.mkv"
    with Recording(film, "ink", silent_camera) as recording:
        recording.write(frame(200, 0, (65, 49)))
        recording.write(frame(200, 9000, (64, 48)))
        recording.write(frame(200, 18_000, (32, 48)))
    with av.open(film) as container:
        shown = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert {pixels.shape for pixels in shown} == {(48, 64, 3)}
    assert shown[1].min() > 190
    assert shown[2][:, :14].max() < 12 and shown[2][:, 18:46].min() > 180


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_goes_along_packet_by_packet(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], engines_folder: Path
) -> None:
    sounds = (Tone(seconds=Fraction(2)),)
    source = Clip(moving_frames(50), audio=sounds).write(tmp_path / "source.mkv")
    film = tmp_path / f"film.{suffix}"
    style = ("--style", engines_folder / "identity.onnx")
    ended = run_here(capsys, "live", source, *style, "--headless", "--record", film)
    assert ended.code == 0
    assert f"recording {film}, with its sound" in ended.err

    def sound(path: Path) -> list[tuple[Fraction, bytes]]:
        with av.open(path) as container:
            packets = [p for p in container.demux(audio=0) if p.size]
            return [(p.pts * p.time_base, bytes(p)) for p in packets]

    whole, kept = sound(source), sound(film)
    lost = [data for _, data in whole].index(kept[0][1])
    assert [data for _, data in kept] == [data for _, data in whole[lost:]]
    with av.open(film) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    with av.open(source) as container:
        shown = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    begin = min(shown, key=lambda pair: np.abs(pair[1] - first).mean())[0]
    assert float(whole[lost][0] - kept[0][0]) == pytest.approx(begin, abs=0.03)


def test_film_is_recorded_whole_however_long_its_engine_takes(
    tmp_path: Path, identity: Backend
) -> None:
    class SlowAtFirst(SlowBackend):
        def run(self, frames: Pixels) -> Pixels:
            self._seconds = 0.0 if self.slept else 1.0
            return super().run(frames)

    sounds = (Tone(seconds=Fraction(1)),)
    pts = [0, 2, 3, 9, 12, 17, 24]  # 25ths of a second
    source = Clip(moving_frames(7), pts=pts, audio=sounds).write(tmp_path / "source.mkv")
    target, look = tmp_path / "film.mkv", StyleSettings("identity")
    controls = Controls(look, (), recording=True)
    with (
        LiveStylizer(lambda _: SlowAtFirst(identity), look, None) as stylizer,
        Camera("film", lambda: open_ffmpeg_feed(str(source))) as camera,
        Recorder(camera, controls, RecordOptions(target), print) as recorder,
    ):
        figures = LiveSession(camera, stylizer, controls, [recorder.show]).run()
    assert (figures.shown, figures.dropped) == (7, 0)
    assert [round(time * 25) for time in times(target)] == pts
    sound = only(source, "audio")  # begins a little before its film
    heard = tuple(c for t, c in zip(sound.times, sound.content, strict=True) if t >= 0)
    assert only(target, "audio").content == heard


def test_what_was_recorded_can_be_played_after_kill_9(tmp_path: Path, engines_folder: Path) -> None:
    for suffix in ("mp4", "mkv"):
        film = tmp_path / f"film.{suffix}"
        source = "lavfi:testsrc2=size=64x48:rate=25[out0];sine[out1]"
        style = ("--style", engines_folder / "identity.onnx")
        running = start_apart("live", source, *style, "--headless", "--record", film,
                              stderr=subprocess.DEVNULL)  # fmt: skip
        limit = time.monotonic() + 120
        while not film.exists() or film.stat().st_size < 100_000:  # some seconds of it
            assert running.poll() is None and time.monotonic() < limit
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        with av.open(film) as container:
            frames = sum(1 for _ in container.decode(video=0))
        kept = times(film)
        assert len(kept) - 1 <= frames <= len(kept)  # the last may have been cut in two
        assert kept[-1] - kept[0] > Fraction(9, 10)


def test_recorder_follows_the_controls(tmp_path: Path, silent_camera: Camera) -> None:
    controls, notices = Controls(StyleSettings("ink"), ()), []
    options = RecordOptions(tmp_path / "film.mkv")
    with Recorder(silent_camera, controls, options, notices.append) as recorder:
        recorder.show(picture(1, 0))
        controls.recording = True
        recorder.show(None)
        assert list(tmp_path.iterdir()) == []
        for at in range(3):
            recorder.show(picture(1, 9000 * at))
        controls.recording = False
        recorder.show(None)
        controls.recording = True
        recorder.show(picture(1, 90_000))
    assert len(times(tmp_path / "film.mkv")) == 3
    assert len(times(tmp_path / "film-2.mkv")) == 1
    assert notices == [
        f"recording {tmp_path}/film.mkv, without sound: camera 7 has none",
        f"wrote {tmp_path}/film.mkv: 3 frames",
        f"recording {tmp_path}/film-2.mkv, without sound: camera 7 has none",
        f"wrote {tmp_path}/film-2.mkv: 1 frames",
    ]


def test_recording_that_fails_is_said_and_stopped(tmp_path: Path, silent_camera: Camera) -> None:
    controls, notices = Controls(StyleSettings("ink"), (), recording=True), []
    options = RecordOptions(tmp_path / "nowhere" / "film.mkv")
    with Recorder(silent_camera, controls, options, notices.append) as recorder:
        for at in range(100):
            recorder.show(picture(1, 9000 * at))
            if recorder.failure:
                break
            time.sleep(0.05)
        assert not controls.recording
        recorder.show(picture(1, 9_000_000))
    assert "cannot record" in notices[-1] and "no such file" in notices[-1]


def test_target_that_is_there_is_refused(tmp_path: Path, silent_camera: Camera) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"mine")
    controls = Controls(StyleSettings("ink"), ())
    with pytest.raises(TargetError, match="is there already"):
        Recorder(silent_camera, controls, RecordOptions(film), print)
    Recorder(silent_camera, controls, RecordOptions(film, overwrite=True), print)
    assert film.read_bytes() == b"mine"


def test_target_that_holds_no_film_is_refused() -> None:
    with pytest.raises(TargetError, match=r"toonvid records \.mp4"):
        RecordOptions(Path("film.png"))


def test_source_that_comes_back_is_recorded_on(tmp_path: Path) -> None:
    tape, film = ScriptedFeed(), tmp_path / "film.mkv"
    tape.put(1, size=(64, 48))
    with Camera("tape", tape.open) as camera, Recording(film, "ink", camera) as recording:
        recording.write(camera.take_newest(5).frame)
        tape.end()
        tape.put(1, size=(96, 48))
        recording.write(camera.take_newest(5).frame)
        tape.end()
    first, second = times(film)
    assert second - first > Fraction(1, 4)

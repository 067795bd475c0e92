"""Newest frame wins, order is kept, and a source that was lost comes back."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.clips import Clip, Tone, moving_frames
from support.scripted_feed import ScriptedFeed, wait_until

from toonvid.errors import CameraError
from toonvid.live import audio_buffer as sound_module
from toonvid.live import camera as camera_module
from toonvid.live.camera import Camera, CapturedFrame
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed


def level(shot: CapturedFrame | None) -> int:
    assert shot is not None
    return int(shot.frame.pixels[0, 0, 0])


def test_newest_frame_wins_and_the_others_are_counted() -> None:
    tape = ScriptedFeed()
    tape.put(1)
    with Camera("tape", tape.open) as camera:
        for number in (2, 3, 4):
            tape.put(number)
        wait_until(lambda: camera.dropped == 3)
        assert level(camera.take_newest(1)) == 4
        assert camera.take_newest(0.01) is None
        tape.put(5)
        assert level(camera.take_newest(5)) == 5
        assert camera.dropped == 3
        tape.end()


def test_source_that_is_lost_comes_back_in_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.01)
    tape, notices = ScriptedFeed(), []
    tape.put(1)
    with Camera("tape", tape.open, notices.append) as camera:
        first = camera.take_newest(5)
        tape.fail(CameraError("no more pictures"))
        tape.fail(CameraError("still none"))
        tape.end()
        tape.put(2, size=(12, 10))
        second = camera.take_newest(5)
        tape.end()
    assert first is not None and second is not None
    assert second.frame.pixels.shape == (10, 12, 3)
    assert second.frame.pts > first.frame.pts
    assert (tape.opened, camera.reconnects) == (4, 1)
    assert notices == ["tape is lost (no more pictures): trying again", "tape is back, 12x10"]


def test_waits_between_attempts_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(camera_module, "_LONGEST_RETRY_SECONDS", 0.05)
    tape, waits = ScriptedFeed(), []
    tape.put(1)
    with Camera("tape", tape.open) as camera:
        wait = camera._stopping.wait
        monkeypatch.setattr(camera._stopping, "wait", lambda s: bool(waits.append(s)) or wait(s))
        for _ in range(5):
            tape.end()
        wait_until(lambda: len(waits) == 5)
        tape.put(2)  # a picture, and patience is new
        tape.end()
        wait_until(lambda: len(waits) == 6)
        camera._stopping.set()
        tape.end()
    assert waits == [0.01, 0.02, 0.04, 0.05, 0.05, 0.01]


def test_source_that_never_was_is_an_error() -> None:
    tape = ScriptedFeed()
    tape.fail(CameraError("cannot open it"))
    with pytest.raises(CameraError, match="cannot open it"), Camera("tape", tape.open):
        pass
    tape.end()
    with pytest.raises(CameraError, match="tape delivers no frame at all"):
        Camera("tape", tape.open).__enter__()


def test_source_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "FIRST_FRAME_TIMEOUT_SECONDS", 0.05)
    tape = ScriptedFeed()
    with pytest.raises(CameraError, match="delivers no frame within 0 s"):
        Camera("tape", tape.open).__enter__()
    tape.end()


def test_our_own_mistake_reaches_the_reader() -> None:
    tape = ScriptedFeed()
    tape.put(1)
    with Camera("tape", tape.open) as camera:
        tape.fail(ZeroDivisionError())
        assert level(camera.take_newest(5)) == 1
        with pytest.raises(ZeroDivisionError):
            camera.take_newest(5)


def test_times_are_the_sources_own_and_go_on_when_its_clock_is_set_back() -> None:
    tape = ScriptedFeed(has_clock=True)
    shots: list[CapturedFrame] = []
    tape.put(1, pts=500_000)
    with Camera("tape", tape.open) as camera:
        for pts in (500_040, 500_079, 3, 43):  # milliseconds
            shots.append(camera.take_newest(5))
            tape.put(1, pts)
        shots.append(camera.take_newest(5))
        tape.end()
    gaps = [b.frame.pts - a.frame.pts for a, b in pairwise(shots)]
    assert (gaps[0], gaps[1], gaps[3]) == (40 * 90, 39 * 90, 40 * 90)
    assert 0 < gaps[2] < 2 / LIVE_TIME_BASE


def test_times_are_of_arrival_where_the_source_has_no_clock() -> None:
    tape = ScriptedFeed()
    tape.put(1, pts=7_000_000)
    with Camera("tape", tape.open) as camera:
        first = camera.take_newest(5)
        tape.put(1, pts=7_000_000)
        second = camera.take_newest(5)
        tape.end()
    passed = second.captured_at - first.captured_at
    assert (second.frame.pts - first.frame.pts) * LIVE_TIME_BASE == pytest.approx(passed, abs=0.05)


def test_film_is_played_at_its_own_pace_and_ends(tmp_path: Path) -> None:
    pts = [0, 2, 3, 9, 12]  # 25ths of a second
    film = Clip(moving_frames(5), pts=pts).write(tmp_path / "film.mkv")
    shots = []
    with Camera("film", lambda: open_ffmpeg_feed(str(film))) as camera:
        while not camera.has_ended:
            shots.append(camera.take_newest(0.05))
    shots = [shot for shot in shots if shot is not None]
    times = [(shot.frame.pts - shots[0].frame.pts) * LIVE_TIME_BASE for shot in shots]
    assert [round(time * 25) for time in times] == pts
    assert shots[-1].captured_at - shots[0].captured_at >= 12 / 25 - 0.02
    assert camera.dropped == 0


@pytest.mark.parametrize("wanted", [False, True])
def test_sound_is_on_the_clock_of_the_pictures_and_old_sound_is_forgotten(
    tmp_path: Path, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_module, "_KEPT_SECONDS", Fraction(1, 4))
    sound = Tone(seconds=Fraction(1))
    film = Clip(moving_frames(25), audio=(sound,)).write(tmp_path / "film.mkv")
    camera = Camera("film", lambda: open_ffmpeg_feed(str(film)))
    camera.audio.keeps_everything = wanted
    with camera:
        first = camera.take_newest(5)
        with camera.audio.streams() as streams:
            assert [stream.type for stream in streams] == ["audio"]
        while not camera.has_ended:
            camera.take_newest(0.05)
        with camera.audio.streams() as streams:
            assert streams == ()
    heard = [packet.pts * packet.time_base for packet in camera.audio.take()]
    assert camera.audio.take() == []
    start = first.frame.pts * LIVE_TIME_BASE
    begins = 0 if wanted else 0.7
    assert heard[0] - start == pytest.approx(begins, abs=0.1)
    assert heard[-1] - start == pytest.approx(0.96, abs=0.15)


def test_guest_takes_the_place_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_BROWSER_PRIORITY_SECONDS", 0.3)
    tape = ScriptedFeed()
    tape.put(1)
    with Camera("tape", tape.open) as camera:
        camera.take_newest(5)
        camera.put_browser_frame(np.full((4, 4, 3), 9, np.uint8))
        tape.put(2)
        assert level(camera.take_newest(5)) == 9
        assert camera.take_newest(0.05) is None
        time.sleep(0.3)
        tape.put(3)
        assert level(camera.take_newest(5)) == 3
        tape.end()


def test_camera_of_guests_alone_waits_for_them() -> None:
    with Camera("browser", None) as camera:
        assert camera.take_newest(0.01) is None
        assert not camera.has_ended
        camera.put_browser_frame(np.full((4, 4, 3), 9, np.uint8))
        assert level(camera.take_newest(5)) == 9

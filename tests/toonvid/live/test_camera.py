"""The camera keeps the newest frame, numbers frames in order, and reconnects to a lost source."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.clips import Clip, Tone, moving_frames
from support.scripted_feed import LIMIT_SECONDS, ScriptedFeed, repeat, wait_until

from toonvid.errors import CameraError
from toonvid.live import audio_buffer
from toonvid.live import camera as camera_module
from toonvid.live.camera import Camera, CapturedFrame
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.live.ffmpeg_feed import open_ffmpeg_feed


def level(captured: CapturedFrame | None) -> int:
    """Return the value of a gray frame's pixels."""
    assert captured is not None
    return int(captured.frame.pixels[0, 0, 0])


def test_newest_frame_is_taken_and_older_ones_are_counted_as_dropped() -> None:
    feed = ScriptedFeed()
    feed.put(1)
    with Camera("feed", feed.open) as camera:
        for number in (2, 3, 4):
            feed.put(number)
        wait_until(lambda: camera.dropped == 3)
        assert level(camera.take_newest(1)) == 4
        assert camera.take_newest(0.01) is None
        feed.put(5)
        assert level(camera.take_newest(LIMIT_SECONDS)) == 5
        assert camera.dropped == 3
        feed.end()


def test_lost_source_comes_back_with_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.01)
    feed, notices = ScriptedFeed(), []
    feed.put(1)
    with Camera("feed", feed.open, notices.append) as camera:
        first = camera.take_newest(LIMIT_SECONDS)
        feed.fail(CameraError("no more frames"))
        feed.fail(CameraError("still none"))
        feed.end()
        feed.put(2, size=(12, 10))
        second = camera.take_newest(LIMIT_SECONDS)
        feed.end()
    assert first is not None and second is not None
    assert second.frame.pixels.shape == (10, 12, 3)
    assert second.frame.pts > first.frame.pts
    assert (feed.opened, camera.reconnects) == (4, 1)
    assert notices == ["feed is lost (no more frames): trying again", "feed is back, 12x10"]


def test_waits_between_attempts_grow_until_a_frame_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(camera_module, "_LONGEST_RETRY_SECONDS", 0.05)
    feed, waits = ScriptedFeed(), []
    feed.put(1)
    with Camera("feed", feed.open) as camera:
        wait = camera._stopping.wait
        monkeypatch.setattr(camera._stopping, "wait", lambda s: bool(waits.append(s)) or wait(s))
        for _ in range(5):
            feed.end()
        wait_until(lambda: len(waits) == 5)
        feed.put(2)  # resets the wait
        feed.end()
        wait_until(lambda: len(waits) == 6)
        camera._stopping.set()
        feed.end()
    assert waits == [0.01, 0.02, 0.04, 0.05, 0.05, 0.01]


def test_source_that_never_delivered_a_frame_is_an_error() -> None:
    feed = ScriptedFeed()
    feed.fail(CameraError("cannot open it"))
    with pytest.raises(CameraError, match="cannot open it"), Camera("feed", feed.open):
        pass
    feed.end()
    with pytest.raises(CameraError, match="feed delivers no frame at all"):
        Camera("feed", feed.open).__enter__()


def test_source_without_a_frame_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "FIRST_FRAME_TIMEOUT_SECONDS", 0.05)
    feed = ScriptedFeed()
    with pytest.raises(CameraError, match="delivers no frame within 0 s"):
        Camera("feed", feed.open).__enter__()
    feed.end()


def test_unexpected_exception_is_raised_on_the_thread_that_takes_frames() -> None:
    feed = ScriptedFeed()
    feed.put(1)
    with Camera("feed", feed.open) as camera:
        feed.fail(ZeroDivisionError())
        assert level(camera.take_newest(LIMIT_SECONDS)) == 1
        with pytest.raises(ZeroDivisionError):
            camera.take_newest(LIMIT_SECONDS)


def test_pts_follow_the_sources_clock_and_rise_when_it_is_reset() -> None:
    feed = ScriptedFeed(has_clock=True)
    taken: list[CapturedFrame] = []
    feed.put(1, pts=500_000)
    with Camera("feed", feed.open) as camera:
        for pts in (500_040, 500_079, 3, 43):  # milliseconds
            taken.append(camera.take_newest(LIMIT_SECONDS))
            feed.put(1, pts)
        taken.append(camera.take_newest(LIMIT_SECONDS))
        feed.end()
    gaps = [after.frame.pts - before.frame.pts for before, after in pairwise(taken)]
    assert (gaps[0], gaps[1], gaps[3]) == (40 * 90, 39 * 90, 40 * 90)
    assert 0 < gaps[2] < 2 / LIVE_TIME_BASE


def test_pts_are_times_of_arrival_if_the_source_has_no_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    feed = ScriptedFeed()
    feed.put(1, pts=7_000_000)
    with Camera("feed", feed.open) as camera:
        first = camera.take_newest(LIMIT_SECONDS)
        now += 0.25
        feed.put(1, pts=7_000_000)
        second = camera.take_newest(LIMIT_SECONDS)
        feed.end()
    assert second.captured_at - first.captured_at == 0.25
    assert (second.frame.pts - first.frame.pts) * LIVE_TIME_BASE == Fraction(1, 4)


def test_file_is_played_at_its_own_pace_and_ends(tmp_path: Path) -> None:
    pts = [0, 2, 3, 9, 12]  # 25ths of a second
    clip = Clip(moving_frames(5), pts=pts).write(tmp_path / "clip.mkv")
    taken = []
    with Camera("clip", lambda: open_ffmpeg_feed(str(clip))) as camera:
        for _ in repeat("the file did not end"):
            if camera.has_ended:
                break
            taken.append(camera.take_newest(0.05))
    taken = [captured for captured in taken if captured is not None]
    start = taken[0].frame.pts
    times = [(captured.frame.pts - start) * LIVE_TIME_BASE for captured in taken]
    # A busy machine may take frames late, and drop one for the next. The last one always comes.
    shown = [round(time * 25) for time in times]
    assert shown == [each for each in pts if each in shown]
    assert (shown[0], shown[-1], len(shown) + camera.dropped) == (0, 12, 5)
    assert taken[-1].captured_at - taken[0].captured_at >= 12 / 25 - 0.02


@pytest.mark.parametrize("keeps_everything", [False, True])
def test_audio_is_on_the_clock_of_the_frames_and_old_audio_is_dropped_unless_recorded(
    tmp_path: Path, keeps_everything: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_buffer, "_KEPT_SECONDS", Fraction(1, 4))
    tone = Tone(seconds=Fraction(1))
    clip = Clip(moving_frames(25), audio=(tone,)).write(tmp_path / "clip.mkv")
    camera = Camera("clip", lambda: open_ffmpeg_feed(str(clip)))
    camera.audio.keeps_everything = keeps_everything
    with camera:
        first = camera.take_newest(LIMIT_SECONDS)
        with camera.audio.streams() as streams:
            assert [stream.type for stream in streams] == ["audio"]
        for _ in repeat("the file did not end"):
            if camera.has_ended:
                break
            camera.take_newest(0.05)
        with camera.audio.streams() as streams:
            assert streams == ()
    times = [packet.pts * packet.time_base for packet in camera.audio.take()]
    assert camera.audio.take() == []
    start = first.frame.pts * LIVE_TIME_BASE
    assert times[0] - start == pytest.approx(0 if keeps_everything else 0.7, abs=0.1)
    assert times[-1] - start == pytest.approx(0.96, abs=0.15)


def test_frames_of_a_browser_replace_those_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    feed = ScriptedFeed()
    feed.put(1)
    with Camera("feed", feed.open) as camera:
        camera.take_newest(LIMIT_SECONDS)
        camera.put_browser_frame(np.full((4, 4, 3), 9, np.uint8))
        now += 1.9
        for number in (2, 3):
            feed.put(number)
        assert level(camera.take_newest(LIMIT_SECONDS)) == 9
        wait_until(lambda: camera._arrived == 3)  # frame 2 was discarded, frame 3 is about to be
        assert camera.take_newest(0.05) is None
        now += 0.2
        feed.put(3)
        assert level(camera.take_newest(LIMIT_SECONDS)) == 3
        feed.end()


def test_camera_without_a_source_waits_for_frames_of_a_browser() -> None:
    with Camera("browser", None) as camera:
        assert camera.take_newest(0.01) is None
        assert not camera.has_ended
        camera.put_browser_frame(np.full((4, 4, 3), 9, np.uint8))
        assert level(camera.take_newest(LIMIT_SECONDS)) == 9

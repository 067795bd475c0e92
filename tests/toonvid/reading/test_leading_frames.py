"""Frames before the first key frame are counted, and said to be missing."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from support.clips import Clip, frame_times, moving_frames

FRAMES, KEY_DISTANCE = 24, 12


def cut(path: Path, first: int) -> Path:
    """Write a video without its first packets."""
    whole = Clip(
        moving_frames(FRAMES),
        options={"g": str(KEY_DISTANCE), "sc_threshold": "0", "bf": "0"},
    ).write(path.with_stem("whole"))
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux() if packet.dts is not None]
        assert [n for n, packet in enumerate(packets) if packet.is_keyframe] == [0, KEY_DISTANCE]
        for packet in packets[first:]:
            packet.stream = stream
            target.mux(packet)
    return path


def left_out(notices: tuple[str, ...]) -> list[str]:
    return [notice for notice in notices if "before the first key frame" in notice]


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_frames_before_the_first_key_frame_are_counted(suffix, tmp_path, toon):
    done = toon(cut(tmp_path / f"cut.{suffix}", first=3))
    assert done.frames == FRAMES - KEY_DISTANCE
    lost = KEY_DISTANCE - 3
    assert left_out(done.notices) == [
        f"{lost} frames before the first key frame cannot be decoded and are left out"
    ]
    assert done.damage is None and done.left_out is None
    assert len(frame_times(done.target)) == done.frames


@pytest.mark.parametrize("first", [0, KEY_DISTANCE - 5, KEY_DISTANCE])
def test_a_whole_video_and_a_handful_of_frames_have_no_note(first, tmp_path, toon):
    assert left_out(toon(cut(tmp_path / "cut.mkv", first)).notices) == []

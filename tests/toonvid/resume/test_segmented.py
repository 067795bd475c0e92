"""A conversion that is stopped, at whatever moment, goes on and gives the same bytes."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import (
    Clip,
    Subtitles,
    Tone,
    decoded,
    decoded_audio,
    frame_times,
    moving_frames,
    only,
)

from toonvid.backends import Backend
from toonvid.errors import JobMismatchError, SourceError, TargetError
from toonvid.pipeline import Conversion, ConvertOptions, Progress
from toonvid.reading import stall_guard as patient_file
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.reading.stall_guard import StallGuardedFile
from toonvid.resume import segmented
from toonvid.resume.eligibility import JOINABLE_CODECS, why_in_one_go
from toonvid.resume.job_state import read_job_state
from toonvid.resume.join import decoding_times
from toonvid.resume.journal import Journal, read_journal
from toonvid.resume.work_folder import WorkFolder
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.steady import WARM_UP_FRAMES
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import PartFolder, part_folder

F = Fraction
LENGTH = F(1, 5)  # of a segment: five frames

Toon = Callable[..., Conversion]


class Stopped(Exception):
    """What a test stops a conversion with."""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """48 frames, ten segments, with sound and text beside them and key frames in between."""
    film = Clip(
        moving_frames(48),
        options={"bf": "2", "b_strategy": "0", "g": "12"},
        audio=(Tone(seconds=F(48, 25)),),
        subtitles=(Subtitles(),),
        chapters=((0, 1000, "One"), (1000, 1920, "Two")),
    )
    return film.write(tmp_path / "film.mp4")


@pytest.fixture
def run(identity: Backend, tmp_path: Path) -> Toon:
    """Converts to a file of `tmp_path`, in segments of five frames."""

    def run(
        source: Path,
        name: str = "target.mp4",
        on_progress: Callable[[Progress], None] | None = None,
        **fields: object,
    ) -> Conversion:
        options = ConvertOptions(**{"segment_seconds": LENGTH} | fields)  # type: ignore[arg-type]
        return segmented.convert(source, tmp_path / name, identity, options, on_progress)

    return run


def stop_at(frames: int) -> Callable[[Progress], None]:
    """Stop when so many frames are written."""

    def stop(progress: Progress) -> None:
        if progress.frames >= frames:
            raise Stopped

    return stop


def kept(target: Path) -> list[str]:
    """What lies in the folder beside a target."""
    folder = part_folder(target)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def stopped(run: Toon, source: Path, frames: int, name: str = "target.mp4", **wishes) -> None:
    with pytest.raises(Stopped):
        run(source, name, on_progress=stop_at(frames), **wishes)


# Going on.


@pytest.mark.parametrize("suffix", ["mp4", "mov", "m4v", "mkv", "webm", "ts"])
def test_stopped_and_resumed_is_the_same_bytes_as_never_stopped(suffix, film, run, tmp_path):
    whole = run(film, f"whole.{suffix}")
    name = f"stopped.{suffix}"
    for frames in (3, 7, 22, 23, 40):
        stopped(run, film, frames, name)
        assert not (tmp_path / name).exists()
    done = run(film, name)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    assert (done.frames, done.resumed_frames) == (48, 35)
    assert done.notices == whole.notices
    assert done.video_seconds == pytest.approx(48 / 25)
    assert kept(tmp_path / name) == []


def test_finished_segments_are_not_made_again(film, run, identity, tmp_path, monkeypatch):
    stopped(run, film, 23)
    assert kept(tmp_path / "target.mp4") == [*(f"00000{n}.segment" for n in range(4)), "journal"]
    stylized = []
    kept_stream = identity.stream

    def counted(batches):
        for batch in batches:
            stylized.append(1)
            yield batch

    monkeypatch.setattr(identity, "stream", lambda batches: kept_stream(counted(batches)))
    run(film)
    assert len(stylized) == 48 - 20 + WARM_UP_FRAMES  # those make the state of the steady stage


@pytest.mark.parametrize("codec", sorted(JOINABLE_CODECS))
def test_every_codec_that_is_joined_decodes_as_its_segments_do(codec, film, run, tmp_path):
    suffix = {"prores_ks": "mov", "libvpx-vp9": "webm"}.get(codec, "mkv")
    wishes = {}
    source = film
    if codec == "dnxhd":  # takes few sizes
        source = Clip(moving_frames(12, (1280, 720)), options={"g": "4"}).write(tmp_path / "hd.mp4")
        suffix = "mov"
    else:
        wishes["encoding"] = EncodeOptions(codec=codec)
    frames = 12 if codec == "dnxhd" else 48
    stopped(run, source, frames // 2, f"a.{suffix}", **wishes)
    run(source, f"a.{suffix}", **wishes)
    run(source, f"b.{suffix}", **wishes)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    found, expected = decoded(tmp_path / f"a.{suffix}"), decoded(source)
    assert len(found) == len(expected) == frames
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(found, expected, strict=True)]
    assert max(apart) < 8


def test_frame_times_are_exact_over_the_joins(run, tmp_path):
    times = sorted(random.Random(4).sample(range(4000), 90))
    film = Clip(moving_frames(90), pts=times, time_base=F(1, 1000), options={"bf": "3"})
    source = film.write(tmp_path / "source.mp4")
    for suffix in ("mp4", "mov"):
        done = run(source, f"target.{suffix}")
        assert frame_times(done.target) == frame_times(source)


def test_sound_has_no_click_and_no_gap(film, run):
    _, expected = decoded_audio(film)
    copied = run(film)
    _, wave = decoded_audio(copied.target)
    assert np.array_equal(wave, expected)
    converted = run(film, "target.webm")
    assert any("converted to opus" in notice for notice in converted.notices)
    packets = only(converted.target, "audio")
    steps = {b - a for a, b in pairwise(packets.times)}
    assert max(steps) <= F(21, 1000)  # a packet of Opus lasts 20 ms: not one is missing
    _, wave = decoded_audio(converted.target)
    tone = wave[4800:-4800]
    jumps = np.abs(np.diff(tone))
    assert jumps.max() < 1.5 * np.percentile(jumps, 99)


@pytest.mark.parametrize(
    ("suffix", "film"),
    [
        ("ts", Clip(moving_frames(30), audio=(Tone("mp2"),))),
        ("avi", Clip(moving_frames(30), codec="mpeg4")),
        ("gif", Clip(moving_frames(30), codec="gif", pix_fmt="rgb8")),
        ("mkv", Clip(moving_frames(30), options={"g": "7"}, audio=(Tone("libopus"),))),
        ("mp4", Clip(moving_frames(30), pts=range(13, 43), options={"g": "999"})),
        (
            "mp4",
            Clip(moving_frames(30), options={"x264-params": "open-gop=1:keyint=8:bframes=3"}),
        ),
    ],
    ids=["ts", "avi", "gif", "mkv", "one-key-frame-late", "open-gop"],
)
def test_any_source_goes_on(suffix, film, run, tmp_path):
    source = film.write(tmp_path / f"source.{suffix}")
    run(source, "whole.mp4")
    for frames in (6, 11, 28):
        stopped(run, source, frames)
    run(source)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_going_on_reads_from_the_last_key_frame_and_not_from_the_start(film, run, monkeypatch):
    stopped(run, film, 43)
    sought = []
    skip_to = VideoDecoder.skip_to
    monkeypatch.setattr(
        VideoDecoder, "skip_to", lambda self, time: sought.append(time) or skip_to(self, time)
    )
    opened = []
    enter = VideoDecoder.__enter__
    monkeypatch.setattr(VideoDecoder, "__enter__", lambda s: opened.append(1) or enter(s))
    run(film)
    assert sought == [F(40 - WARM_UP_FRAMES, 25)]
    assert len(opened) == 2  # once for the pictures, once for the join


def test_a_source_that_seeks_wrong_is_read_from_the_start(film, run, tmp_path, monkeypatch):
    run(film, "whole.mp4")
    stopped(run, film, 23)
    skip_to = VideoDecoder.skip_to
    later = F(4, 5)  # behind the next key frames
    monkeypatch.setattr(VideoDecoder, "skip_to", lambda self, time: skip_to(self, time + later))
    run(film)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_part_of_a_film_goes_on_too(film, run, tmp_path):
    part = DecodeOptions(start=F(1, 3), end=F(3, 2))
    run(film, "whole.mp4", decoding=part)
    stopped(run, film, 17, decoding=part)
    run(film, decoding=part)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_damaged_segment_alone_is_made_again(film, run, tmp_path):
    run(film, "whole.mp4")
    stopped(run, film, 43)
    folder = part_folder(tmp_path / "target.mp4")
    content = bytearray((folder / "000002.segment").read_bytes())
    content[-1] ^= 1
    (folder / "000002.segment").write_bytes(content)
    (folder / "000005.segment").unlink()
    done = run(film)
    assert done.resumed_frames == 40 - 10
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("lost", [1, 30, 300])
def test_a_journal_that_was_cut_off_costs_what_it_lost_and_no_more(lost, film, run, tmp_path):
    run(film, "whole.mp4")
    stopped(run, film, 43)
    journal = part_folder(tmp_path / "target.mp4") / "journal"
    journal.write_bytes(journal.read_bytes()[:-lost])
    done = run(film)
    assert done.resumed_frames == 35
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_journal_whose_head_is_gone_is_refused_and_nothing_deleted(film, run, tmp_path):
    stopped(run, film, 43)
    target = tmp_path / "target.mp4"
    (part_folder(target) / "journal").write_bytes(b"\0" * 100)
    before = kept(target)
    with pytest.raises(JobMismatchError, match=r"cannot be read; --restart begins anew"):
        run(film)
    assert kept(target) == before
    assert run(film, restart=True).resumed_frames == 0


@pytest.mark.parametrize("spoil", ["first line lost", "another version's"])
def test_a_journal_of_another_kind_is_refused_and_nothing_deleted(spoil, film, run, tmp_path):
    stopped(run, film, 43)
    target = tmp_path / "target.mp4"
    journal = part_folder(target) / "journal"
    entries = read_journal(journal)
    journal.unlink()
    if spoil == "first line lost":
        entries = entries[1:]
    else:
        entries[0] = {"job": {"source": "film.mp4", "mood": "good"}}
    for entry in entries:
        Journal(journal).append(entry)
    before = kept(target)
    with pytest.raises(JobMismatchError, match=r"cannot be read; --restart begins anew"):
        run(film)
    assert kept(target) == before
    assert read_job_state(target) is None


def test_all_that_the_journal_tells_is_on_disk_before_it(film, run, tmp_path, monkeypatch):
    """A power cut must not take what was said to be safe: file, its name, then the line."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    stopped(run, film, 13)
    folder = part_folder(tmp_path / "target.mp4").name
    assert synced[:3] == [tmp_path.name, "journal", folder]
    for number in range(2):
        at = synced.index(f"00000{number}.segment")
        assert synced[at : at + 3] == [f"00000{number}.segment", folder, "journal"]
    synced.clear()
    run(film)
    assert synced[-2:] == ["target.mp4", tmp_path.name]


def test_a_segment_is_not_written_through_a_link(film, run, tmp_path):
    stopped(run, film, 13)
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    (part_folder(tmp_path / "target.mp4") / "000002.segment").symlink_to(diary)
    run(film)
    assert diary.read_text() == "mine"


def test_what_cannot_be_tidied_away_is_no_failure(film, run, tmp_path, monkeypatch):
    remove = WorkFolder.remove

    def fail_at_the_end(self: WorkFolder) -> None:
        if self.target.exists():
            raise OSError("stale file handle")
        remove(self)

    monkeypatch.setattr(WorkFolder, "remove", fail_at_the_end)
    assert run(film).frames == 48
    assert (tmp_path / "target.mp4").exists()


def test_only_the_join_is_done_again_when_it_was_stopped(film, run, tmp_path, monkeypatch):
    run(film, "whole.mp4")
    monkeypatch.setattr(segmented, "join", lambda **_: (_ for _ in ()).throw(Stopped))
    with pytest.raises(Stopped):
        run(film)
    state = read_job_state(tmp_path / "target.mp4")
    assert state is not None and state.awaits_join and state.frames == 48
    monkeypatch.undo()
    assert run(film).resumed_frames == 48
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


# What is refused.


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"stylizing": StylizeOptions(strength=0.5)}, r"--strength was 1\.0, is 0\.5"),
        ({"stylizing": StylizeOptions(keep_color=True)}, "--keep-color was False, is True"),
        ({"decoding": DecodeOptions(size=32)}, "--size was None, is 32"),
        ({"decoding": DecodeOptions(end=F(1))}, "--end was None, is 1"),
        ({"encoding": EncodeOptions(crf=30)}, "--crf was None, is 30"),
        ({"encoding": EncodeOptions(audio=False)}, "--audio was True, is False"),
        ({"segment_seconds": F(1, 3)}, "a segment was 1/5 s, is 1/3 s"),
    ],
)
def test_other_options_are_refused_by_name_and_nothing_is_deleted(
    wishes, named, film, run, tmp_path
):
    stopped(run, film, 23)
    target = tmp_path / "target.mp4"
    before = {path: path.read_bytes() for path in part_folder(target).iterdir()}
    with pytest.raises(JobMismatchError, match=named) as refused:
        run(film, **wishes)
    assert "--restart" in str(refused.value) and "nothing was deleted" in str(refused.value)
    assert refused.value.exit_code == 2
    assert {path: path.read_bytes() for path in part_folder(target).iterdir()} == before
    done = run(film, restart=True, **wishes)
    assert done.resumed_frames == 0


def test_overwriting_is_no_other_job(film, run, tmp_path):
    stopped(run, film, 23)
    assert run(film, encoding=EncodeOptions(overwrite=True)).resumed_frames == 20


def test_another_engine_is_refused(film, run, engines_folder, tmp_path):
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine

    stopped(run, film, 23)
    engine = find_engine(str(engines_folder / "negative.onnx"))
    with (
        open_backend(engine, precision="f32") as other,
        pytest.raises(JobMismatchError, match="--style was identity, is negative"),
    ):
        segmented.convert(
            film, tmp_path / "target.mp4", other, ConvertOptions(segment_seconds=LENGTH)
        )


def test_a_changed_source_is_refused(film, run, tmp_path):
    stopped(run, film, 23)
    before = film.stat()
    with film.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"changed")
    with pytest.raises(JobMismatchError, match="the source's time of change was"):
        run(film)
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(JobMismatchError, match="the source's content was"):
        run(film)


def test_a_source_that_changes_while_it_is_read_is_said_so(film, run):
    def change(progress: Progress) -> None:
        if progress.frames == 30:
            os.utime(film)

    assert run(film, on_progress=change).damage == "it was changed while it was read"


def test_a_source_may_move(film, run, tmp_path):
    stopped(run, film, 23)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(film.rename(elsewhere / "renamed.mp4")).resumed_frames == 20


def test_what_was_begun_without_a_finished_segment_binds_nobody(film, run, tmp_path):
    stopped(run, film, 3)
    assert kept(tmp_path / "target.mp4") == []
    run(film, encoding=EncodeOptions(crf=30))


def test_second_run_on_one_target_is_refused(film, run, tmp_path):
    with (
        PartFolder(tmp_path / "target.mp4"),
        pytest.raises(TargetError, match=rf"writing .*target\.mp4 now \(process {os.getpid()}\)"),
    ):
        run(film)


def test_a_source_that_goes_away_while_it_is_looked_at_last_is_said_so(film, run, monkeypatch):
    join = segmented.join

    def join_and_lose(**arguments: Any) -> None:
        join(**arguments)
        film.unlink()

    monkeypatch.setattr(segmented, "join", join_and_lose)
    assert run(film).damage == "it was changed while it was read"


@pytest.mark.parametrize("reads", [12, 20])
def test_a_source_whose_disk_goes_away_is_waited_for_and_not_cut_short(
    reads, run, tmp_path, monkeypatch
):
    """A network mount that dies while the pictures are read, and while the rest is."""
    source = Clip(moving_frames(48), options={"g": "12"}, audio=(Tone(seconds=F(2)),)).write(
        tmp_path / "far.mkv"
    )
    run(source, "whole.mkv")
    monkeypatch.setattr(patient_file, "_file_system", lambda _: "nfs4")
    read = StallGuardedFile.read
    left = iter(range(reads))

    def read_for_a_while(self: StallGuardedFile, size: int) -> bytes:
        if next(left, None) is None:
            self.trouble = "it said nothing for 30 seconds"
            self.interrupt()
        return read(self, min(size, 2000))

    monkeypatch.setattr(StallGuardedFile, "read", read_for_a_while)
    with pytest.raises(
        SourceError, match=r"cannot be read(?: on)?: it said nothing for 30 seconds"
    ):
        run(source, "target.mkv")
    state = read_job_state(tmp_path / "target.mkv")
    assert state is None or state.awaits_join or state.frames % 5 == 0
    monkeypatch.undo()
    run(source, "target.mkv")
    assert (tmp_path / "target.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


# What is written in one go.


def test_pipes_pictures_and_gifs_leave_nothing_to_resume(film, run, identity, tmp_path):
    for name in ("target.gif", "target.png"):
        with pytest.raises((Stopped, TargetError)):
            run(film, name, on_progress=stop_at(2))
        assert kept(tmp_path / name) == []


@pytest.mark.parametrize(
    ("source", "target", "codec", "reason"),
    [
        (None, "a.mkv", "libx264", None),
        (None, "a.MP4", None, None),
        (None, "a.mkv", "h264_nvenc", None),
        (None, "a.mkv", "h264_qsv", "segments of h264_qsv cannot be joined"),
        (None, "a.gif", None, r"frames of a \.gif depend on each other"),
        (None, "a.png", None, "an image is made at once"),
        (None, "-", None, "standard output keeps nothing"),
        ("-", "a.mkv", None, "a pipe or from an address cannot be read twice"),
        ("https://example.org/a.mkv", "a.mkv", None, "cannot be read twice"),
        (os.devnull, "a.mkv", None, "cannot be read twice"),
    ],
)
def test_why_a_conversion_is_done_in_one_go(source, target, codec, reason, film):
    found = why_in_one_go(source or film, target, EncodeOptions(codec=codec))
    assert found is None if reason is None else re.search(reason, found or "")


# The times of decoding.


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_times_of_decoding_rise_and_keep_their_distance(depth):
    shown = sorted(random.Random(depth).sample(range(1000), 50))
    times = list(decoding_times(iter(shown), depth))[:50]
    assert all(a < b for a, b in pairwise(times))
    assert times[depth:] == shown[: 50 - depth]


def test_times_of_decoding_of_a_film_shorter_than_the_depth():
    assert list(decoding_times(iter([5, 8]), 2))[:2] == [2, 5]
    assert list(decoding_times(iter([5]), 2))[:1] == [5]

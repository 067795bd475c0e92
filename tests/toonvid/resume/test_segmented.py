"""A conversion that is stopped, at whatever moment, can be resumed and gives the same bytes."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
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
from support.damaged import flip_packet_bits, one_core
from support.tiny_engines import controlled_engine

from toonvid.backends import Backend, open_backend
from toonvid.errors import ControlError, JobMismatchError, SourceError, TargetError
from toonvid.pipeline import Conversion, ConvertOptions, Progress
from toonvid.reading import stall_guard
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
SEGMENT_SECONDS = F(1, 5)  # five frames

Run = Callable[..., Conversion]


class Stopped(Exception):
    """Raised by tests to stop a conversion."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """48 frames, ten segments, with audio, subtitles and chapters, and a key frame every 12."""
    video = Clip(
        moving_frames(48),
        options={"bf": "2", "b_strategy": "0", "g": "12"},
        audio=(Tone(seconds=F(48, 25)),),
        subtitles=(Subtitles(),),
        chapters=((0, 1000, "One"), (1000, 1920, "Two")),
    )
    return video.write(tmp_path / "video.mp4")


@pytest.fixture
def run(identity: Backend, tmp_path: Path) -> Run:
    """Converts to a file of `tmp_path`, in segments of five frames."""

    def run(
        source: Path,
        name: str = "target.mp4",
        on_progress: Callable[[Progress], None] | None = None,
        **fields: object,
    ) -> Conversion:
        options = ConvertOptions(**{"segment_seconds": SEGMENT_SECONDS} | fields)  # type: ignore[arg-type]
        return segmented.convert(source, tmp_path / name, identity, options, on_progress)

    return run


def stop_at(frames: int) -> Callable[[Progress], None]:
    """Return a progress callback that stops a conversion when so many frames are written."""

    def stop(progress: Progress) -> None:
        if progress.frames >= frames:
            raise Stopped

    return stop


def kept(target: Path) -> list[str]:
    """Return the names of the files in the folder beside a target."""
    folder = part_folder(target)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def stopped(run: Run, source: Path, frames: int, name: str = "target.mp4", **fields) -> None:
    with pytest.raises(Stopped):
        run(source, name, on_progress=stop_at(frames), **fields)


# Resuming.


@pytest.mark.parametrize("suffix", ["mp4", "mov", "m4v", "mkv", "webm", "ts"])
def test_stopped_and_resumed_is_the_same_bytes_as_never_stopped(suffix, video, run, tmp_path):
    whole = run(video, f"whole.{suffix}")
    name = f"stopped.{suffix}"
    for frames in (3, 7, 22, 23, 40):
        stopped(run, video, frames, name)
        assert not (tmp_path / name).exists()
    done = run(video, name)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    assert (done.frames, done.resumed_frames) == (48, 35)
    assert done.notices == whole.notices
    assert done.video_seconds == pytest.approx(48 / 25)
    assert kept(tmp_path / name) == []


def test_finished_segments_are_not_made_again(video, run, identity, tmp_path, monkeypatch):
    stopped(run, video, 23)
    assert kept(tmp_path / "target.mp4") == [*(f"00000{n}.segment" for n in range(4)), "journal"]
    stylized = []
    kept_stream = identity.stream

    def counted(batches):
        for batch in batches:
            stylized.append(1)
            yield batch

    monkeypatch.setattr(identity, "stream", lambda b, controls: kept_stream(counted(b), controls))
    run(video)
    assert len(stylized) == 48 - 20 + WARM_UP_FRAMES  # those make the state of the steady stage


@pytest.mark.parametrize("codec", sorted(JOINABLE_CODECS))
def test_segments_of_every_joinable_codec_decode_like_their_source(codec, video, run, tmp_path):
    suffix = {"prores_ks": "mov", "libvpx-vp9": "webm"}.get(codec, "mkv")
    # The steady stage stays behind frames that get brighter.
    stylizing, encoding = StylizeOptions(steady=0), EncodeOptions(codec=codec)
    fields = {"stylizing": stylizing, "encoding": encoding}
    source = video
    if codec == "dnxhd":  # takes no small frames
        source = Clip(moving_frames(12, (320, 180)), options={"g": "4"}).write(tmp_path / "hd.mp4")
        suffix = "mov"
    frames = 12 if codec == "dnxhd" else 48
    stopped(run, source, frames // 2, f"a.{suffix}", **fields)
    run(source, f"a.{suffix}", **fields)
    run(source, f"b.{suffix}", **fields)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    found, expected = decoded(tmp_path / f"a.{suffix}"), decoded(source)
    assert len(found) == len(expected) == frames
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(found, expected, strict=True)]
    assert max(apart) < 8


def test_frame_times_are_exact_over_segment_boundaries(run, tmp_path):
    times = sorted(random.Random(4).sample(range(4000), 90))
    video = Clip(moving_frames(90), pts=times, time_base=F(1, 1000), options={"bf": "3"})
    source = video.write(tmp_path / "source.mp4")
    for suffix in ("mp4", "mov"):
        done = run(source, f"target.{suffix}")
        times = frame_times(source)
    assert frame_times(done.target) == [time - times[0] for time in times]


def test_audio_has_no_click_and_no_gap(video, run):
    _, expected = decoded_audio(video)
    copied = run(video)
    _, wave = decoded_audio(copied.target)
    assert np.array_equal(wave, expected)
    converted = run(video, "target.webm")
    assert any("converted to opus" in notice for notice in converted.notices)
    packets = only(converted.target, "audio")
    steps = {b - a for a, b in pairwise(packets.times)}
    assert max(steps) <= F(21, 1000)  # a packet of Opus lasts 20 ms: not one is missing
    _, wave = decoded_audio(converted.target)
    tone = wave[4800:-4800]
    jumps = np.abs(np.diff(tone))
    assert jumps.max() < 1.5 * np.percentile(jumps, 99)


@pytest.mark.parametrize(
    ("suffix", "video"),
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
def test_every_kind_of_source_can_be_resumed(suffix, video, run, tmp_path):
    source = video.write(tmp_path / f"source.{suffix}")
    run(source, "whole.mp4")
    for frames in (6, 11, 28):
        stopped(run, source, frames)
    run(source)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_resumed_over_a_clock_that_starts_again_is_the_same_bytes(suffix, run, tmp_path):
    options = {"bf": "2", "b_strategy": "0", "g": "12"}
    clip = Clip(moving_frames(20), options=options, audio=(Tone("mp2", F(4, 5)),))
    recording = clip.write(tmp_path / "recording.ts").read_bytes()
    source = tmp_path / "source.ts"
    source.write_bytes(recording * 2)
    run(source, f"whole.{suffix}")
    for frames in (6, 18, 28):
        stopped(run, source, frames, f"target.{suffix}")
    done = run(source, f"target.{suffix}")
    assert (done.frames, done.damage) == (40, None)
    names = (f"target.{suffix}", f"whole.{suffix}")
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1


def test_resuming_reads_from_the_last_key_frame_and_not_from_the_start(video, run, monkeypatch):
    stopped(run, video, 43)
    sought = []
    skip_to = VideoDecoder.skip_to
    monkeypatch.setattr(
        VideoDecoder, "skip_to", lambda self, time: sought.append(time) or skip_to(self, time)
    )
    opened = []
    enter = VideoDecoder.__enter__
    monkeypatch.setattr(VideoDecoder, "__enter__", lambda s: opened.append(1) or enter(s))
    run(video)
    assert sought == [F(40 - WARM_UP_FRAMES, 25)]
    assert len(opened) == 2  # once for the pictures, once for the join


def test_a_source_that_seeks_to_a_wrong_place_is_read_from_the_start(
    video, run, tmp_path, monkeypatch
):
    run(video, "whole.mp4")
    stopped(run, video, 23)
    skip_to = VideoDecoder.skip_to
    later = F(4, 5)  # behind the next key frames
    monkeypatch.setattr(VideoDecoder, "skip_to", lambda self, time: skip_to(self, time + later))
    run(video)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_damage_behind_the_place_that_was_sought_is_read_from_the_start(run, tmp_path, monkeypatch):
    source = Clip(moving_frames(72), options={"g": "24"}).write(tmp_path / "video.mp4")
    flip_packet_bits(source, first_packet=45)
    sought = []
    skip_to = VideoDecoder.skip_to
    monkeypatch.setattr(
        VideoDecoder, "skip_to", lambda self, time: sought.append(time) or skip_to(self, time)
    )
    with one_core():
        whole = run(source, "whole.mp4")
        stopped(run, source, 33)
        done = run(source)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert len(sought) == 1
    assert (done.frames, done.resumed_frames) == (whole.frames, 30)
    assert done.damage == whole.damage is not None


def test_a_part_of_a_video_can_be_resumed(video, run, tmp_path):
    part = DecodeOptions(start=F(1, 3), end=F(3, 2))
    run(video, "whole.mp4", decoding=part)
    stopped(run, video, 17, decoding=part)
    run(video, decoding=part)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_damaged_segment_alone_is_made_again(video, run, tmp_path):
    run(video, "whole.mp4")
    stopped(run, video, 43)
    folder = part_folder(tmp_path / "target.mp4")
    content = bytearray((folder / "000002.segment").read_bytes())
    content[-1] ^= 1
    (folder / "000002.segment").write_bytes(content)
    (folder / "000005.segment").unlink()
    done = run(video)
    assert done.resumed_frames == 40 - 10
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("lost", [1, 30, 300])
def test_a_journal_that_was_cut_short_costs_its_lost_segments_only(lost, video, run, tmp_path):
    run(video, "whole.mp4")
    stopped(run, video, 43)
    journal = part_folder(tmp_path / "target.mp4") / "journal"
    journal.write_bytes(journal.read_bytes()[:-lost])
    done = run(video)
    assert done.resumed_frames == 35
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_journal_without_its_first_line_is_refused_and_nothing_deleted(video, run, tmp_path):
    stopped(run, video, 43)
    target = tmp_path / "target.mp4"
    (part_folder(target) / "journal").write_bytes(b"\0" * 100)
    before = kept(target)
    with pytest.raises(JobMismatchError, match=r"cannot be read; --restart begins anew"):
        run(video)
    assert kept(target) == before
    assert run(video, restart=True).resumed_frames == 0


@pytest.mark.parametrize("spoil", ["first line lost", "another version's"])
def test_a_journal_of_another_kind_is_refused_and_nothing_deleted(spoil, video, run, tmp_path):
    stopped(run, video, 43)
    target = tmp_path / "target.mp4"
    journal = part_folder(target) / "journal"
    entries = read_journal(journal)
    journal.unlink()
    if spoil == "first line lost":
        entries = entries[1:]
    else:
        entries[0] = {"job": {"source": "video.mp4", "unknown": "field"}}
    for entry in entries:
        # As toonvid 0.1 wrote it: no line but the first says which job it belongs to.
        Journal(journal).append({key: entry[key] for key in entry if key != "job_hash"})
    before = kept(target)
    with pytest.raises(JobMismatchError, match=r"cannot be read; --restart begins anew"):
        run(video)
    assert kept(target) == before
    assert read_job_state(target) is None


def test_segments_are_on_disk_before_the_journal_lists_them(video, run, tmp_path, monkeypatch):
    """After a power cut all listed segments exist: first the file, its name, then the line."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    stopped(run, video, 13)
    folder = part_folder(tmp_path / "target.mp4").name
    assert synced[:3] == [tmp_path.name, "journal", folder]
    for number in range(2):
        at = synced.index(f"00000{number}.segment")
        assert synced[at : at + 3] == [f"00000{number}.segment", folder, "journal"]
    synced.clear()
    run(video)
    assert synced[-2:] == ["target.mp4", tmp_path.name]


def test_a_segment_is_not_written_through_a_link(video, run, tmp_path):
    stopped(run, video, 13)
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    (part_folder(tmp_path / "target.mp4") / "000002.segment").symlink_to(diary)
    run(video)
    assert diary.read_text() == "mine"


def test_leftovers_that_cannot_be_deleted_are_no_failure(video, run, tmp_path, monkeypatch):
    remove = WorkFolder.remove

    def fail_at_the_end(self: WorkFolder) -> None:
        if self.target.exists():
            raise OSError("stale file handle")
        remove(self)

    monkeypatch.setattr(WorkFolder, "remove", fail_at_the_end)
    assert run(video).frames == 48
    assert (tmp_path / "target.mp4").exists()


def test_a_stopped_join_alone_is_done_again(video, run, tmp_path, monkeypatch):
    run(video, "whole.mp4")
    monkeypatch.setattr(segmented, "join", lambda **_: (_ for _ in ()).throw(Stopped))
    with pytest.raises(Stopped):
        run(video)
    state = read_job_state(tmp_path / "target.mp4")
    assert state is not None and state.awaits_join and state.frames == 48
    monkeypatch.undo()
    assert run(video).resumed_frames == 48
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


# Refusals.


@pytest.mark.parametrize(
    ("fields", "named"),
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
    fields, named, video, run, tmp_path
):
    stopped(run, video, 23)
    target = tmp_path / "target.mp4"
    before = {path: path.read_bytes() for path in part_folder(target).iterdir()}
    with pytest.raises(JobMismatchError, match=named) as refused:
        run(video, **fields)
    assert "--restart" in str(refused.value) and "nothing was deleted" in str(refused.value)
    assert refused.value.exit_code == 2
    assert {path: path.read_bytes() for path in part_folder(target).iterdir()} == before
    done = run(video, restart=True, **fields)
    assert done.resumed_frames == 0


@pytest.fixture
def run_controlled(tmp_path: Path) -> Iterator[Run]:
    """As `run`, with an engine that has the controls ink and tones."""
    with open_backend(controlled_engine(tmp_path / "engines"), precision="f32") as backend:

        def run(
            source: Path,
            name: str = "target.mp4",
            on_progress: Callable[[Progress], None] | None = None,
            **controls: float,
        ) -> Conversion:
            options = ConvertOptions(
                stylizing=StylizeOptions(**controls), segment_seconds=SEGMENT_SECONDS
            )
            return segmented.convert(source, tmp_path / name, backend, options, on_progress)

        yield run


def test_controls_are_the_same_in_every_segment(video, run_controlled, tmp_path):
    run_controlled(video, "default.mp4")
    run_controlled(video, "whole.mp4", ink=0.5)
    stopped(run_controlled, video, 23, ink=0.5)
    assert run_controlled(video, ink=0.5).resumed_frames == 20
    whole = (tmp_path / "whole.mp4").read_bytes()
    assert (tmp_path / "target.mp4").read_bytes() == whole
    assert (tmp_path / "default.mp4").read_bytes() != whole


def test_other_controls_are_refused_and_the_default_by_name_is_not(video, run_controlled):
    stopped(run_controlled, video, 23)
    with pytest.raises(JobMismatchError, match=r"--ink was 1\.0, is 0\.5"):
        run_controlled(video, ink=0.5)
    assert run_controlled(video, ink=1, tones=4.0).resumed_frames == 20


def test_controls_of_another_style_are_refused_and_leave_nothing(video, run_controlled, tmp_path):
    with pytest.raises(ControlError, match="controlled has no control saturation"):
        run_controlled(video, saturation=1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engines", "video.mp4"]


def test_overwrite_does_not_make_another_job(video, run, tmp_path):
    stopped(run, video, 23)
    assert run(video, encoding=EncodeOptions(overwrite=True)).resumed_frames == 20


def test_another_engine_is_refused(video, run, engines_folder, tmp_path):
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine

    stopped(run, video, 23)
    engine = find_engine(str(engines_folder / "negative.onnx"))
    with (
        open_backend(engine, precision="f32") as other,
        pytest.raises(JobMismatchError, match="--style was identity, is negative"),
    ):
        segmented.convert(
            video, tmp_path / "target.mp4", other, ConvertOptions(segment_seconds=SEGMENT_SECONDS)
        )


def test_a_changed_source_is_refused(video, run, tmp_path):
    stopped(run, video, 23)
    before = video.stat()
    with video.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"changed")
    with pytest.raises(JobMismatchError, match="the source's time of change was"):
        run(video)
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(JobMismatchError, match="the source's content was"):
        run(video)


def test_a_source_that_changes_while_it_is_read_is_reported(video, run):
    def change(progress: Progress) -> None:
        if progress.frames == 30:
            os.utime(video)

    assert run(video, on_progress=change).damage == "it was changed while it was read"


@pytest.mark.parametrize("moment", ["before the join", "in the join"])
def test_a_source_that_is_replaced_is_refused_and_what_is_finished_is_kept(
    moment, video, run, tmp_path, monkeypatch
):
    other = Clip(moving_frames(48), audio=(Tone(seconds=F(2)),)).write(tmp_path / "other.mp4")

    def replace_it(progress: Progress) -> None:
        if progress.frames == 30 and moment == "before the join" and other.exists():
            other.replace(video)

    def join_and_replace(**arguments: Any) -> None:
        join(**arguments)
        video.write_bytes(other.read_bytes())

    join = segmented.join
    with monkeypatch.context() as patch:
        if moment == "in the join":
            patch.setattr(segmented, "join", join_and_replace)
        with pytest.raises(SourceError, match=r"was replaced while it was read; .* is kept"):
            run(video, on_progress=replace_it)
    assert not (tmp_path / "target.mp4").exists()
    assert len(kept(tmp_path / "target.mp4")) > 10  # the journal and ten segments


def test_a_source_may_move(video, run, tmp_path):
    stopped(run, video, 23)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(video.rename(elsewhere / "renamed.mp4")).resumed_frames == 20


def test_without_a_finished_segment_any_options_are_taken(video, run, tmp_path):
    stopped(run, video, 3)
    assert kept(tmp_path / "target.mp4") == []
    run(video, encoding=EncodeOptions(crf=30))


def test_second_run_on_one_target_is_refused(video, run, tmp_path):
    with (
        PartFolder(tmp_path / "target.mp4"),
        pytest.raises(TargetError, match=rf"writing .*target\.mp4 now \(process {os.getpid()}\)"),
    ):
        run(video)


def test_a_source_that_is_deleted_before_the_last_look_is_reported(video, run, monkeypatch):
    join = segmented.join

    def join_and_lose(**arguments: Any) -> None:
        join(**arguments)
        video.unlink()

    monkeypatch.setattr(segmented, "join", join_and_lose)
    assert run(video).damage == "it was changed while it was read"


@pytest.mark.parametrize("reads", [12, 20])
def test_a_source_whose_disk_goes_away_is_an_error_and_not_cut_short(
    reads, run, tmp_path, monkeypatch
):
    """A network mount dies while frames are read, and while the join reads the rest."""
    source = Clip(moving_frames(48), options={"g": "12"}, audio=(Tone(seconds=F(2)),)).write(
        tmp_path / "far.mkv"
    )
    run(source, "whole.mkv")
    monkeypatch.setattr(stall_guard, "_file_system", lambda _: "nfs4")
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
    assert state is not None and state.frames >= 5  # the finished segments are kept
    monkeypatch.undo()
    run(source, "target.mkv")
    assert (tmp_path / "target.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


# Conversions in one go.


def test_images_and_gifs_leave_nothing_to_resume(video, run, identity, tmp_path):
    for name in ("target.gif", "target.png"):
        with pytest.raises((Stopped, TargetError)):
            run(video, name, on_progress=stop_at(2))
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
def test_why_a_conversion_is_done_in_one_go(source, target, codec, reason, video):
    found = why_in_one_go(source or video, target, EncodeOptions(codec=codec))
    assert found is None if reason is None else re.search(reason, found or "")


# Decoding times.


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_decoding_times_rise_and_keep_their_distance(depth):
    shown = sorted(random.Random(depth).sample(range(1000), 50))
    times = list(decoding_times(iter(shown), depth))[:50]
    assert all(a < b for a, b in pairwise(times))
    assert times[depth:] == shown[: 50 - depth]


def test_decoding_times_of_a_video_shorter_than_the_depth():
    assert list(decoding_times(iter([5, 8]), 2))[:2] == [2, 5]
    assert list(decoding_times(iter([5]), 2))[:1] == [5]


# What an earlier run or somebody else left in the folder.


def test_a_damaged_first_line_of_the_journal_costs_no_segment(video, run, tmp_path):
    whole = run(video, "whole.mp4")
    stopped(run, video, 22)
    journal = part_folder(tmp_path / "target.mp4") / "journal"
    content = bytearray(journal.read_bytes())
    content[100] ^= 1
    journal.write_bytes(content)
    done = run(video)
    assert (done.frames, done.resumed_frames) == (whole.frames, 20)
    assert (tmp_path / "target.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_segments_of_another_job_are_not_taken_for_ours_where_the_first_line_is_damaged(
    video, run, tmp_path
):
    stopped(run, video, 22)
    journal = part_folder(tmp_path / "target.mp4") / "journal"
    journal.write_bytes(journal.read_bytes().replace(b'"job"', b'"jab"', 1))
    with pytest.raises(JobMismatchError, match="cannot be read; --restart begins anew"):
        run(video, encoding=EncodeOptions(crf=40))
    assert run(video).resumed_frames == 20


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "part is a file"])
def test_what_is_not_a_journal_ends_with_one_line(kind, video, run, tmp_path):
    folder = part_folder(tmp_path / "target.mp4")
    if kind == "part is a file":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "000000.segment").write_text("x")
        journal = folder / "journal"
        if kind == "folder":
            journal.mkdir()
        elif kind == "pipe":
            os.mkfifo(journal)
        else:
            journal.symlink_to("/dev/zero")
    with pytest.raises(TargetError) as refused:
        run(video)
    assert "target.mp4" in str(refused.value) and "\n" not in str(refused.value)
    if kind == "part is a file":
        assert read_job_state(tmp_path / "target.mp4") is None
    else:
        with pytest.raises(TargetError, match="cannot read the journal of"):
            read_job_state(tmp_path / "target.mp4")

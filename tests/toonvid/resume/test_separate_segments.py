"""Segments that are made apart from each other, in any order, give the bytes of a plain run."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import Clip, Tone, moving_frames
from support.damaged import flip_packet_bits, one_core

from toonvid.backends import Backend
from toonvid.pipeline import ConvertOptions
from toonvid.reading.options import DecodeOptions
from toonvid.resume import segmented
from toonvid.resume.journal import read_journal
from toonvid.resume.journal_entries import read_segments
from toonvid.resume.segment_plan import SegmentPlace, SegmentPlan, plan_segments
from toonvid.resume.segmented import SegmentedConversion
from toonvid.resume.separate_segments import MadeEnd, MadeSegment, SegmentWorkshop
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.part_folder import part_folder

F = Fraction
OPTIONS = ConvertOptions(segment_seconds=F(1, 5))  # five frames
IN_PARTS = {"bf": "2", "b_strategy": "0", "g": "12"}
UNEVEN = [0, 1, 3, 4, 8, 9, 10, 15, 16, 20, 21, 22, 23, 24, 30, 31, 32, 40, 41, 42, 43, 50, 51, 60]


def write_video(path: Path, **fields: object) -> Path:
    """Write 48 frames, ten segments, with audio and a key frame every 12."""
    values = {"frames": moving_frames(48), "options": IN_PARTS, "audio": (Tone(seconds=F(2)),)}
    return Clip(**values | fields).write(path)  # type: ignore[arg-type]


def plan(source: Path, options: ConvertOptions = OPTIONS) -> SegmentPlan | None:
    return plan_segments(source, options.decoding, options.segment_seconds)


def workshop(conversion: SegmentedConversion, folder: Path) -> SegmentWorkshop:
    folder.mkdir(exist_ok=True)
    return SegmentWorkshop(
        source=conversion.source,
        target=Path("elsewhere") / conversion.target.name,
        backend=conversion.backend,
        options=conversion.options,
        template=conversion.first_cartoon(),
        folder=folder,
    )


def keep(conversion: SegmentedConversion, made: MadeSegment) -> None:
    """Take a segment over into the journal."""
    number = made.finished.number
    shutil.copy(made.path, conversion.work_folder.segment_path(number))
    conversion.work_folder.record_segment(made.finished)


def convert_in_any_order(
    source: Path, target: Path, backend: Backend, options: ConvertOptions, seed: int = 0
) -> None:
    """Convert with each segment made apart, from the place that the plan says."""
    found = plan(source, options)
    assert found is not None
    places = list(found.places)
    random.Random(seed).shuffle(places)
    with SegmentedConversion(source, target, backend, options) as conversion:
        makers = workshop(conversion, target.parent / "made")
        for place in places:
            made = makers.make_one(place)
            assert made is not None
            assert made.is_last == (place.number == len(places) - 1)
            keep(conversion, made)
        assert len(conversion.work_folder.finished) == len(places)
        conversion.work_folder.record_source_end(found.notices, None)
        conversion.join()


VIDEOS = {
    "b-frames.mp4": {},
    "all-key.mkv": {"options": {"g": "1"}},
    "one-key.mp4": {"options": {"g": "250", "bf": "0"}},
    "open-gop.mkv": {"options": IN_PARTS | {"x264-params": "open-gop=1"}},
    "uneven.mkv": {"frames": moving_frames(24), "pts": UNEVEN, "audio": ()},
    "late.mp4": {"pts": range(7, 55), "audio": (Tone(seconds=F(2)),)},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
}


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("steady", [0.0, 0.85])
def test_segments_made_apart_give_the_bytes_of_a_plain_run(name, steady, identity, tmp_path):
    source = write_video(tmp_path / name, **VIDEOS[name])
    options = replace(OPTIONS, stylizing=StylizeOptions(steady=steady))
    segmented.convert(source, tmp_path / "plain.mp4", identity, options)
    convert_in_any_order(source, tmp_path / "apart.mp4", identity, options)
    assert (tmp_path / "apart.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
    assert not part_folder(tmp_path / "apart.mp4").exists()


@pytest.mark.parametrize(
    "decoding",
    [
        DecodeOptions(start=F(1, 3)),
        DecodeOptions(start=F(1, 2), end=F(5, 4)),
        DecodeOptions(end=F(1)),
    ],
    ids=str,
)
def test_a_part_of_a_video(decoding, identity, tmp_path):
    source = write_video(tmp_path / "video.mp4")
    options = replace(OPTIONS, decoding=decoding, stylizing=StylizeOptions(compare="horizontal"))
    segmented.convert(source, tmp_path / "plain.mp4", identity, options)
    convert_in_any_order(source, tmp_path / "apart.mp4", identity, options)
    assert (tmp_path / "apart.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


def test_the_plan_has_the_boundaries_and_the_warm_up_frames_of_the_segment_before(tmp_path):
    found = plan(write_video(tmp_path / "video.mp4"))
    assert found is not None
    begins = [place.begin for place in found.places]
    assert begins == [F(5 * number, 25) for number in range(10)]
    assert [place.warm_up for place in found.places[:3]] == [F(0), F(1, 25), F(6, 25)]


def test_what_cannot_be_sought_or_is_damaged_has_no_plan(tmp_path):
    assert plan(write_video(tmp_path / "video.ts")) is None
    assert plan(write_video(tmp_path / "video.avi", codec="mpeg4", options={})) is None
    whole = write_video(tmp_path / "video.mkv")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    assert plan(whole) is not None
    assert plan(cut) is None


def test_a_place_where_no_frame_begins_gives_nothing(identity, tmp_path):
    source = write_video(tmp_path / "video.mp4")
    with SegmentedConversion(source, tmp_path / "t.mp4", identity, OPTIONS) as conversion:
        makers = workshop(conversion, tmp_path / "made")
        assert makers.make_one(SegmentPlace(1, F(11, 50), F(1, 25))) is None


@pytest.mark.parametrize("first", [3, 4])
def test_a_segment_that_does_not_follow_the_one_before_is_not_kept(first, identity, tmp_path):
    source = write_video(tmp_path / "video.mp4")
    found = plan(source)
    assert found is not None
    with SegmentedConversion(source, tmp_path / "t.mp4", identity, OPTIONS) as conversion:
        makers = workshop(conversion, tmp_path / "made")
        # One frame late: it begins in the middle of what is segment 4.
        late = replace(found.places[4], begin=found.places[4].begin + F(1, 25))
        right = makers.make_one(found.places[3])
        wrong = makers.make_one(late)
        assert right and wrong
        for made in (right, wrong) if first == 3 else (wrong, right):
            keep(conversion, made)
        assert list(conversion.work_folder.finished) == [3]
        journal = part_folder(tmp_path / "t.mp4") / "journal"
        assert set(read_segments(read_journal(journal))) == {3, 4}
    # What is in the journal is checked again where it is read.
    with SegmentedConversion(source, tmp_path / "t.mp4", identity, OPTIONS) as conversion:
        assert list(conversion.work_folder.finished) == [3]


def test_a_plain_run_goes_on_where_segments_were_made_apart_and_checks_the_joints(
    identity, tmp_path
):
    source = write_video(tmp_path / "video.mp4")
    found = plan(source)
    assert found is not None
    segmented.convert(source, tmp_path / "plain.mp4", identity, OPTIONS)
    target = tmp_path / "apart.mp4"
    with SegmentedConversion(source, target, identity, OPTIONS) as conversion:
        makers = workshop(conversion, tmp_path / "made")
        for place in (found.places[2], found.places[7]):
            made = makers.make_one(place)
            assert made is not None
            keep(conversion, made)
        wrong = makers.make_one(replace(found.places[5], begin=found.places[5].begin + F(2, 25)))
        assert wrong is not None
        keep(conversion, wrong)
    done = segmented.convert(source, target, identity, OPTIONS)
    assert target.read_bytes() == (tmp_path / "plain.mp4").read_bytes()
    assert done.frames == 48


def test_the_rest_of_a_source_is_made_as_a_plain_run_would(identity, tmp_path):
    source = write_video(tmp_path / "video.ts")
    segmented.convert(source, tmp_path / "plain.mp4", identity, OPTIONS)
    target = tmp_path / "apart.mp4"
    with SegmentedConversion(source, target, identity, OPTIONS) as conversion:
        folder = conversion.work_folder
        makers = workshop(conversion, tmp_path / "made")
        rest = makers.make_rest(None, {})
        for made in (next(rest), next(rest), next(rest)):
            assert isinstance(made, MadeSegment)
            keep(conversion, made)
        rest.close()  # a worker was lost
        for made in makers.make_rest(folder.finished[2], folder.finished):
            if isinstance(made, MadeEnd):
                folder.record_source_end(made.notices, made.damage)
            else:
                assert made.finished.number >= 3
                keep(conversion, made)
        conversion.join()
    assert target.read_bytes() == (tmp_path / "plain.mp4").read_bytes()


def test_the_rest_of_a_damaged_source_is_made_as_if_all_of_it_were(identity, tmp_path):
    source = write_video(
        tmp_path / "video.mp4", frames=moving_frames(72), options={"g": "24"}, audio=()
    )
    flip_packet_bits(source, first_packet=45)
    with (
        one_core(),
        SegmentedConversion(source, tmp_path / "t.mp4", identity, OPTIONS) as conversion,
    ):
        makers = workshop(conversion, tmp_path / "made")
        *all_made, end = makers.make_rest(None, {})
        finished = {made.finished.number: made.finished for made in all_made[:6]}
        finished[5] = replace(finished[5], source_is_intact=True)
        *rest, same_end = makers.make_rest(finished[5], finished)
    # How early the damage is noticed depends on how far decoding is ahead.
    made_again, made_at_first = (
        [replace(made.finished, source_is_intact=False) for made in segments]
        for segments in (rest, all_made[6:])
    )
    assert made_again == made_at_first
    assert same_end == end
    assert end.damage


def test_the_number_of_encoder_threads_can_be_that_of_another_machine(identity, tmp_path):
    source = write_video(tmp_path / "video.mp4", frames=moving_frames(20, size=(320, 240)))
    found = plan(source)
    assert found is not None
    with SegmentedConversion(source, tmp_path / "t.mp4", identity, OPTIONS) as conversion:
        makers = workshop(conversion, tmp_path / "made")
        hashes = [
            made.finished.segment.sha256
            for threads in (1, 4)
            if (made := replace(makers, encoder_threads=threads).make_one(found.places[0]))
        ]
    assert len(set(hashes)) == 2

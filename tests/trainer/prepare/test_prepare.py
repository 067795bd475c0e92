"""Preparing: which crops are cut, which frames are rejected, and how runs are continued."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.clips import Clip, image_file
from support.drawn_images import draw_discs, write_image
from support.run_toonvid import START_SECONDS, killed_at_end, run_here
from support.scripted_feed import repeat

from toonvid.bench.demo_scene import draw_scene, write_scene
from toonvid.errors import SourceError, TargetError, TrainingError
from toonvid.video import Pixels
from trainer.prepare import prepare as prepare_module
from trainer.prepare.frame_extraction import ExaminedFrame, PrepareOptions, SourceEnd
from trainer.prepare.manifest import MANIFEST_NAME, Manifest, SourceFile
from trainer.prepare.prepare import prepare
from trainer.prepare.quality_filter import (
    HashIndex,
    blur_effect,
    content_box,
    find_fault,
    perceptual_hash,
)
from trainer.prepare.report import PrepareReport

SMALL = PrepareOptions(size=64, short_sides=(96,), crops=1)
FLAGS = ("--size", "64", "--short-sides", "96", "--crops", "1")


def discs(seed: int) -> Pixels:
    """Discs over the whole image, (96, 128, 3): no crop of it is blank."""
    return np.hstack([draw_discs(96, 64, seed), draw_discs(96, 64, seed + 1000)])


def video(path: Path, frames: Sequence[Pixels], **more: object) -> Path:
    """A video of one frame per second, each a key frame."""
    path.parent.mkdir(exist_ok=True)
    options = {"g": "1"}
    return Clip(frames, rate=Fraction(1), time_base=Fraction(1), options=options, **more).write(  # type: ignore[arg-type]
        path
    )


def photos(folder: Path, seeds: Sequence[int]) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        write_image(folder / f"{seed:03}.png", discs(seed))
    return folder


def run_prepare(
    source: Path | Sequence[Path], target: Path, options: PrepareOptions = SMALL
) -> PrepareReport:
    sources = [source] if isinstance(source, Path) else source
    return prepare([str(s) for s in sources], target, options)


def counts(report: PrepareReport) -> dict[str, int]:
    (only,) = report.sources.values()
    return only


def files(target: Path) -> dict[str, bytes]:
    """Content of every crop in a prepared folder, by its relative path."""
    return {str(p.relative_to(target)): p.read_bytes() for p in sorted(target.rglob("*.jpg"))}


def crops(target: Path) -> list[Pixels]:
    read = [cv2.imread(str(path)) for path in sorted(target.rglob("*.jpg"))]
    return [cv2.cvtColor(crop, cv2.COLOR_BGR2RGB) for crop in read]


def credits_page() -> Pixels:
    """White text on a black background."""
    page = np.zeros((192, 256, 3), np.uint8)
    for line, words in enumerate(("DIRECTED BY", "somebody else", "Drawings", "A. N. Other")):
        where = (60, 40 + 38 * line)
        cv2.putText(page, words, where, cv2.FONT_HERSHEY_DUPLEX, 0.6, (235, 235, 235), 1)
    return cv2.resize(page, (128, 96), interpolation=cv2.INTER_AREA)


# Crops.


def test_crops_are_square_at_every_scale(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", draw_scene(400, 200, 1.0))
    options = PrepareOptions(size=64, short_sides=(96, 128, 900), crops=2)
    report = run_prepare(tmp_path / "wide.png", tmp_path / "out", options)
    names = [path.split("-", 3)[3] for path in files(tmp_path / "out")]
    assert names == [f"{side}-{crop}.jpg" for side in (128, 200, 96) for crop in (0, 1)]
    assert {crop.shape for crop in crops(tmp_path / "out")} == {(64, 64, 3)}
    assert report.pictures == report.new_pictures == 6


def test_letterbox_and_pillarbox_are_cut_off(tmp_path: Path) -> None:
    boxed = [np.pad(draw_discs(144, 192, seed), ((24, 24), (20, 20), (0, 0))) for seed in range(4)]
    report = run_prepare(video(tmp_path / "boxed.mp4", boxed), tmp_path / "out")
    assert counts(report)["kept"] == 4
    for crop in crops(tmp_path / "out"):
        dark = crop.max(axis=2) < 30
        assert dark.mean(axis=0).max() < 0.9 and dark.mean(axis=1).max() < 0.9


def test_black_bars_end_where_the_content_begins() -> None:
    plain = np.clip(draw_discs(144, 192, 3), 40, 255)
    boxed = np.pad(plain, ((24, 24), (0, 0), (0, 0)))
    rows, columns = content_box(boxed)
    assert (rows.start - 24, 168 - rows.stop) == (1, 1)
    assert columns == slice(0, 192)
    cv2.putText(boxed, "What?", (60, 185), cv2.FONT_HERSHEY_DUPLEX, 0.5, (255, 255, 255), 1)
    assert content_box(boxed) == (rows, columns), "subtitles in a bar belong to the bar"


def test_dark_frames_have_no_bars() -> None:
    night = np.clip(draw_discs(144, 192, 3), 40, 255)
    night[100:] = 0  # dark background, and no bar at the top
    assert content_box(night) == (slice(0, 144), slice(0, 192))
    assert content_box(np.zeros((144, 192, 3), np.uint8)) == (slice(0, 144), slice(0, 192))


def test_frames_are_rotated_and_their_pixels_square(tmp_path: Path) -> None:
    half = np.vstack([discs(1)[:48], np.full((48, 128, 3), 250, np.uint8)])
    options = PrepareOptions(size=96, short_sides=(96,), crops=1)
    rotated = video(tmp_path / "rotated.mp4", [np.rot90(half).copy()], rotation=(-90, False, False))
    run_prepare(rotated, tmp_path / "a", options)
    (crop,) = crops(tmp_path / "a")
    assert crop[60:].mean() > 240 > crop[:40].mean()
    wide = video(tmp_path / "wide.mp4", [draw_discs(256, 128, 1)], aspect=Fraction(2))
    assert counts(run_prepare(wide, tmp_path / "b", options))["kept"] == 1
    assert [path.split("-", 3)[3] for path in files(tmp_path / "b")] == ["96-0.jpg"]
    narrow = video(tmp_path / "narrow.mp4", [draw_discs(128, 128, 1)], aspect=Fraction(2))
    with pytest.raises(SourceError, match="1 small"):  # 128 x 64 where pixels are square
        run_prepare(narrow, tmp_path / "c", options)


def test_transparent_parts_are_blended_over_white(tmp_path: Path) -> None:
    alpha = np.zeros((96, 128, 1), np.uint8)
    alpha[:, 48:] = 255
    alpha[:48] = 255
    (tmp_path / "clear.png").write_bytes(image_file(np.dstack([discs(1), alpha]), "png"))
    options = PrepareOptions(size=96, short_sides=(96,), crops=1)
    run_prepare(tmp_path / "clear.png", tmp_path / "out", options)
    (crop,) = crops(tmp_path / "out")
    assert (crop[56:, :8] > 250).all()


# Rejected frames.


def test_each_frame_is_rejected_for_the_right_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-6, 7, (96, 128, 3))
    frames = [
        discs(0),
        np.zeros_like(discs(0)),
        np.full_like(discs(0), 200),
        credits_page(),
        cv2.GaussianBlur(discs(1), (0, 0), 4),
        np.clip(discs(0) + noise, 0, 255).astype(np.uint8),
        discs(2),
    ]
    report = run_prepare(video(tmp_path / "video.mp4", frames), tmp_path / "out")
    assert counts(report) == {
        **{"sources": 1, "seen": 7, "kept": 2, "written": 2, "too soon": 0},
        **{"blank": 2, "credits": 1, "blurred": 1, "duplicate": 1},
    }


def test_thresholds_can_be_switched_off(tmp_path: Path) -> None:
    frames = [credits_page(), cv2.GaussianBlur(discs(1), (0, 0), 4), discs(2), discs(2)]
    options = PrepareOptions(
        size=32, short_sides=(96,), crops=1, max_blur=1, min_difference=0, keep_credits=True
    )
    report = run_prepare(video(tmp_path / "video.mp4", frames), tmp_path / "out", options)
    assert counts(report)["kept"] == 4


def test_duplicates_are_found_across_sources_and_runs(tmp_path: Path) -> None:
    run_prepare(photos(tmp_path / "a", [1, 2]), tmp_path / "out")
    report = run_prepare(photos(tmp_path / "b", [2, 3]), tmp_path / "out")
    assert report.sources[str(tmp_path / "b")]["duplicate"] == 1
    assert report.sources[str(tmp_path / "b")]["kept"] == 1


def test_frames_without_an_edge_are_blank() -> None:
    rising = np.repeat(np.linspace(60, 220, 256).astype(np.uint8)[None, :, None], 192, 0)
    sky = np.repeat(rising, 3, 2)
    grainy = np.clip(sky + np.random.default_rng(1).normal(0, 5, sky.shape), 0, 255)
    assert find_fault(sky, 0.6, keep_credits=False) == "blank"
    assert find_fault(grainy.astype(np.uint8), 0.6, keep_credits=False) == "blank"
    cv2.line(sky, (20, 20), (200, 150), (30, 30, 30), 6)
    assert find_fault(sky, 1, keep_credits=False) is None


def test_night_scenes_are_not_credits() -> None:
    night = np.full((192, 256, 3), 8, np.uint8)
    cv2.circle(night, (170, 90), 26, (230, 225, 200), thickness=-1)
    assert find_fault(night, 0.6, keep_credits=False) is None
    city = np.full((192, 256, 3), 8, np.uint8)
    random = np.random.default_rng(1)
    for x, y in random.integers(20, 170, (120, 2)):  # windows, few of them bright
        city[y : y + 5, x : x + 5] = random.choice([50, 60, 70, 90, 220])
    assert find_fault(city, 1, keep_credits=False) is None
    assert find_fault(credits_page(), 0.6, keep_credits=False) == "credits"


def test_a_drawn_scene_is_kept_and_its_blurred_copy_is_not() -> None:
    scene = draw_scene(320, 240, 1.0)
    assert find_fault(scene, 0.6, keep_credits=False) is None
    assert find_fault(cv2.GaussianBlur(scene, (0, 0), 3), 0.6, keep_credits=False) == "blurred"
    gray = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)
    assert blur_effect(gray) < blur_effect(cv2.GaussianBlur(gray, (0, 0), 1)) < 1


def test_the_help_says_how_much_blur_sharp_and_blurred_images_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = " ".join(run_here(capsys, "prepare", "--help").out.replace("│", " ").split())
    ranges = r"Sharp images have (\S+) to (\S+), .* Gaussian of 2 pixels (\S+) to (\S+);"
    found = re.search(ranges, page)
    assert found is not None
    least_sharp, most_sharp, least_blurred, most_blurred = map(float, found.groups())
    gray = cv2.cvtColor(draw_scene(320, 240, 1.0), cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(gray, (0, 0), 2)
    assert least_sharp < blur_effect(gray) < most_sharp
    assert least_blurred < blur_effect(blurred) < most_blurred


def test_hashes_differ_by_content() -> None:
    index = HashIndex(np.zeros((0, 8), np.uint8))
    assert index.difference(perceptual_hash(discs(0))) == 64
    for seed in range(2000):
        index.add(np.random.default_rng(seed).integers(0, 256, 8, dtype=np.uint8))
    index.add(perceptual_hash(discs(0)))
    brighter = np.clip(discs(0).astype(int) + 20, 0, 255).astype(np.uint8)
    assert index.difference(perceptual_hash(discs(0))) == 0
    assert index.difference(perceptual_hash(brighter)) < 8
    assert index.difference(perceptual_hash(discs(1))) >= 8


def test_only_key_frames_are_decoded_unless_all_are_requested(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.mp4", 128, 96, Fraction(12), 2.0)  # one key frame
    options = PrepareOptions(64, (96,), 1, every_seconds=0.5, min_difference=0)
    assert counts(run_prepare(tmp_path / "scene.mp4", tmp_path / "a", options))["seen"] == 1
    options = PrepareOptions(64, (96,), 1, every_seconds=0.5, min_difference=0, all_frames=True)
    seen = counts(run_prepare(tmp_path / "scene.mp4", tmp_path / "b", options))
    assert (seen["seen"], seen["too soon"]) == (4, 20)


def test_max_crops_are_spread_over_the_video(tmp_path: Path) -> None:
    source = video(tmp_path / "video.mp4", [discs(seed) for seed in range(12)])
    options = PrepareOptions(size=64, short_sides=(96,), crops=1, max_pictures=4)
    assert run_prepare(source, tmp_path / "out", options).pictures == 4
    seconds = [int(path.split("-")[2]) // 1000 for path in files(tmp_path / "out")]
    assert seconds == [0, 3, 6, 9]


def test_a_rejected_frame_takes_no_place_of_the_largest_number_of_crops(tmp_path: Path) -> None:
    options = PrepareOptions(size=64, short_sides=(96,), crops=1, max_pictures=4)
    black = [np.zeros_like(discs(0))] * 3
    late = video(tmp_path / "late.mp4", [*black, *(discs(seed) for seed in range(8))])
    assert run_prepare(late, tmp_path / "a", options).pictures == 4
    seconds = [int(path.split("-")[2]) // 1000 for path in files(tmp_path / "a")]
    assert seconds == [3, 5, 7, 9]
    twice = [discs(seed // 2) for seed in range(12)]  # an odd frame is a duplicate
    same = video(tmp_path / "same.mp4", [twice[0], *twice[:11]])
    assert run_prepare(same, tmp_path / "b", options).pictures == 4


def test_the_largest_number_of_crops_counts_the_scales_that_a_video_has(tmp_path: Path) -> None:
    source = video(tmp_path / "low.mp4", [discs(seed) for seed in range(12)])
    options = PrepareOptions(size=64, short_sides=(96, 128, 160), crops=1, max_pictures=4)
    assert run_prepare(source, tmp_path / "out", options).pictures == 4


# Continued runs.


def test_a_second_run_does_nothing_and_a_new_source_adds_to_it(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(4)), tmp_path / "out"
    first = run_prepare(source, target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.jpg")}
    again = run_prepare(source, target)
    assert (again.new_sources, again.new_pictures, again.pictures) == (0, 0, 4)
    assert again.sources == first.sources, "no source was processed again"
    photos(source, range(6))
    more = run_prepare([source, video(tmp_path / "video.mp4", [discs(20)])], target)
    assert (more.new_pictures, more.pictures) == (3, 7)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_source_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", range(3))
    first = folder / "000.png"
    options = PrepareOptions(size=64, short_sides=(96,), crops=1, min_difference=0)
    report = run_prepare([first, first, folder, folder], tmp_path / "out", options)
    assert (report.new_sources, report.new_pictures) == (3, 3)
    assert report.sources[str(first)]["sources"] == 1


def test_deleted_crops_are_not_made_again(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(3)), tmp_path / "out"
    run_prepare(source, target)
    unwanted = next(target.rglob("*.jpg"))
    unwanted.unlink()
    run_prepare(source, target)
    assert not unwanted.exists() and len(files(target)) == 2


def test_the_same_sources_elsewhere_give_the_same_files(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(3))
    video(source / "video.mp4", [discs(seed) for seed in range(10, 14)])
    shutil.copytree(source, tmp_path / "copy")
    run_prepare(source, tmp_path / "a")
    run_prepare(tmp_path / "copy", tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


# Does not write more than some pictures, so that it can be killed before it has ended.
STOPPING = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from toonvid.cli import main
    from trainer.prepare import prepare
    write, target, most = prepare.write_atomically, Path(sys.argv[1]), int(sys.argv.pop(2))
    def write_some(path, content):
        while len(list(target.rglob("*.jpg"))) >= most:
            time.sleep(60)
        write(path, content)
    prepare.write_atomically = write_some
    sys.argv[1:2] = ["prepare", "-o", sys.argv[1]]
    main()
""")


def test_a_killed_run_is_continued_to_the_same_files(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(12))
    video(source / "video.mp4", [discs(seed) for seed in range(50, 74)])
    run_prepare(source, tmp_path / "whole")
    target = tmp_path / "broken"
    for count in (5, 22):  # the second one inside the video
        command = [sys.executable, "-c", STOPPING, target, str(count + 3), source, *FLAGS, "-q"]
        with killed_at_end(subprocess.Popen(command)) as running:
            for _ in repeat("too few crops were written", seconds=START_SECONDS):
                if len(list(target.rglob("*.jpg"))) >= count:
                    break
                assert running.poll() is None
                time.sleep(0.002)
        assert running.returncode == -signal.SIGKILL
        assert all(cv2.imread(str(path)) is not None for path in target.rglob("*.jpg"))
        with sqlite3.connect(target / MANIFEST_NAME) as database:
            recorded = {row[0] for row in database.execute("SELECT path FROM pictures")}
        database.close()
        assert recorded and recorded <= files(target).keys()
    last = run_prepare(source, target)
    assert files(target) == files(tmp_path / "whole")
    assert not list(target.rglob("*.part"))
    assert last.sources == run_prepare(source, tmp_path / "whole").sources


def test_leftovers_of_an_interrupted_run_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(3)), tmp_path / "out"
    run_prepare(source, target)
    whole = files(target)
    some = next(target.rglob("*.jpg"))
    leftovers = ["old-000004-000000000-96-0.jpg", ".old-000004-000000000-96-0.jpg.12-34.part"]
    for name in [*leftovers, "holiday.jpg"]:
        (some.parent / name).write_bytes(b"")
    run_prepare(source, target)
    assert files(target) == whole | {"0000/holiday.jpg": b""}
    assert not list(target.rglob("*.part"))


def test_other_folders_in_a_prepared_folder_are_left_alone(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(2)), tmp_path / "out"
    run_prepare(source, target)
    rejected = target / "0000 rejected"
    rejected.mkdir()
    next(target.rglob("*.jpg")).rename(rejected / "old-000009-000000000-96-0.jpg")
    before = files(target)
    assert run_prepare(source, target).new_sources == 0
    assert files(target) == before


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = video(tmp_path / "video.mp4", [discs(seed) for seed in range(6)])
    more = photos(tmp_path / "photos", range(20, 23))
    run_prepare([more, source], tmp_path / "whole")
    target, write = tmp_path / "out", prepare_module.write_atomically

    def fail_in_the_video(path: Path, content: bytes) -> None:
        if "000002000" in path.name:
            raise TrainingError(f"cannot write {path}: No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "write_atomically", fail_in_the_video)
        with pytest.raises(TrainingError, match="No space left"):
            run_prepare([more, source], target)
    assert len(files(target)) == 3, "the photos are kept, the unfinished video is not"
    run_prepare([more, source], target)
    assert files(target) == files(tmp_path / "whole")


def test_other_options_are_refused_by_name(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(2)), tmp_path / "out"
    run_prepare(source, target)
    before = files(target)
    with pytest.raises(TargetError, match=r"prepared with size 64 \(now 32\), crops 1 \(now 2\)"):
        run_prepare(source, target, PrepareOptions(size=32, short_sides=(96,), crops=2))
    assert files(target) == before


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", range(2)), tmp_path / "out"
    run_prepare(source, target)
    with sqlite3.connect(target / MANIFEST_NAME) as database:
        database.execute("UPDATE settings SET value = '0' WHERE name = 'version'")
    database.close()
    with pytest.raises(TargetError, match="another version"):
        run_prepare(source, target)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(2))
    with (
        Manifest(tmp_path / "out", {}),
        pytest.raises(TargetError, match="another toonvid is preparing"),
    ):
        run_prepare(source, tmp_path / "out")


def test_a_damaged_manifest_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(TargetError, match=r"cannot write .*ledger"):
        run_prepare(photos(tmp_path / "photos", [1]), tmp_path / "out")


# Unusable sources and targets.


def test_unreadable_sources_are_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(3))
    (source / "words.mp4").write_text("not a video")
    for name, codec in (("cut.png", "png"), ("cut.jpg", "mjpeg")):
        whole = image_file(discs(9), codec)
        (source / name).write_bytes(whole[: len(whole) // 2])
    report = run_prepare(source, tmp_path / "out")
    assert counts(report)["written"] == 3
    assert counts(report)["sources"] == 6
    assert {Path(path).name for path in report.problems} == {"words.mp4", "cut.png", "cut.jpg"}
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["problems"] == report.problems
    assert run_prepare(source, tmp_path / "out").new_sources == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write_image(tmp_path / "photo.png", discs(1))
    (tmp_path / "photo.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    (folder / os.fsdecode(b"t\xeate.png")).write_bytes(b"torn")
    video(tmp_path / "film.mp4", [discs(2)]).rename(folder / os.fsdecode(b"cin\xe9.mp4"))
    report = run_prepare(folder, tmp_path / "out")
    assert counts(report)["written"] == 2
    (torn,) = report.problems
    assert torn.endswith(r"caf\udce9/t\udceate.png")
    assert run_prepare(folder, tmp_path / "out").new_sources == 0


def test_missing_sources_are_reported_before_anything_is_written(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "photos", [1]), tmp_path / "out"
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        run_prepare([source, tmp_path / "nowhere"], target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty: no videos or images in this folder"):
        run_prepare([source, tmp_path / "empty"], target)
    assert files(target) == {}


def test_keeping_nothing_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    source = video(tmp_path / "black.mp4", [np.zeros((96, 128, 3), np.uint8)] * 3)
    with pytest.raises(SourceError, match="nothing was kept: 3 blank"):
        run_prepare(source, tmp_path / "out")
    (tmp_path / "words.mp4").write_text("not a video")
    with pytest.raises(SourceError, match=r"nothing was kept: .*words.mp4 is not a readable video"):
        run_prepare(tmp_path / "words.mp4", tmp_path / "out2")


def test_folders_with_other_files_are_refused(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(2))
    with pytest.raises(TargetError, match=r"contains other files \(000.png\)"):
        run_prepare(source, source)
    with pytest.raises(TargetError, match="not a folder to write to"):
        run_prepare(source, source / "000.png")
    with pytest.raises(TrainingError, match="cannot write to"):
        run_prepare(source, source / "000.png" / "out")


def test_a_target_inside_its_source_is_not_read(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", range(2))
    run_prepare(source, source / "out")
    assert run_prepare(source, source / "out").new_sources == 0


def test_a_prepared_folder_is_no_source_of_itself(tmp_path: Path) -> None:
    target = tmp_path / "out"
    run_prepare(photos(tmp_path / "photos", range(2)), target)
    before = files(target)
    for source in (target, target / "0000", next(target.rglob("*.jpg"))):
        with pytest.raises(SourceError, match=f"{source}: images are written to {target}, so it"):
            run_prepare([tmp_path / "photos", source], target)
    assert files(target) == before


def test_options_check_themselves() -> None:
    for wrong in (
        {"size": 0},
        {"short_sides": (100,)},
        {"short_sides": ()},
        {"crops": 0},
        {"every_seconds": -1},
        {"max_pictures": 0},
        {"max_blur": 2},
        {"min_difference": 65},
    ):
        with pytest.raises(ValueError, match="self"):
            PrepareOptions(**wrong)  # type: ignore[arg-type]


# Memory.


def test_no_more_than_a_few_frames_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine, write = prepare_module.examine_source, prepare_module.write_atomically
    examined: list[weakref.ref[ExaminedFrame | SourceEnd]] = []
    alive: list[int] = []

    def examine_and_note(
        source: SourceFile, options: PrepareOptions, index: HashIndex
    ) -> Iterator[ExaminedFrame | SourceEnd]:
        for item in examine(source, options, index):
            examined.append(weakref.ref(item))
            yield item

    def write_slowly(path: Path, content: bytes) -> None:
        time.sleep(0.02)  # let the reading thread get as far ahead as it can
        alive.append(sum(item() is not None for item in examined))
        write(path, content)

    monkeypatch.setattr(prepare_module, "examine_source", examine_and_note)
    monkeypatch.setattr(prepare_module, "write_atomically", write_slowly)
    source = photos(tmp_path / "photos", range(12))
    video(source / "video.mp4", [discs(seed) for seed in range(20, 32)])
    run_prepare(source, tmp_path / "out")
    assert len(examined) == 12 * 2 + 12 + 1
    assert max(alive) <= 3 + 3  # three in the queue, one on either side of it, one not yet released


def test_a_known_frame_takes_eight_bytes_of_memory() -> None:
    tracemalloc.start()
    index = HashIndex(np.zeros((100_000, 8), np.uint8))
    index.add(np.zeros(8, np.uint8))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000 * 8 * 2.1  # the same again is spare capacity


# The command.


def test_the_command_reports_and_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = photos(tmp_path / "photos", range(3)), tmp_path / "out"
    ended = run_here(capsys, "prepare", source, "-o", target, *FLAGS, "--json")
    report = json.loads(ended.out)
    assert ended.code == 0
    assert report["new_pictures"] == 3
    assert "Added 3 images of 3 new sources" in ended.err
    assert Path(report["sheet"]) == tmp_path / "out.sheet.png"
    assert cv2.imread(report["sheet"]).shape == (144, 10 * 152 - 8, 3)
    quiet = run_here(capsys, "prepare", source, "-o", target, *FLAGS, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_the_command_names_a_video_that_was_read_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = video(tmp_path / "whole.mkv", [discs(seed) for seed in range(10)]).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.mp4").write_text("not a video")
    sources = (cut, tmp_path / "words.mp4")
    ended = run_here(capsys, "prepare", *sources, "-o", tmp_path / "out", *FLAGS)
    assert ended.code == 0
    assert f"\n{cut}: read in part: it ends after" in ended.err
    assert f"\n{tmp_path / 'words.mp4'} is not a readable video" in ended.err


def test_a_sheet_that_is_not_the_folders_own_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    source, target = photos(tmp_path / "photos", range(3)), tmp_path / "out"
    sheet = tmp_path / "out.sheet.png"
    sheet.write_bytes(b"the user's own")
    ended = run_here(capsys, "prepare", source, "-o", target, *FLAGS)
    assert ended.code == 0
    assert f"no contact sheet: {sheet} is there already" in ended.err
    assert "3 in all.\n" in ended.err
    assert sheet.read_bytes() == b"the user's own"
    sheet.unlink()
    assert run_prepare(source, target).sheet == str(sheet)
    first = sheet.read_bytes()
    photos(source, range(6))
    assert run_prepare(source, target).sheet == str(sheet)
    assert sheet.read_bytes() != first


def test_a_sheet_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(target: Path, *_: object, **__: object) -> None:
        raise TargetError(f"cannot write {target}: Permission denied")

    monkeypatch.setattr("trainer.prepare.report.write_image", fail)
    report = run_prepare(photos(tmp_path / "photos", range(3)), tmp_path / "out")
    assert (report.pictures, report.sheet) == (3, None)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sheet"] is None
    assert caplog.messages == [
        f"no contact sheet: cannot write {tmp_path}/out.sheet.png: Permission denied"
    ]


def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photos(tmp_path / "photos", range(1))
    for sides in ("96,x", "48"):
        ended = run_here(
            capsys,
            "prepare",
            source,
            "-o",
            tmp_path / "out",
            "--size",
            "64",
            "--short-sides",
            sides,
        )
        assert ended.code == 2
    ended = run_here(capsys, "prepare", tmp_path / "none", "-o", tmp_path / "out")
    assert (ended.code, ended.err.count("\n")) == (1, 1)


def test_the_defaults_of_the_command_are_those_of_the_options(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", draw_discs(300, 400, 1))
    code = (
        "import sys; sys.modules['torch'] = None\n"  # PyTorch is not needed
        "from toonvid.cli import app; app()"
    )
    command = [sys.executable, "-c", code, "prepare", str(tmp_path / "large.png"), "-q", "-o"]
    subprocess.run([*command, str(tmp_path / "a")], check=True)
    report = prepare([str(tmp_path / "large.png")], tmp_path / "a")
    assert report.new_sources == 0

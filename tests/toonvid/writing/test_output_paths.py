"""Every source gets a target of its own, and never itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toonvid.errors import SourceError, TargetError
from toonvid.writing.contact_sheet import write_image
from toonvid.writing.output_paths import PlannedConversion, plan_targets
from toonvid.writing.provenance import tag_image


def touch(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [str(folder / name) for name in names]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a.mp4", "a.toon.mp4"),
        ("a.MKV", "a.toon.mkv"),
        ("a.mov", "a.toon.mov"),
        ("a.avi", "a.toon.mp4"),
        ("a.gif", "a.toon.gif"),
        ("a.HEIC", "a.toon.jpg"),
        ("a.jfif", "a.toon.jpg"),
        ("a.avif", "a.toon.webp"),
        ("a.apng", "a.toon.png"),
        ("a.dv", "a.toon.mp4"),
        ("a.webm", "a.toon.mkv"),
        ("a.ogv", "a.toon.mkv"),
        ("a.jpeg", "a.toon.jpeg"),
        ("a.bmp", "a.toon.png"),
        ("a.exr", "a.toon.png"),
        ("a.MPO", "a.toon.jpg"),
        ("a.mk3d", "a.toon.mkv"),
        ("a.h264", "a.toon.mp4"),
        ("no suffix", "no suffix.toon.mp4"),
        ("two.dots.mp4", "two.dots.toon.mp4"),
        ("-dash.mp4", "-dash.toon.mp4"),
        ("{brace}.mp4", "{brace}.toon.mp4"),
    ],
)
def test_default_target_lies_beside_its_source(tmp_path: Path, source: str, target: str) -> None:
    [path] = touch(tmp_path, source)
    assert plan_targets([path], None, "ink") == [PlannedConversion(path, str(tmp_path / target))]


@pytest.mark.parametrize("name", ["photo", "photo.unknown", "photo.1"])
@pytest.mark.parametrize(("codec", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("GIF", ".gif")])
def test_images_are_known_by_their_content_where_the_suffix_says_nothing(
    name: str, codec: str, suffix: str, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / name, codec)
    [planned] = plan_targets([str(tmp_path / name)], None, "ink")
    assert planned.target == str(tmp_path / f"{Path(name).stem}.toon{suffix}")


def test_folders_have_raw_streams_and_rare_formats(tmp_path: Path) -> None:
    names = ["a.h264", "b.hevc", "c.MOD", "d.rm", "e.exr", "f.mjpeg", "g.mpo"]
    touch(tmp_path, *names)
    found = plan_targets([str(tmp_path)], None, "ink")
    assert [Path(planned.source).name for planned in found] == names


def test_template_is_filled_for_each_source(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.mp4", "b.png")
    conversions = plan_targets([a, b], f"{tmp_path}/new/{{stem}}.{{style}}{{ext}}", "ink")
    assert [Path(planned.target).name for planned in conversions] == ["a.ink.mp4", "b.ink.png"]


@pytest.mark.parametrize("template", ["{name}.mp4", "{}.mp4", "{stem.mp4", "{0}.mp4"])
def test_unknown_template_field_is_refused(tmp_path: Path, template: str) -> None:
    [a] = touch(tmp_path, "a.mp4")
    with pytest.raises(TargetError, match=r"is not a field; there are \{stem\} \{style\} \{ext\}"):
        plan_targets([a], template, "ink")


def test_folder_is_mirrored_in_the_target_folder(tmp_path: Path) -> None:
    source = tmp_path / "videos"
    touch(source, "b.mp4", "sub/a.png", "notes.txt", ".hidden/c.mp4", ".d.mp4")
    conversions = plan_targets([str(source)], f"{tmp_path}/out/", "ink")
    assert [
        Path(planned.target).relative_to(tmp_path / "out").as_posix() for planned in conversions
    ] == [
        "b.toon.mp4",
        "sub/a.toon.png",
    ]


def test_folder_run_leaves_its_own_targets_out(tmp_path: Path) -> None:
    for name in ("own.png", "other.png"):
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    plain = tmp_path / "other.png"
    plain.write_bytes(plain.read_bytes().replace(b"toonvid style=", b"something else"))
    tag_image(tmp_path / "own.png", "ink")
    assert [planned.source for planned in plan_targets([str(tmp_path)], None, "ink")] == [
        str(plain)
    ]


def test_folder_without_videos_and_images_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceError, match="no videos or images in this folder"):
        plan_targets([str(tmp_path)], None, "ink")


def test_two_sources_may_not_share_a_target(tmp_path: Path) -> None:
    sources = touch(tmp_path, "a.mp4", "sub/a.mp4")
    with pytest.raises(TargetError, match="would both be written to"):
        plan_targets(sources, f"{tmp_path}/out/", "ink")


def test_several_sources_need_a_folder(tmp_path: Path) -> None:
    sources = touch(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(TargetError, match="2 sources do not fit the one target"):
        plan_targets(sources, str(tmp_path / "one.mp4"), "ink")
    with pytest.raises(TargetError, match="standard output holds one video"):
        plan_targets(sources, "-", "ink")


def test_source_is_never_its_own_target(tmp_path: Path) -> None:
    [a] = touch(tmp_path, "a.mp4")
    with pytest.raises(TargetError, match="would be written over itself"):
        plan_targets([a], a, "ink")
    (tmp_path / "link.mp4").symlink_to(a)
    with pytest.raises(TargetError, match="would be written over itself"):
        plan_targets([a], str(tmp_path / "link.mp4"), "ink")


@pytest.mark.parametrize("source", ["-", "https://example.org/videos/a%20b.mp4?x=1"])
def test_sources_without_a_folder_need_a_target(tmp_path: Path, source: str) -> None:
    with pytest.raises(TargetError, match="say with -o"):
        plan_targets([source], None, "ink")
    [planned] = plan_targets([source], f"{tmp_path}/", "ink")
    expected = "stdin.toon.mp4" if source == "-" else "a b.toon.mp4"
    assert planned.target == str(tmp_path / expected)


def test_sources_that_would_share_a_target_are_told_apart_by_their_suffix(tmp_path: Path) -> None:
    names = ("IMG_1.HEIC", "IMG_1.JPG", "film.avi", "film.mp4")
    sources = touch(tmp_path / "in", *names)
    targets = [Path(p.target).name for p in plan_targets(sources, f"{tmp_path}/out/", "ink")]
    assert targets == [
        "IMG_1.HEIC.toon.jpg",
        "IMG_1.toon.jpg",
        "film.avi.toon.mp4",
        "film.toon.mp4",
    ]
    alone = plan_targets(sources[:1], None, "ink")
    assert Path(alone[0].target).name == "IMG_1.toon.jpg"

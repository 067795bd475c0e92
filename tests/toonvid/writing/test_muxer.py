"""A target is written as asked for and verified, or not at all and with one clear message."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from support.clips import (
    Clip,
    Tone,
    decoded,
    flat_frame,
    frame_times,
    moving_frames,
    only,
    streams,
)

from toonvid.errors import TargetError, ToonvidError
from toonvid.video import Frame, VideoInfo
from toonvid.writing.muxer import write_video
from toonvid.writing.options import EncodeOptions
from toonvid.writing.provenance import has_provenance_tag

F = Fraction
INFO = VideoInfo("clip", "mov", 64, 48, F(1, 25), frame_rate=F(25))


def frame(pts: int = 0, pixels=None) -> Frame:
    return Frame(flat_frame((90, 90, 90)) if pixels is None else pixels, pts, F(1, 25), 1)


def write(target: Path, options: EncodeOptions | None = None, count: int = 6) -> None:
    write_frames(target, moving_frames(count) if count else [], options)


def write_frames(target: Path, images: list[np.ndarray], options: EncodeOptions | None) -> None:
    frames = [frame(pts, pixels) for pts, pixels in enumerate(images)]
    assert write_video(target, INFO, frames, options) == len(frames)


# Formats, and what does not fit them.


@pytest.mark.parametrize(
    ("suffix", "container", "codec"),
    [
        ("mp4", "mov,mp4,m4a,3gp,3g2,mj2", "h264"),
        ("m4v", "mov,mp4,m4a,3gp,3g2,mj2", "h264"),
        ("mov", "mov,mp4,m4a,3gp,3g2,mj2", "h264"),
        ("mkv", "matroska,webm", "h264"),
        ("webm", "matroska,webm", "vp9"),
        ("ts", "mpegts", "h264"),
        ("gif", "gif", "gif"),
        ("MP4", "mov,mp4,m4a,3gp,3g2,mj2", "h264"),
    ],
)
def test_suffix_names_container_and_codec(suffix, container, codec, tmp_path):
    target = tmp_path / f"target.{suffix}"
    write(target)
    with av.open(str(target)) as found:
        assert found.format.name == container
    assert only(target, "video").codec == codec
    assert len(frame_times(target)) == 6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("t.xyz", {}, r"cannot write .*t\.xyz: toonvid writes \.mp4"),
        ("t", {}, "toonvid writes"),
        ("t.mp4", {"codec": "nonsense"}, "there is no video codec 'nonsense'"),
        ("t.mp4", {"codec": "h265"}, "there is no video codec 'h265'"),
        ("t.mp4", {"codec": "aac"}, "'aac' is not a video codec"),
        ("t.mp4", {"codec": "mpeg4", "crf": 20}, "codec mpeg4 takes no --crf"),
        ("t.mov", {"codec": "prores_ks", "preset": "fast"}, "codec prores_ks takes no --preset"),
        ("t.mp4", {"preset": "warp"}, "codec libx264 does not take --preset warp"),
        ("t.mp4", {"codec": "libsvtav1", "preset": "99"}, "does not take --preset 99"),
        ("t.mp4", {"codec": "libsvtav1", "crf": 999}, "does not take --crf 999"),
        ("t.mp4", {"pix_fmt": "nonsense"}, "libx264 has no --pix-fmt nonsense: yuv420p"),
        ("t.mp4", {"pix_fmt": "pal8"}, "libx264 has no --pix-fmt pal8"),
        ("t.webm", {"codec": "libx264"}, r"\.webm cannot hold libx264"),
        ("t.gif", {"codec": "libx264"}, r"\.gif cannot hold libx264"),
        ("t.mov", {"codec": "libvpx-vp9"}, r"\.mov cannot hold libvpx-vp9"),
        ("t.mkv", {"codec": "libwebp"}, r"\.mkv cannot hold libwebp"),
        ("t.png", {"crf": 20}, "codec png takes no --crf"),
        ("t.jpg", {"codec": "libx264"}, r"\.jpg cannot hold libx264"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line_and_leave_nothing(
    name, options, message, tmp_path
):
    with pytest.raises(TargetError, match=message) as refused:
        write(tmp_path / name, EncodeOptions(**options))
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_codec_that_takes_no_such_size_is_refused(tmp_path):
    options = EncodeOptions(codec="dnxhd", pix_fmt="yuv422p")
    with pytest.raises(TargetError, match="codec dnxhd does not take frames of 64 x 48 in yuv422p"):
        write(tmp_path / "t.mov", options)
    assert list(tmp_path.iterdir()) == []


def test_a_video_does_not_fit_one_image(tmp_path):
    with pytest.raises(TargetError, match=r"is a video; .* can hold one image"):
        write(tmp_path / "t.png", count=2)
    assert list(tmp_path.iterdir()) == []


def test_a_target_without_frames_is_refused(tmp_path):
    with pytest.raises(TargetError, match="has no frames there"):
        write(tmp_path / "t.mp4", count=0)
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def frames() -> Iterator[Frame]:
        yield frame()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "t.mp4", INFO, frames())
    assert list(tmp_path.iterdir()) == []


def test_times_that_a_container_cannot_keep_are_refused(tmp_path):
    with pytest.raises(TargetError, match="cannot"):
        write_video(tmp_path / "t.mp4", INFO, [frame(5), frame(4)])
    assert list(tmp_path.iterdir()) == []


def test_target_that_exists_is_refused_before_any_work(tmp_path):
    target = tmp_path / "t.mp4"
    target.write_bytes(b"old")
    with pytest.raises(TargetError, match="is there already"):
        write(target)
    assert target.read_bytes() == b"old"
    write(target, EncodeOptions(overwrite=True))
    assert len(frame_times(target)) == 6


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink"])
def test_source_as_its_own_target_is_refused_and_unchanged(link, tmp_path, toon):
    source = Clip().write(tmp_path / "clip.mp4")
    before = source.read_bytes()
    name = "clip.mp4" if link == "same" else "other.mp4"
    if link == "symlink":
        (tmp_path / name).symlink_to(source)
    elif link == "hardlink":
        (tmp_path / name).hardlink_to(source)
    with pytest.raises(TargetError, match="is the source itself"):
        toon(source, name, encoding=EncodeOptions(overwrite=True))
    assert source.read_bytes() == before


# A disk that is full, and a reader that goes away: each in a process of its own.

LIMITED = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from support.tiny_engines import identity_engine
    from toonvid import ToonvidError, convert, open_backend
    backend = open_backend(identity_engine(Path(sys.argv[2]) / "engines"), precision="f32")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), int(sys.argv[5])))
    try:
        convert(sys.argv[3], sys.argv[4], backend)
    except ToonvidError as error:
        print(type(error).__name__, error, file=sys.stderr)
        sys.exit(error.exit_code)
""")
TESTS = Path(__file__).parents[2]


def convert_limited(tmp_path: Path, source: Path, target: str, size: int, **streams):
    command = [
        sys.executable,
        "-c",
        LIMITED,
        str(TESTS),
        str(tmp_path),
        str(source),
        target,
        str(size),
    ]
    return subprocess.run(command, check=False, timeout=120, **streams)


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "png"])
@pytest.mark.parametrize("limit", [0, 3000])
def test_a_full_disk_gives_one_line_and_leaves_nothing(suffix, limit, tmp_path):
    noise = [np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8) for n in range(20)]
    folder = tmp_path / "targets"
    folder.mkdir()
    clip = Clip(noise[: 1 if suffix == "png" else 20], audio=() if suffix == "png" else (Tone(),))
    source = clip.write(tmp_path / "source.mp4")
    done = convert_limited(
        tmp_path, source, str(folder / f"t.{suffix}"), limit, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("TargetError cannot write")
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_reader_that_goes_away_gives_one_line(tmp_path):
    noise = [np.random.default_rng(n).integers(0, 255, (96, 128, 3), np.uint8) for n in range(60)]
    source = Clip(noise).write(tmp_path / "source.mp4")
    command = [sys.executable, "-c", LIMITED, str(TESTS), str(tmp_path), str(source), "-", "-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        message = process.stderr.read().decode()
        assert process.wait(120) == 1
    assert message == "TargetError the reader of standard output went away\n"


def test_standard_output_gets_the_whole_video_with_its_audio(tmp_path):
    source = Clip(moving_frames(20), audio=(Tone(),)).write(tmp_path / "source.mp4")
    target = tmp_path / "piped.mkv"
    with target.open("wb") as pipe:
        done = convert_limited(tmp_path, source, "-", -1, stdout=pipe)
    assert done.returncode == 0
    assert len(frame_times(target)) == 20
    assert only(target, "audio").content == only(source, "audio").content


def test_standard_input_is_converted_with_its_audio(tmp_path):
    clip = Clip(moving_frames(20), audio=(Tone("libopus"),))
    source = clip.write(tmp_path / "source.mkv")
    target = tmp_path / "target.mkv"
    with source.open("rb") as pipe:
        done = convert_limited(tmp_path, "-", str(target), -1, stdin=pipe)
    assert done.returncode == 0
    assert frame_times(target) == frame_times(source)
    assert only(target, "audio").content == only(source, "audio").content


# Images and GIFs.


def test_gif_keeps_its_times_and_colors(tmp_path, toon):
    images = [
        flat_frame(color) for color in ((250, 10, 10), (10, 250, 10), (10, 10, 250), (9, 9, 9))
    ]
    source = Clip(
        images, pts=(0, 7, 30, 31), time_base=F(1, 100), codec="gif", pix_fmt="rgb8"
    ).write(tmp_path / "source.gif")
    done = toon(source, "target.gif")
    assert frame_times(done.target) == frame_times(source) == [F(n, 100) for n in (0, 7, 30, 31)]
    found, expected = decoded(done.target), decoded(source)
    assert all(np.abs(a.astype(int) - b).max() <= 8 for a, b in zip(found, expected, strict=True))


def test_video_becomes_a_gif(tmp_path, toon):
    source = Clip(audio=(Tone(),)).write(tmp_path / "source.mp4")
    done = toon(source, "target.gif")
    assert frame_times(done.target) == frame_times(source)
    assert [s.kind for s in streams(done.target)] == ["video"]
    assert any("audio stream 1" in notice for notice in done.notices)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts", "gif", "png", "jpg", "webp"])
def test_targets_have_a_provenance_tag_and_are_read_by_opencv(suffix, tmp_path, toon):
    cv2 = pytest.importorskip("cv2")
    is_image = suffix in ("png", "jpg", "webp")
    source = Clip(moving_frames(1 if is_image else 6)).write(tmp_path / "source.mp4")
    assert not has_provenance_tag(source)
    target = tmp_path / f"target.{suffix}"
    toon(source, target.name)
    assert has_provenance_tag(target)
    assert np.abs(decoded(target)[0].astype(int) - decoded(source)[0]).mean() < 10
    seen = cv2.imread(str(target)) if is_image else cv2.VideoCapture(str(target)).read()[1]
    assert np.abs(seen[:, :, ::-1].astype(int) - decoded(source)[0]).mean() < 10


def test_target_is_smaller_than_raw_frames_and_complete(tmp_path, toon):
    source = Clip(moving_frames(30)).write(tmp_path / "source.mp4")
    done = toon(source)
    assert isinstance(done.frames, int) and done.frames == 30
    assert Path(done.target).stat().st_size < 30 * 64 * 48 * 3
    assert issubclass(TargetError, ToonvidError)


@pytest.mark.parametrize("rate", [60, 120])
def test_a_gif_shows_no_frame_for_so_short_that_browsers_show_it_for_long(rate, tmp_path, toon):
    source = Clip(moving_frames(rate // 2), time_base=F(1, rate)).write(tmp_path / "source.mp4")
    done = toon(source, "target.gif")
    times = frame_times(done.target)
    assert min(b - a for a, b in pairwise(times)) >= F(2, 100)
    assert len(times) == done.frames >= 19
    assert times[-1] >= F(45, 100)
    left_out = rate // 2 - done.frames
    assert any(f"{left_out} frames are left out" in notice for notice in done.notices)


@pytest.mark.parametrize(("rate", "frames"), [(120, 4), (300, 5), (120, 3)])
def test_the_last_frame_of_a_gif_is_shown_long_enough_too(rate, frames, tmp_path, toon):
    clip = Clip(
        moving_frames(frames), rate=F(rate), time_base=F(1, rate), codec="ffv1", pix_fmt="bgr0"
    )
    done = toon(clip.write(tmp_path / "source.mkv"), "target.gif")
    with Image.open(done.target) as gif:
        shown = [image.info["duration"] for image in ImageSequence.Iterator(gif)]  # in ms
    assert len(shown) == done.frames
    assert min(shown) >= 20


@pytest.mark.parametrize(("suffix", "tag"), [("mp4", "hvc1"), ("mov", "hvc1")])
def test_h265_has_the_tag_that_apples_players_know(suffix, tag, tmp_path, toon):
    source = Clip().write(tmp_path / "source.mp4")
    done = toon(source, f"target.{suffix}", encoding=EncodeOptions(codec="libx265"))
    with av.open(done.target) as container:
        found = container.streams.video[0].codec_context.codec_tag
    assert found == tag

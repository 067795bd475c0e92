"""Opacity of videos: kept where the target can hold it, else a note; never claimed without."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.clips import decoded

from toonvid.pipeline import ConvertOptions
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume import segmented
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

LEVELS = (0, 90, 170, 255)


def source(path: Path, codec: str, pix_fmt: str, translucent: range = range(9)) -> Path:
    """Write nine frames of one color whose opacity rises in four columns from left to right."""
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:, :, :3] = (200, 60, 40)
    pixels[:, :, 3] = np.repeat(np.array(LEVELS, np.uint8), 16)
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if "vpx" in codec:
            stream.options = {"crf": "4", "b": "0", "auto-alt-ref": "0"}
        for number in range(9):
            shown = pixels.copy()
            if number not in translucent:
                shown[:, :, 3] = 255
            frame = av.VideoFrame.from_ndarray(shown, "rgba").reformat(format=pix_fmt)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def opacities(path: Path | str) -> list[np.ndarray]:
    """Return the opacity of each frame, in the middle of each column; none where it has none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.name in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1":
            context = av.CodecContext.create({"vp8": "libvpx"}.get(context.name, "libvpx-vp9"), "r")
        frames = []
        for packet in container.demux(stream):
            frames += context.decode(packet if packet.size else None)
        if "a" not in frames[0].format.name.replace("gray", ""):
            return []
        return [f.to_ndarray(format="rgba")[24, 8::16, 3].astype(int) for f in frames]


SOURCES = [
    ("libvpx-vp9", "yuva420p", "webm"),
    ("libvpx", "yuva420p", "webm"),
    ("libvpx-vp9", "yuva420p", "mkv"),
    ("prores_ks", "yuva444p10le", "mov"),
    ("qtrle", "argb", "mov"),
    ("ffv1", "yuva420p", "mkv"),
    ("ffv1", "bgra", "mkv"),
    ("png", "rgba", "mov"),
]


@pytest.mark.parametrize(("codec", "pix_fmt", "suffix"), SOURCES)
@pytest.mark.parametrize("target", ["webm", "mov"])
def test_opacity_of_a_video_is_kept(codec, pix_fmt, suffix, target, tmp_path, toon):
    path = source(tmp_path / f"source.{suffix}", codec, pix_fmt)
    done = toon(path, f"target.{target}", encoding=EncodeOptions())
    assert not any("opacity" in notice for notice in done.notices)
    found = opacities(done.target)
    assert len(found) == done.frames == 9
    for opacity in found:
        assert np.abs(opacity - LEVELS).max() <= 6


@pytest.mark.parametrize("target", ["webm", "mov"])
def test_opacity_that_comes_later_is_kept(target, tmp_path, toon):
    path = source(tmp_path / "source.mov", "qtrle", "argb", translucent=range(1, 9))
    found = opacities(toon(path, f"target.{target}").target)
    assert found[0].min() >= 250 and np.abs(found[-1] - LEVELS).max() <= 6


@pytest.mark.parametrize("target", ["mp4", "mkv"])
@pytest.mark.parametrize(("codec", "pix_fmt", "suffix"), SOURCES[:4])
def test_a_note_says_that_opacity_is_lost_and_no_tag_claims_it(
    codec, pix_fmt, suffix, target, tmp_path, toon
):
    path = source(tmp_path / f"source.{suffix}", codec, pix_fmt)
    done = toon(path, f"target.{target}")
    assert [n for n in done.notices if "libx264 holds no opacity" in n]
    with av.open(done.target) as container:
        tags = {name.lower() for name in container.streams.video[0].metadata}
        assert "alpha_mode" not in tags
    row = decoded(done.target)[0][24, 8::16].astype(int)
    assert np.abs(row[0] - 255).max() <= 8  # laid on white
    assert np.abs(row[3] - (200, 60, 40)).max() <= 8


@pytest.mark.parametrize("suffix", ["webm", "mov"])
def test_a_resumed_target_with_opacity_has_the_same_bytes(suffix, identity, tmp_path):
    path = source(tmp_path / "source.webm", "libvpx-vp9", "yuva420p")
    options = ConvertOptions(stylizing=StylizeOptions(steady=0), segment_seconds=Fraction(1, 10))
    whole, resumed = tmp_path / f"whole.{suffix}", tmp_path / f"resumed.{suffix}"
    segmented.convert(path, whole, identity, options)

    def stop(progress) -> None:
        if progress.kept_seconds > 0.15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segmented.convert(path, resumed, identity, options, on_progress=stop)
    done = segmented.convert(path, resumed, identity, options)
    assert done.resumed_frames > 0
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_resumed_conversion_knows_that_opacity_was_lost_before(identity, tmp_path):
    path = source(tmp_path / "source.mov", "prores_ks", "yuva444p10le", translucent=range(1, 3))
    options = ConvertOptions(segment_seconds=Fraction(1, 10))

    def stop(progress) -> None:
        if progress.kept_seconds > 0.15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segmented.convert(path, tmp_path / "a.mp4", identity, options, on_progress=stop)
    done = segmented.convert(path, tmp_path / "a.mp4", identity, options)
    assert done.resumed_frames > 2
    assert [notice for notice in done.notices if "holds no opacity" in notice]


@pytest.mark.parametrize("codec", ["ffv1", "libvpx-vp9", "libvpx", "qtrle", "png"])
def test_a_codec_that_is_asked_for_keeps_opacity(codec, tmp_path, toon):
    path = source(tmp_path / "source.mov", "qtrle", "argb")
    done = toon(
        path,
        f"target.{'mov' if codec in ('qtrle', 'png') else 'mkv'}",
        encoding=EncodeOptions(codec=codec),
    )
    assert np.abs(opacities(done.target)[-1] - LEVELS).max() <= 6


def test_seeking_works_with_opacity(tmp_path):
    from toonvid.reading.options import DecodeOptions

    path = source(tmp_path / "source.webm", "libvpx-vp9", "yuva420p")
    with VideoDecoder(path, DecodeOptions(start=Fraction(1, 5))) as decoder:
        frames = list(decoder.frames())
    assert len(frames) == 4
    assert all(frame.alpha is not None for frame in frames)


@pytest.mark.parametrize("first", [0, 1])
def test_lost_opacity_is_noted_once_wherever_it_begins(first, tmp_path, toon):
    path = source(tmp_path / "source.mov", "qtrle", "argb", translucent=range(first, 9))
    done = toon(path, "target.mp4")
    assert len([n for n in done.notices if "libx264 holds no opacity" in n]) == 1

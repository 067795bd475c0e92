"""What image files hold beside the image that is read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from support.clips import Clip
from support.heic import write_heic_grid

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder

RED, BLUE = (220, 40, 40), (40, 40, 220)


def read(source: Path) -> tuple[np.ndarray, list[str]]:
    """Return the pixels of the one frame, and the notices."""
    with VideoDecoder(source) as decoder:
        [frame] = decoder.frames()
        assert decoder.info.is_image
        return frame.pixels, decoder.notices


def write_images(path: Path, count: int) -> Path:
    """Write a red image, and blue ones behind it, as Pillow's format for the suffix has them."""
    first, *others = [Image.new("RGB", (32, 24), RED), *[Image.new("RGB", (32, 24), BLUE)] * count]
    first.save(path, save_all=True, append_images=others[: count - 1])
    return path


@pytest.mark.parametrize(
    ("name", "count", "line"),
    [
        ("scan.tif", 3, "2 further pages are left out"),
        ("scan.tif", 2, "1 further page is left out"),
        ("stereo.mpo", 2, "1 further image is left out"),
        ("scan.tif", 1, None),
    ],
)
def test_pages_and_views_are_counted(name, count, line, tmp_path):
    pixels, notices = read(write_images(tmp_path / name, count))
    assert np.abs(pixels.astype(int) - RED).max() <= 4
    assert notices == [line] * (line is not None)


def test_a_gain_map_is_named_and_no_further_image(tmp_path):
    source = write_images(tmp_path / "photo.mpo", 2)
    packet = b'http://ns.adobe.com/xap/1.0/\0<x hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
    data = source.read_bytes()
    segment = b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(data[:2] + segment + data[2:])
    assert read(photo)[1] == ["its HDR gain map is left out"]


@pytest.mark.parametrize("suffix", ["jpg", "heic"])
def test_the_video_of_a_motion_photo_is_named(suffix, tmp_path):
    video = Clip().write(tmp_path / "video.mp4").read_bytes()
    photo = tmp_path / f"photo.{suffix}"
    if suffix == "heic":
        write_heic_grid(photo, [RED, BLUE])
        box = (len(video) + 8).to_bytes(4, "big") + b"mpvd" + video
    else:
        Image.new("RGB", (32, 24), RED).save(photo)
        box = video
    assert read(photo)[1] == []
    photo.write_bytes(photo.read_bytes() + box)
    assert read(photo)[1] == ["the video inside of it (a motion photo) is left out"]


@pytest.mark.parametrize("tags", [{0xC612: b"\1\4\0\0"}, {0x00FE: 1, 0x014A: 8}, {0x00FE: 1}, {}])
def test_the_preview_of_a_raw_file_is_not_taken_for_the_photo(tags, tmp_path):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
        directory.tagtype[tag] = 1 if isinstance(value, bytes) else 4
    source = tmp_path / "photo.dng"
    Image.new("RGB", (32, 24), RED).save(source, "TIFF", tiffinfo=directory)
    if len(tags) == 2 or 0xC612 in tags:
        with pytest.raises(SourceError, match="raw file, of which only a preview"):
            read(source)
    else:
        assert read(source)[1] == []

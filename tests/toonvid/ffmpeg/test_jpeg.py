from __future__ import annotations

import numpy as np
import pytest
from support.http_camera import jpeg

from toonvid.bench.demo_scene import draw_scene
from toonvid.errors import SourceError
from toonvid.ffmpeg.jpeg import JpegEncoder, decode_jpeg


def test_frames_of_any_size_are_encoded_and_decoded() -> None:
    encoder = JpegEncoder()
    for size in ((64, 48), (64, 48), (33, 17), (64, 48)):
        pixels = draw_scene(*size, 0)
        data = encoder.encode(pixels)
        assert data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
        back = decode_jpeg(data)
        assert back.shape == pixels.shape
        assert np.abs(back.astype(int) - pixels).mean() < 10


def test_colors_are_kept() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:] = (220, 40, 90)
    back = decode_jpeg(JpegEncoder().encode(pixels))
    assert np.abs(back.astype(int) - (220, 40, 90)).max() <= 4


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xd9", jpeg(32, 32, 9)[:90]])
def test_other_data_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match="is not a JPEG image"):
        decode_jpeg(data)


def test_a_too_large_image_is_refused() -> None:
    with pytest.raises(SourceError):
        decode_jpeg(jpeg(4112, 2320, 9))

"""Images lie in rows, and a written image holds its pixels."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from toonvid.writing.contact_sheet import contact_sheet, write_image


def test_images_lie_in_rows_with_gaps() -> None:
    tiles = [np.full((4, 6, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = contact_sheet(tiles, columns=2)
    assert sheet.shape == (4 + 8 + 4, 6 + 8 + 6, 3)
    assert (sheet[:4, :6] == 10).all()
    assert (sheet[:4, 14:] == 20).all()
    assert (sheet[12:, :6] == 30).all()
    assert (sheet[4:12] == 255).all() and (sheet[12:, 14:] == 255).all()


def test_written_image_holds_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    write_image(tmp_path / "a.png", pixels)
    with av.open(tmp_path / "a.png") as container:
        read = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(read, pixels)

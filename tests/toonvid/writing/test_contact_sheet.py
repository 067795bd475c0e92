"""Images lie in rows, and a written image holds its pixels."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from toonvid.writing.contact_sheet import contact_sheet, labelled, write_image


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


def test_a_label_is_written_into_the_corner_and_nowhere_else() -> None:
    image = np.full((180, 320, 3), 128, np.uint8)
    shown = {name: labelled(image, name) for name in ("ink", "pepper")}
    assert (image == 128).all()
    for drawn in shown.values():
        assert drawn.shape == image.shape
        assert (drawn[:2, :2] == 0).all() and drawn[:30, :80].max() > 200
        assert (drawn[30:] == 128).all() and (drawn[:, 160:] == 128).all()
    assert not np.array_equal(shown["ink"], shown["pepper"])


def test_a_tile_smaller_than_its_label_keeps_its_shape() -> None:
    assert labelled(np.zeros((4, 6, 3), np.uint8), "storybook").shape == (4, 6, 3)

"""NumPy arrays become cartoons, and wrong input is refused in words that say what is expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.clips import moving_frames
from support.tiny_engines import controlled_cartoon, controlled_engine, negative_engine

import toonvid
from toonvid.errors import EngineError
from toonvid.video import Pixels

SIZES = [(1, 1), (1, 9), (3, 2), (4, 4), (37, 23), (64, 48)]


@pytest.fixture
def negative(tmp_path: Path) -> str:
    """Path of an engine that turns light into dark, and takes multiples of 4 only."""
    return str(negative_engine(tmp_path, multiple_of=4).card_path)


def image(size: tuple[int, int] = (37, 23)) -> Pixels:
    return moving_frames(1, size)[0]


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_any_size_keeps_its_size(size, negative):
    before = image(size)
    cartoon = toonvid.stylize(before, negative, "openvino", quality="normal")
    assert cartoon.dtype == np.uint8
    assert np.array_equal(cartoon, 255 - before)
    assert np.array_equal(before, image(size))  # the image itself is not drawn into


@pytest.mark.parametrize("size", SIZES)
def test_the_shipped_default_style_takes_any_size(size):
    cartoon = toonvid.stylize(image(size))
    assert cartoon.shape == image(size).shape
    assert cartoon.dtype == np.uint8


def test_an_open_style_draws_many_images_of_different_sizes_in_order(negative):
    images = [image(size) for size in (*SIZES, *SIZES[::-1])]
    with toonvid.open_style(negative, "openvino", quality="normal") as style:
        one_by_one = [style.stylize(each) for each in images]
        together = list(style.stylize_all(images))
        assert style.backend.name == "openvino"
    for each, one, other in zip(images, one_by_one, together, strict=True):
        assert np.array_equal(one, 255 - each)
        assert np.array_equal(other, 255 - each)


def test_the_same_array_may_be_filled_again(negative):
    images = [image((96, 64)) + np.uint8(20 * at) for at in range(12)]

    def fill():
        array = np.empty_like(images[0])
        for each in images:
            array[:] = each
            yield array

    with toonvid.open_style(negative, "openvino", quality="normal", strength=0.5) as style:
        alone = [style.stylize(each) for each in images]
        for one, other in zip(alone, style.stylize_all(fill()), strict=True):
            assert np.array_equal(one, other)


def test_an_open_style_loads_its_engine_once(negative, monkeypatch):
    from toonvid.stylizing import image as module

    opened = []
    open_backend = module.open_backend

    def counted(*arguments):
        opened.append(arguments)
        return open_backend(*arguments)

    monkeypatch.setattr(module, "open_backend", counted)
    with toonvid.open_style(negative) as style:
        for _ in range(3):
            style.stylize(image())
    assert len(opened) == 1


def test_an_array_that_is_not_contiguous_is_taken(negative):
    mirrored = image()[:, ::-1]
    cartoon = toonvid.stylize(mirrored, negative, quality="normal")
    assert np.array_equal(cartoon, 255 - mirrored)


def test_strength_and_keep_color_are_those_of_stylize_options(negative):
    before = image()
    assert np.array_equal(toonvid.stylize(before, negative, strength=0), before)
    kept = toonvid.stylize(before, negative, keep_color=True)
    assert not np.array_equal(kept, 255 - before)
    with toonvid.open_style(negative, strength=0.5) as style:
        assert np.abs(style.stylize(before).astype(int) - 128).max() <= 1


def test_controls_are_those_of_the_style(tmp_path):
    style, before = str(controlled_engine(tmp_path).card_path), image()
    cartoon = toonvid.stylize(before, style, quality="normal")
    assert np.array_equal(cartoon, controlled_cartoon(before))
    cartoon = toonvid.stylize(before, style, ink=0.5, tones=12, quality="normal")
    assert np.array_equal(cartoon, controlled_cartoon(before, ink=0.5, tones=12))
    with toonvid.open_style(style, ink=2, quality="normal") as opened:
        found = list(opened.stylize_all([before, before]))
    assert np.array_equal(found, [controlled_cartoon(before, ink=2)] * 2)


def test_a_control_that_the_style_lacks_is_refused_before_it_is_opened(negative, monkeypatch):
    monkeypatch.setattr("toonvid.stylizing.image.open_backend", None)
    with pytest.raises(toonvid.ControlError, match=r"negative has no control tones \(it has none"):
        toonvid.stylize(image(), negative, tones=5)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        (np.zeros((4, 4, 3)), ValueError, "dtype float64; .* uint8 with"),
        (np.zeros((4, 4, 3), np.float32), ValueError, "dtype float32; .* uint8 with"),
        (np.zeros((4, 4, 3), np.int64), ValueError, "dtype int64"),
        (np.zeros((4, 4, 3), bool), ValueError, "dtype bool"),
        (np.zeros((4, 4), np.uint8), ValueError, r"shape \(4, 4\); .* gray"),
        (np.zeros((4, 4, 1), np.uint8), ValueError, r"shape \(4, 4, 1\); .* gray"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "leave opacity out"),
        (np.zeros((3, 4, 4, 3), np.uint8), ValueError, "open_style"),
        (np.zeros((3, 9, 9), np.uint8), ValueError, r"shape \(3, 9, 9\)$"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
        ([[[0, 0, 0]]], TypeError, r"not list; numpy\.asarray"),
        (None, TypeError, "not NoneType"),
        ("photo.jpg", TypeError, r"not str; files are converted by toonvid\.convert"),
        (Path("photo.jpg"), TypeError, r"files are converted by toonvid\.convert"),
    ],
)
def test_wrong_input_is_refused_and_the_message_says_what_is_expected(wrong, kind, said, negative):
    expected = r"shape \(height, width, 3\) and dtype uint8, RGB"
    for draw in (lambda: toonvid.stylize(wrong, negative), lambda: drawn_open(wrong, negative)):
        with pytest.raises(kind, match=f"{expected}.*{said}"):
            draw()


def drawn_open(wrong: Pixels, style: str) -> Pixels:
    with toonvid.open_style(style) as opened:
        return opened.stylize(wrong)


def test_a_wrong_image_is_refused_before_an_engine_is_looked_for():
    with pytest.raises(ValueError, match="dtype float64"):
        toonvid.stylize(np.zeros((4, 4, 3)), "nobody")


def test_unknown_styles_and_backends_are_refused():
    with pytest.raises(EngineError, match="no style named 'nobody'"):
        toonvid.stylize(image(), "nobody")
    with pytest.raises(ValueError, match=r"backend is one of .*, not 'abacus'"):
        toonvid.stylize(image(), backend="abacus")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"precision is one of .*, not 'fp16'"):
        toonvid.open_style(precision="fp16").__enter__()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="device is a name"):
        toonvid.open_style(device=0).__enter__()  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="no style named 'inck'"):
        toonvid.find_engine(Path("inck"))
    with pytest.raises(ValueError, match="strength"):
        toonvid.stylize(image(), strength=1.5)

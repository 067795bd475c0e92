"""Frames of any size become cartoon frames, in order and mixed with their source as asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.clips import Clip, decoded, flat_frame, moving_frames
from support.tiny_engines import identity_engine, negative_engine

from toonvid.backends import ControlValues, open_backend
from toonvid.engine import Engine
from toonvid.stylizing.drawing_size import drawing_size
from toonvid.stylizing.image import OpenStyle
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels

F = Fraction


class RecordingBackend:
    """A real backend with another batch size, which records the batches that it is given."""

    def __init__(self, engine: Engine, batch_size: int) -> None:
        self.backend = open_backend(engine, precision="f32")
        self.engine, self.batch_size = engine, batch_size
        self.seen: list[Pixels] = []

    def run(self, frames: Pixels, controls: ControlValues | None = None) -> Pixels:
        self.seen.append(frames.copy())
        return self.backend.run(frames, controls)

    def stream(
        self, batches: Iterable[Pixels], controls: ControlValues | None = None
    ) -> Iterator[Pixels]:
        """With two batches in flight."""
        first = None
        for batch in batches:
            if first is not None:
                yield self.run(first, controls)
            first = batch
        if first is not None:
            yield self.run(first, controls)


def frames(images) -> list[Frame]:
    return [Frame(pixels, n, F(1, 25), 1) for n, pixels in enumerate(images)]


def stylized(engine: Engine, images, batch_size: int = 1, **options):
    backend = RecordingBackend(engine, batch_size)
    # Without the steady stage, which would mix neighboring frames.
    options = {"steady": 0, **options}
    stylizer = Stylizer(backend, StylizeOptions(**options))  # type: ignore[arg-type]
    return list(stylizer.stylize(frames(images))), backend


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (16, [7])])
def test_the_last_batch_may_be_smaller_and_frames_keep_their_order(batch_size, sizes, tmp_path):
    images = moving_frames(7)
    found, backend = stylized(negative_engine(tmp_path), images, batch_size)
    assert [len(batch) for batch in backend.seen] == sizes
    assert [frame.pts for frame in found] == list(range(7))
    for frame, pixels in zip(found, images, strict=True):
        assert np.array_equal(frame.pixels, 255 - pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 8), (37, 23), (17, 3)])
@pytest.mark.parametrize("multiple_of", [1, 4, 16])
def test_any_size_is_padded_by_reflection_and_the_padding_is_cut_off(size, multiple_of, tmp_path):
    image = moving_frames(1, size)[0]
    [frame], backend = stylized(negative_engine(tmp_path, multiple_of), [image])
    assert np.array_equal(frame.pixels, 255 - image)
    [batch] = backend.seen
    height, width = batch.shape[1:3]
    assert height % multiple_of == width % multiple_of == 0
    assert (height - size[1], width - size[0]) < (multiple_of, multiple_of)
    assert np.array_equal(batch[0, : size[1], : size[0]], image)
    if size[0] == 37 and multiple_of == 16:
        assert np.array_equal(batch[0, :23, 37:], image[:, 35:24:-1])
        assert np.array_equal(batch[0, 23:, :37], image[21:12:-1])


def test_strength_is_the_share_of_the_cartoon(tmp_path):
    engine, image = negative_engine(tmp_path), flat_frame((10, 100, 240))
    for strength, expected in ((0, (10, 100, 240)), (1, (245, 155, 15)), (0.5, (128, 128, 128))):
        [frame], _ = stylized(engine, [image], strength=strength)
        assert np.abs(frame.pixels.astype(int) - expected).max() <= 1


def test_strength_zero_is_the_source_exactly(tmp_path):
    image = moving_frames(1)[0]
    [frame], _ = stylized(negative_engine(tmp_path), [image], strength=0)
    assert np.array_equal(frame.pixels, image)


def chroma(pixels) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([red - luma, blue - luma])


def test_keep_color_takes_luma_from_the_cartoon_and_color_from_the_source(tmp_path):
    image = flat_frame((140, 120, 110))
    [frame], _ = stylized(negative_engine(tmp_path), [image], keep_color=True)
    assert np.abs(chroma(frame.pixels) - chroma(image)).max() <= 1.5
    light, expected = frame.pixels.mean(), (255 - image).mean()
    assert abs(light - expected) <= 3


def test_keep_color_changes_nothing_where_the_cartoon_is_the_source(tmp_path):
    image = moving_frames(1)[0]
    [frame], _ = stylized(identity_engine(tmp_path), [image], keep_color=True)
    assert np.array_equal(frame.pixels, image)


def test_time_and_opacity_are_those_of_the_source(tmp_path):
    alpha = np.full((48, 64), 77, np.uint8)
    source = Frame(flat_frame((1, 2, 3)), 12345, F(1, 90000), 3600, alpha)
    with open_backend(negative_engine(tmp_path), precision="f32") as backend:
        [frame] = Stylizer(backend).stylize([source])
    assert (frame.pts, frame.time_base, frame.duration) == (12345, F(1, 90000), 3600)
    assert frame.alpha is alpha


@pytest.mark.parametrize(
    ("comparison", "shape"),
    [("none", (48, 64)), ("horizontal", (48, 128)), ("vertical", (96, 64)), ("wipe", (48, 64))],
)
def test_comparison_reaches_the_target(comparison, shape, tmp_path, toon):
    source = Clip().write(tmp_path / "source.mp4")
    done = toon(source, stylizing=StylizeOptions(compare=comparison))
    assert decoded(done.target)[0].shape[:2] == shape


def test_an_error_of_the_backend_ends_the_conversion(tmp_path, toon, identity, monkeypatch):
    def fail(batches: Iterable[Pixels], controls: ControlValues | None = None) -> Iterator[Pixels]:
        next(iter(batches))
        raise RuntimeError("lost")

    monkeypatch.setattr(identity, "stream", fail)
    with pytest.raises(RuntimeError, match="lost"):
        toon(Clip().write(tmp_path / "source.mp4"))
    assert [path.name for path in Path(tmp_path).iterdir()] == ["source.mp4"]


@pytest.mark.parametrize("bad", [{"strength": 1.01}, {"strength": -0.1}, {"compare": "sideways"}])
def test_impossible_options_are_refused(bad):
    with pytest.raises(ValueError, match=f"^{next(iter(bad))} is "):
        StylizeOptions(**bad)


@pytest.mark.parametrize(
    ("quality", "drawn"), [("auto", 1), ("normal", 1), ("fast", F(3, 4)), ("best", F(6, 5))]
)
def test_quality_is_the_size_at_which_frames_are_drawn(quality, drawn, tmp_path):
    image = np.zeros((720, 960, 3), np.uint8)
    image[:, 480:] = 200
    [frame], backend = stylized(negative_engine(tmp_path, multiple_of=4), [image], quality=quality)
    [batch] = backend.seen
    assert batch.shape[1:3] == (720 * drawn, 960 * drawn)
    difference = np.abs(frame.pixels.astype(int) - (255 - image.astype(int)))
    assert difference[:, :470].max() <= 1
    assert difference[:, 490:].max() <= 1


def test_best_enlarges_up_to_864_lines_and_fast_leaves_small_frames():
    assert drawing_size(288, 432, "best") == (864, 1296)
    assert drawing_size(144, 216, "best") == (432, 648)
    assert drawing_size(648, 1200, "best") == (864, 1600)
    assert drawing_size(900, 1200, "best") == (900, 1200)
    assert drawing_size(2160, 3840, "best") == (2160, 3840)
    assert drawing_size(2160, 3840, "fast") == (540, 960)
    assert drawing_size(480, 640, "fast") == (480, 640)
    assert drawing_size(1, 1, "best") == (3, 3)
    assert drawing_size(1, 1000, "auto") == (1, 1000)


def test_images_are_drawn_at_their_best(tmp_path):
    assert StylizeOptions().for_source(is_image=True).quality == "best"
    assert StylizeOptions().for_source(is_image=False).quality == "auto"
    assert StylizeOptions(quality="fast").for_source(is_image=True).quality == "fast"
    backend = RecordingBackend(identity_engine(tmp_path), 1)
    OpenStyle(backend).stylize(moving_frames(1, (64, 48))[0])
    assert backend.seen[0].shape[1:3] == (144, 192)


@pytest.mark.parametrize("quality", ["normal", "fast", "best"])
def test_the_backend_is_told_the_shape_that_it_is_given_later(quality, tmp_path, monkeypatch):
    backend = RecordingBackend(identity_engine(tmp_path, multiple_of=16), batch_size=2)
    told = []
    monkeypatch.setattr(backend, "prepare", told.append, raising=False)
    stylizer = Stylizer(backend, StylizeOptions(steady=0, quality=quality))
    stylizer.prepare(width=50, height=600)
    list(stylizer.stylize(frames([np.zeros((600, 50, 3), np.uint8)] * 2)))
    assert told == [backend.seen[0].shape]


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"strength": 0.5}, {"keep_color": True}])
def test_the_source_that_is_mixed_in_does_not_lag(tmp_path, options):
    """The stage against flicker is for the cartoon alone."""
    images = moving_frames(6, (64, 48))
    engine = negative_engine(tmp_path)
    mixed, _ = stylized(engine, images, steady=0.85, **options)
    steady, _ = stylized(engine, images, steady=0.85)
    for source, cartoon, found in zip(images, steady, mixed, strict=True):
        drawn, _ = stylized(identity_engine(tmp_path), [source], steady=0)
        assert np.array_equal(drawn[0].pixels, source)
        if "strength" in options:
            share = options["strength"]
            wanted = source * (1 - share) + cartoon.pixels * share
            assert np.abs(found.pixels - wanted).max() <= 1
        else:
            color = source.astype(int) - source.mean(axis=2, keepdims=True)
            kept = found.pixels.astype(int) - found.pixels.mean(axis=2, keepdims=True)
            inside = (found.pixels > 0).all(axis=2) & (found.pixels < 255).all(axis=2)
            assert np.abs(kept - color)[inside].max() <= 2

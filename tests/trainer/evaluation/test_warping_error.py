"""Warping error: small where nothing or only the camera moves, large where the video flickers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.tiny_engines import doubling_engine, identity_engine, negative_engine

from toonvid.backends import open_backend
from toonvid.engine import Engine
from toonvid.errors import SourceError
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from trainer.evaluation.sharpness import luma_gradient
from trainer.evaluation.warping_error import (
    Motion,
    find_motion,
    measure_warping_errors,
    squared_error,
    squared_gradient,
    warp,
)

HEIGHT, WIDTH, FRAMES = 96, 128, 6


def texture(seed: int = 1) -> np.ndarray:
    """A smooth random image, larger than a frame."""
    random = np.random.default_rng(seed).integers(0, 256, (HEIGHT * 2, WIDTH * 2, 3))
    smooth = cv2.GaussianBlur(random.astype(np.float32), (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def frame_at(x: int, y: int = 0) -> np.ndarray:
    return np.ascontiguousarray(texture()[y : y + HEIGHT, x : x + WIDTH])


def write_video(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Write frames without loss."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@contextmanager
def stylizer(engine: Engine) -> Iterator[Stylizer]:
    with open_backend(engine, precision="f32") as backend:
        yield Stylizer(backend, StylizeOptions(steady=0))


def test_a_still_video_has_no_warping_error_and_no_ratio(tmp_path: Path) -> None:
    video = write_video(tmp_path / "still.mkv", [frame_at(0)] * FRAMES)
    with stylizer(negative_engine(tmp_path)) as negative:
        errors = measure_warping_errors(video, [negative], FRAMES)
    assert errors.source == 0
    assert errors.cartoons == (0,)
    assert errors.ratios == (None,)
    assert errors.frames == FRAMES
    assert errors.visible_share > 0.99


def test_a_flickering_video_has_a_large_one(tmp_path: Path) -> None:
    dark = frame_at(0) // 2
    frames = [dark + np.uint8(20 * (number % 2)) for number in range(FRAMES)]
    errors = measure_warping_errors(write_video(tmp_path / "flicker.mkv", frames), [], FRAMES)
    assert errors.source == pytest.approx(20, rel=0.1)


def test_a_pan_through_the_identity_engine_has_ratio_one(tmp_path: Path) -> None:
    video = write_video(tmp_path / "pan.mkv", [frame_at(3 * n, n) for n in range(FRAMES)])
    unwarped = np.sqrt(np.mean((frame_at(3, 1).astype(float) - frame_at(0)) ** 2))
    with stylizer(identity_engine(tmp_path)) as same, stylizer(negative_engine(tmp_path)) as turned:
        errors = measure_warping_errors(video, [same, turned], FRAMES)
    assert errors.ratios[0] == 1
    assert errors.ratios[1] == pytest.approx(1, rel=1e-3)  # 255 - x changes as much as x
    assert 0 < errors.source < unwarped / 5  # the pan was followed


def test_contrast_does_not_count_as_flicker(tmp_path: Path) -> None:
    """Twice the contrast flickers twice as much, and has twice the gradient."""
    frames = [frame_at(3 * n, n) for n in range(FRAMES)]
    calm = [frame // 2 for frame in frames]  # below 128
    with stylizer(doubling_engine(tmp_path)) as double:
        errors = measure_warping_errors(write_video(tmp_path / "a.mkv", calm), [double], FRAMES)
    [plain] = errors.plain
    assert plain.ratio == pytest.approx(2, rel=0.02)
    assert plain.gradient_gain == pytest.approx(2, rel=0.02)
    assert plain.ratio_per_gain == pytest.approx(1, rel=0.02)
    assert plain.change == pytest.approx(np.mean([frame.mean() for frame in calm]), rel=0.02)


def test_few_high_edges_that_only_move_do_not_count_as_flicker() -> None:
    """Both pictures move by half a pixel that is not followed, and neither flickers."""
    still = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    half = np.full_like(still, 0.5)
    square = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    square[24:72, 32:96] = 220
    square = cv2.GaussianBlur(square, (0, 0), 1.5)  # so that a shift by half a pixel is exact
    nothing_followed = Motion(still, np.ones((HEIGHT, WIDTH), bool))
    errors, gradients, means = [], [], []
    for picture in (frame_at(0)[..., :1].repeat(3, axis=2), square):
        moved = np.rint(warp(picture.astype(np.float32), half)).astype(np.uint8)
        errors.append(squared_error(picture, moved, nothing_followed) ** 0.5)
        gradients.append(squared_gradient(moved, nothing_followed) ** 0.5)
        means.append(luma_gradient(moved).mean())
    ratio = errors[1] / errors[0]
    assert ratio / (gradients[1] / gradients[0]) == pytest.approx(1, abs=0.25)
    assert ratio / (means[1] / means[0]) > 2, "by the mean gradient it would"


def test_the_stage_against_flicker_is_measured_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    noisy = [frame_at(0) // 2 + random.integers(0, 3, (1, 1, 3), np.uint8) for _ in range(FRAMES)]
    video = write_video(tmp_path / "noisy.mkv", noisy)
    with stylizer(identity_engine(tmp_path)) as same:
        errors = measure_warping_errors(video, [same], FRAMES)
        off = measure_warping_errors(video, [same], FRAMES, steady=0)
    assert errors.plain[0].ratio == errors.ratios[0] == 1
    assert errors.plain[0].error == errors.cartoons[0]
    assert errors.steady[0].ratio is not None and errors.steady[0].ratio < 0.5
    assert off.steady == off.plain == errors.plain


def test_flicker_that_an_engine_adds_shows_in_the_ratio() -> None:
    before, after = frame_at(0), frame_at(2)
    motion = find_motion(before, after)
    calm = squared_error(before, after, motion)
    assert squared_error(before, np.clip(after, 0, 225) + np.uint8(30), motion) > 20 * calm


def test_pixels_that_were_hidden_before_are_left_out() -> None:
    before, after = frame_at(0), frame_at(0)
    block = texture(seed=2)[:48, :40]
    before[24:72, 30:70] = block
    after[24:72, 42:82] = block  # 12 pixels to the right: uncovers what it hid
    visible = find_motion(before, after).visible
    assert visible[30:66, 32:40].mean() < 0.5
    assert visible[:, 100:].mean() > 0.9


def test_warping_fetches_every_pixel_from_where_it_was() -> None:
    image = frame_at(0).astype(np.float32)
    back = np.full((HEIGHT, WIDTH, 2), (5, -2), np.float32)  # from the right and above
    assert np.array_equal(warp(image, back)[2:, :-5], image[:-2, 5:])


def test_no_more_frames_are_read_than_asked_for(tmp_path: Path) -> None:
    video = write_video(tmp_path / "pan.mkv", [frame_at(n) for n in range(FRAMES)])
    reported: list[int] = []
    assert measure_warping_errors(video, [], 3, reported.append).frames == 3
    assert reported == [2, 3]


def test_a_video_that_cannot_be_measured_is_refused_in_one_line(tmp_path: Path) -> None:
    single = write_video(tmp_path / "single.mkv", [frame_at(0)])
    with pytest.raises(SourceError, match=r"single\.mkv has no two frames in a row"):
        measure_warping_errors(single, [], FRAMES)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SourceError, match="is not a readable video or image"):
        measure_warping_errors(tmp_path / "text.mp4", [], FRAMES)

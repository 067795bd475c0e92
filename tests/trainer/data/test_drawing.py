"""A drawing has clean regions and lines at edges, and none in noise, gradients and foliage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.drawn_images import draw_discs

from toonvid.video import Pixels
from trainer.data.drawing import draw, draw_stacked, drop_short_strokes
from trainer.data.faces import find_skin
from trainer.data.ink import keep_long_strokes
from trainer.data.planes import to_lab
from trainer.data.regions import find_regions, paint_regions, smooth_l0


def shapes(height: int = 160, width: int = 200) -> Pixels:
    """A dark disc and a light square on mid-gray."""
    picture = np.full((height, width, 3), 128, np.uint8)
    cv2.circle(picture, (width // 4, height // 2), height // 5, (60, 60, 60), -1)
    corner = (width // 2 + 20, height // 4)
    cv2.rectangle(picture, corner, (width - 20, height * 3 // 4), (220, 220, 220), -1)
    return picture


def noise(sigma: float, like: Pixels) -> Pixels:
    random = np.random.default_rng(5)
    return np.clip(like + random.normal(0, sigma, like.shape), 0, 255).astype(np.uint8)


def flat(level: int = 128, side: int = 192) -> Pixels:
    return np.full((side, side, 3), level, np.uint8)


def ramp(side: int = 192) -> Pixels:
    """A sky: light to dark blue."""
    column = np.linspace(0, 1, side)[:, None, None]
    sky = (1 - column) * [90, 140, 220] + column * [200, 220, 245]
    return np.broadcast_to(sky, (side, side, 3)).astype(np.uint8)


def test_layers_have_the_photos_size() -> None:
    photo = draw_discs(60, 85, 1)
    drawing = draw(photo)
    assert drawing.color.shape == photo.shape and drawing.color.dtype == np.uint8
    assert drawing.ink.shape == photo.shape[:2] and drawing.ink.dtype == np.uint8


def test_the_same_photo_gives_the_same_drawing() -> None:
    photo = draw_discs(64, 64, 2)
    one, other = draw(photo), draw(photo)
    assert np.array_equal(one.color, other.color) and np.array_equal(one.ink, other.ink)


def test_edges_get_opaque_ink() -> None:
    photo = shapes()
    ink = draw(photo).ink
    edge = cv2.dilate(cv2.Canny(photo, 50, 100), np.ones((5, 5), np.uint8)) > 0
    outline = cv2.Canny(photo, 50, 100) > 0
    near = cv2.dilate(ink, np.ones((5, 5), np.uint8))
    assert (near[outline] > 200).mean() > 0.95
    assert ink[~edge].mean() < 2


@pytest.mark.parametrize("photo", [noise(8, flat()), ramp(), noise(4, ramp())])
def test_noise_and_skies_get_no_ink(photo: Pixels) -> None:
    assert (draw(photo).ink > 30).mean() < 0.002


def test_a_faint_edge_gets_a_line_where_it_continues_a_clear_one() -> None:
    def share_with_ink(left: int, right: int) -> float:
        """Share of the right half of an edge that has ink: steps of so many levels at 120."""
        photo = np.full((160, 240, 3), 120, np.uint8)
        photo[80:, :120], photo[80:, 120:] = 120 + left, 120 + right
        return float((draw(photo).ink[72:90, 140:220].max(axis=0) > 128).mean())

    assert share_with_ink(60, 24) > 0.95
    assert share_with_ink(24, 24) == 0


def test_foliage_gets_less_ink_than_its_edges_would() -> None:
    random = np.random.default_rng(7)
    leaves = flat(90, 288)
    for _ in range(2500):
        center = tuple(int(v) for v in random.integers(0, 288, 2))
        level = int(random.integers(30, 150))
        axes = (int(random.integers(2, 5)), 2)
        angle = int(random.integers(180))
        cv2.ellipse(leaves, center, axes, angle, 0, 360, (level // 2, level, level // 3), -1)
    assert (draw(leaves).ink > 128).mean() < 0.2  # their own edges are a third of the picture


def test_a_dark_shape_on_a_dark_ground_has_an_outline() -> None:
    photo = flat(18)
    cv2.circle(photo, (96, 96), 50, (44, 44, 44), -1)
    ring = np.zeros((192, 192), np.uint8)
    cv2.circle(ring, (96, 96), 50, 255, 1)
    ink = draw(photo).ink
    assert (cv2.dilate(ink, np.ones((5, 5), np.uint8))[ring > 0] > 128).mean() > 0.8


def test_lines_get_wider_with_the_frame() -> None:
    small = shapes(160, 200)
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    widths = []
    for photo, height in ((small, 288), (large, 864)):
        ink = draw(photo, height).ink > 128
        # Area over length: the length of the same outline grows with the picture.
        widths.append(ink.sum() / photo.shape[0])
    assert widths[1] > 1.7 * widths[0]


def test_equally_light_colors_get_a_line_between_them() -> None:
    lab = np.zeros((96, 96, 3), np.float32)
    lab[..., 0] = 60
    lab[:, :48, 1], lab[:, 48:, 1] = -35, 45
    photo = (cv2.cvtColor(lab, cv2.COLOR_Lab2RGB) * 255).astype(np.uint8)
    ink = draw(photo, 288).ink
    assert (ink[8:-8, 44:52].max(axis=1) > 128).all()
    assert ink[:, :36].max() < 30


def test_the_color_layer_is_flatter_than_the_photo_and_as_bright() -> None:
    photo = noise(10, shapes())
    drawn = draw(photo).color
    inside = (slice(60, 100), slice(125, 175))
    assert drawn[inside].std(axis=(0, 1)).max() < 0.25 * photo[inside].std(axis=(0, 1)).min()
    assert abs(float(drawn.mean()) - float(photo.mean())) < 4


def test_regions_that_touch_and_nearly_agree_are_one_and_others_are_not() -> None:
    lab = np.zeros((60, 90, 3), np.float32)
    lab[:, :30, 0], lab[:, 30:60, 0], lab[:, 60:, 0] = 50, 52, 80
    labels = find_regions(lab)
    assert labels[30, 10] == labels[30, 45] != labels[30, 80]
    assert set(np.unique(labels)) == set(range(labels.max() + 1))


def test_a_large_region_is_painted_with_its_gradient_and_a_small_one_with_its_mean() -> None:
    lab = np.zeros((80, 80, 3), np.float32)
    lab[..., 0] = np.linspace(40, 60, 80)
    labels = np.zeros((80, 80), np.int64)
    painted = paint_regions(lab, labels, shading_length=4)
    assert np.abs(painted[..., 0] - lab[..., 0]).max() < 1.5
    painted = paint_regions(lab, labels, shading_length=400)
    assert np.ptp(painted[..., 0]) < 1


def test_l0_smoothing_removes_ripples_and_keeps_the_step() -> None:
    step = np.full((48, 64, 3), 0.3, np.float32)
    step[:, 32:] = 0.7
    ripples = step + 0.02 * np.sin(np.arange(64) * 1.3)[None, :, None].astype(np.float32)
    smooth = smooth_l0(ripples, 0.01)
    assert smooth[:, 4:28].std() < 0.2 * ripples[:, 4:28].std()
    assert smooth[:, 36:60].mean() - smooth[:, 4:28].mean() > 0.35


def test_short_strokes_are_dropped_but_in_faces() -> None:
    ink = np.zeros((60, 60), np.float32)
    ink[10, 5:50] = 1
    ink[30, 10:14] = ink[30, 40:44] = 1
    faces = np.zeros_like(ink)
    faces[20:40, 35:50] = 1
    kept = keep_long_strokes(ink, 10, faces, 2)
    assert kept[10, 20] == 1 and kept[30, 11] == 0 and kept[30, 41] == 1


@pytest.mark.parametrize(
    ("rgb", "is_skin"),
    [
        ((224, 172, 140), True),
        ((141, 85, 58), True),
        ((250, 250, 250), False),
        ((60, 120, 50), False),
        ((90, 140, 220), False),
    ],
)
def test_skin_is_light_and_dark_skin_alone(rgb: tuple[int, int, int], is_skin: bool) -> None:
    picture = np.full((20, 20, 3), rgb, np.float32) / 255
    assert (find_skin(to_lab(picture), 1.0).mean() > 0.5) == is_skin


def test_small_dark_shapes_in_skin_are_drawn() -> None:
    face = np.full((120, 120, 3), (216, 168, 140), np.uint8)
    for x in (45, 75):
        cv2.ellipse(face, (x, 55), (4, 2), 0, 0, 360, (70, 45, 40), -1)
    ink = draw(face, 288).ink
    assert ink[52:59, 41:50].max() > 200 and ink[52:59, 71:80].max() > 200


def test_a_networks_ink_loses_short_strokes_but_for_eyes() -> None:
    photo = np.full((288, 288, 3), 235, np.uint8)
    ink = np.zeros((288, 288), np.uint8)
    ink[20:23, 40:90] = ink[200:203, 200:210] = 255  # a line, and a crumb
    cv2.ellipse(photo, (90, 140), (60, 60), 0, 0, 360, (216, 168, 140), -1)
    for x in (75, 105):
        cv2.ellipse(photo, (x, 135), (4, 2), 0, 0, 360, (70, 45, 40), -1)
        cv2.ellipse(ink, (x, 135), (4, 2), 0, 0, 360, 255, -1)
    kept = drop_short_strokes(photo, ink, 288)
    assert np.array_equal(kept[20:23], ink[20:23])
    assert not kept[195:208, 195:215].any()
    assert (kept[135, 75], kept[135, 105]) == (255, 255)
    assert not drop_short_strokes(photo, ink, 1080)[20:23].any()  # short in a larger frame


def test_the_stacked_drawing_holds_both_layers() -> None:
    photo = shapes(64, 80)
    drawing, stacked = draw(photo, 288), draw_stacked(photo, 288)
    assert stacked.shape == (128, 80, 3)
    assert np.array_equal(stacked[:64], drawing.color)
    assert np.array_equal(stacked[64:, :, 1], drawing.ink)

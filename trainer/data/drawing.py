"""The drawing of a photo: the paired target that the initialization phase of `cel` learns from.

In: a photo. Out: two layers of the same size, *flat color* (each region in one smooth color) and
*ink* (lines at full opacity along edges). `trainer.networks.cel.compose` makes a cartoon of them.

The flat color comes from L0 smoothing (Xu et al., "Image Smoothing via L0 Gradient Minimization",
2011), graph segmentation (Felzenszwalb and Huttenlocher, 2004) and greedy merging of neighbors in
CIE Lab. Each region is then painted with a plane fitted to its colors rather than with their mean,
so that a sky keeps its gradient and has no band borders.

The ink comes from a difference of Gaussians along the flow of the edges (Kang et al., "Coherent
Line Drawing", 2007) and from the borders of regions that differ strongly in color. Three rules
decide where ink may be:

- where edges are dense and point everywhere (foliage, gravel, patterns) the threshold rises;
- where too much of the surroundings is ink already, the threshold rises again;
- in faces the threshold falls, and short strokes stay: eyes, brows and mouth are short. Small dark
  shapes in the middle of skin are eyes and brows even where no face was detected.

Nothing is learned and nothing is random: the same photo always gives the same drawing. Left out:
tonal steps and saturation, which belong to `compose`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade
from skimage.segmentation import felzenszwalb

from toonvid.video import Pixels

Plane = NDArray[np.float32]
"""(H, W) float32."""
Lab = NDArray[np.float32]
"""(H, W, 3) float32, CIE Lab: L in [0, 100], a and b about -127 to 127."""

DRAWING_VERSION = 2
"""Raised whenever the same photo would be drawn otherwise, which makes cached drawings stale."""

REFERENCE_HEIGHT = 288
"""Frame height in pixels at which the lengths below hold."""
LENGTH_EXPONENT = 0.8
"""Lengths grow with the frame height to this power. With 1 a line would keep its share of the
frame; photos of 288 pixels have finer detail than frames of 1080, which an exponent below 1 allows
for."""

# Smoothing
BILATERAL_COLOR = 16.0  # levels of 255
BILATERAL_SPACE = 2.0  # pixels
L0_LAMBDA = 0.01
L0_GAMMA = 0.6
L0_GROWTH = 3.0  # of beta per iteration; 2 in the publication, at 1.6 times the cost
L0_LAST_BETA = 1e4

# Regions
SEGMENT_SCALE = 30.0  # of felzenszwalb(): larger gives larger regions
SEGMENT_AREA = 2.5e-4  # smallest region, share of the picture
MERGE_DISTANCE = 5.0  # Lab; neighbors nearer than this become one region
DARK_GAIN = 0.9  # how much more lightness counts in black than in white
LIGHTNESS_SHARE = 0.8  # of lightness against chroma in that distance: shading may vary more
SHADING_LENGTH = 0.04  # of the frame height: regions smaller than about this get one color
FLATNESS = 0.88  # of the fitted plane against the smoothed photo

# Ink; thresholds are differences of CIE lightness
INK_SIGMA = 0.85  # pixels, of the narrow Gaussian: half the width of a line
INK_RATIO = 1.6  # of the wide Gaussian to the narrow one, nearest to a Laplacian
FLOW_SIGMA = 2.0  # pixels, of the structure tensor
STROKE_SIGMA = 3.2  # pixels, of the mean along a line: joins strokes, breaks up noise
INK_THRESHOLD = 1.0
INK_SOFTNESS = 0.7  # from no ink to full ink
BORDER_CONTRAST = 26.0  # Lab; borders of regions that differ by more get a line in any case
SHORTEST_STROKE = 0.035  # of the frame height
SHORTEST_FACE_STROKE = 0.008
CLUTTER_SLOPE = 2.2  # lightness a pixel that counts as an edge
CLUTTER_SIGMA = 6.0  # pixels
CLUTTER_GAIN = 3.5  # how much the threshold rises in full clutter
DENSITY_LIMIT = 0.27  # share of ink in the surroundings from which the threshold rises
DENSITY_GAIN = 9.0

# Faces
FACE_THRESHOLD = 0.5  # factor on the ink threshold
FACE_SIGMA = 0.75  # factor on the ink sigma
FACE_FLATNESS = 0.6
SKIN_THRESHOLD = 0.7  # factor on the ink threshold, for faces that the detector misses
SKIN_LIFT = 5.0  # CIE lightness
SMALLEST_FACE = 0.08  # of the short side
LARGEST_FACE = 0.8
FEATURE_RADIUS = 3.0  # pixels: dark shapes narrower than twice this, in skin, are features
FEATURE_CONTRAST = 11.0  # CIE lightness below the skin around
LARGE_FACE = 0.25  # of the short side: from here on all detail is drawn
SKIN_IN_FACE = 0.35  # smallest share of skin-colored pixels in a detected face


@dataclass(frozen=True)
class Drawing:
    """The two layers of a drawing."""

    color: Pixels
    """Flat color, (H, W, 3) uint8 RGB."""
    ink: NDArray[np.uint8]
    """Ink, (H, W) uint8: 0 is none, 255 is full."""


def draw(photo: Pixels, frame_height: int | None = None) -> Drawing:
    """Draw a photo.

    Args:
        photo: (H, W, 3) uint8 RGB.
        frame_height: Short side in pixels of the whole picture that `photo` is a part of. None:
            `photo` is whole.

    Returns:
        Flat color and ink, both of the photo's height and width.
    """
    height = frame_height or min(photo.shape[:2])
    unit = (height / REFERENCE_HEIGHT) ** LENGTH_EXPONENT
    denoised = photo
    for _ in range(2):
        denoised = cv2.bilateralFilter(denoised, 0, BILATERAL_COLOR, BILATERAL_SPACE * unit)
    # With lifted shadows, so that a dark shape on a dark ground keeps its outline.
    lifted = (denoised.astype(np.float32) / 255) ** L0_GAMMA
    smooth = to_lab(smooth_l0(lifted, L0_LAMBDA).clip(0, 1) ** (1 / L0_GAMMA))
    detailed = to_lab(denoised.astype(np.float32) / 255)
    skin = find_skin(detailed, unit)
    faces = find_faces(photo, skin)
    labels = find_regions(smooth)
    painted = paint_regions(smooth, labels, SHADING_LENGTH * height)
    flatness = (FLATNESS + (FACE_FLATNESS - FLATNESS) * faces)[..., None]
    color = flatness * painted + (1 - flatness) * smooth
    color[..., 0] += SKIN_LIFT * skin
    # Lines of the smoothed photo are clean, those of the detailed one complete.
    share = (0.5 - 0.4 * faces).astype(np.float32)
    lightness = share * smooth[..., 0] + (1 - share) * detailed[..., 0]
    clutter = find_clutter(lightness, unit) * (1 - faces)
    ink = draw_ink(lightness, faces, skin, clutter, unit)
    borders = draw_borders(painted, labels, unit)
    ink = np.maximum(ink, borders * (1 - faces) * (1 - clutter))
    features = draw_features(detailed[..., 0], skin, faces, unit)
    ink = np.maximum(ink, features)
    in_face = np.maximum(faces, _soft_step(_blur(features, 2 * unit), 0.1))
    ink = keep_long_strokes(ink, SHORTEST_STROKE * height, in_face, SHORTEST_FACE_STROKE * height)
    rgb = cv2.cvtColor(_blur(color.astype(np.float32), 0.5 * unit), cv2.COLOR_Lab2RGB)
    return Drawing(_to_levels(rgb), _to_levels(ink))


def draw_stacked(photo: Pixels, frame_height: int) -> Pixels:
    """Draw a photo, both layers in one picture, for a cache of pictures.

    Args:
        photo: (H, W, 3) uint8 RGB.
        frame_height: Short side in pixels of the whole picture that `photo` is a part of.

    Returns:
        (2 H, W, 3) uint8 RGB: flat color above ink, whose three channels are equal.
    """
    drawing = draw(photo, frame_height)
    return np.vstack([drawing.color, np.repeat(drawing.ink[..., None], 3, axis=2)])


def to_lab(rgb: Plane) -> Lab:
    """Convert (H, W, 3) float32 RGB in [0, 1] to CIE Lab."""
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2Lab)


def smooth_l0(image: Plane, strength: float) -> Plane:
    """Smooth an image by keeping only as many gradients as pay for themselves (L0 norm).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: lambda of the publication; larger leaves fewer gradients.

    Returns:
        Same shape and range, periodic at its borders as in the publication; the image is mirrored
        by a few pixels first, so that opposite borders do not leak into each other.
    """
    margin = 8
    padded = cv2.copyMakeBorder(image, *(4 * [margin]), cv2.BORDER_REFLECT_101)
    height, width = padded.shape[:2]
    rows, columns = fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]
    # |F(dx)|^2 + |F(dy)|^2 of forward differences
    power = 4 - 2 * np.cos(2 * np.pi * rows) - 2 * np.cos(2 * np.pi * columns)
    power = power[..., None].astype(np.float32)
    wanted = fft.rfft2(padded, axes=(0, 1))
    smooth, beta = padded, 2 * strength
    while beta < L0_LAST_BETA:
        across = np.roll(smooth, -1, axis=1) - smooth
        down = np.roll(smooth, -1, axis=0) - smooth
        dropped = (across**2 + down**2).sum(-1) < strength / beta
        across[dropped], down[dropped] = 0, 0
        divergence = np.roll(across, 1, axis=1) - across + np.roll(down, 1, axis=0) - down
        solved = (wanted + beta * fft.rfft2(divergence, axes=(0, 1))) / (1 + beta * power)
        smooth = fft.irfft2(solved, s=(height, width), axes=(0, 1)).astype(np.float32)
        beta *= L0_GROWTH
    return smooth[margin:-margin, margin:-margin]


def find_regions(lab: Lab) -> NDArray[np.int64]:
    """Segment a smoothed photo and merge neighbors of nearly the same color.

    Args:
        lab: (H, W, 3) float32, CIE Lab.

    Returns:
        (H, W) int64, labels from 0 without gaps.
    """
    area = int(SEGMENT_AREA * lab.shape[0] * lab.shape[1]) + 1
    labels = felzenszwalb(
        lab.astype(np.float64) / 100, scale=SEGMENT_SCALE, sigma=0.4, min_size=area, channel_axis=-1
    )
    sizes, means = _region_means(lab, labels)
    means[:, 0] = LIGHTNESS_SHARE * _lift_shadows(means[:, 0])
    merged = _merge_regions(_neighbors(labels), sizes, means)
    return np.unique(merged[labels], return_inverse=True)[1].reshape(labels.shape)


def _lift_shadows(lightness: NDArray) -> NDArray:
    """CIE lightness as a viewer of a dark scene tells it apart: steeper in the dark."""
    return lightness + DARK_GAIN * lightness * (1 - lightness / 200)


def _region_means(lab: Lab, labels: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Pixels and mean color of each region: (R,) and (R, 3) float64."""
    ids, count = labels.ravel(), int(labels.max()) + 1
    sizes = np.bincount(ids, minlength=count).astype(float)
    sums = [np.bincount(ids, lab[..., c].ravel(), count) for c in range(3)]
    return sizes, np.stack(sums, axis=-1) / sizes[:, None]


def _neighbors(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of labels that touch, (P, 2), each once."""
    across = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1)
    down = np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1)
    pairs = np.concatenate([across, down])
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def _merge_regions(pairs: NDArray[np.int64], sizes: NDArray, means: NDArray) -> NDArray[np.int64]:
    """Merge touching regions, nearest colors first; the root label of each region, (R,)."""
    parents, sizes, means = list(range(len(sizes))), sizes.copy(), means.copy()

    def root(label: int) -> int:
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    distances = np.linalg.norm(means[pairs[:, 0]] - means[pairs[:, 1]], axis=1)
    for index in np.argsort(distances, kind="stable"):
        if distances[index] > MERGE_DISTANCE:
            break
        one, other = root(int(pairs[index, 0])), root(int(pairs[index, 1]))
        # The means have moved since: two chains of small steps must not join sky and sea.
        if one == other or np.linalg.norm(means[one] - means[other]) > MERGE_DISTANCE:
            continue
        size = sizes[one] + sizes[other]
        means[one] = (means[one] * sizes[one] + means[other] * sizes[other]) / size
        sizes[one], parents[other] = size, one
    return np.array([root(label) for label in range(len(parents))])


def paint_regions(lab: Lab, labels: NDArray[np.int64], shading_length: float) -> Lab:
    """Paint each region with a plane fitted to its colors.

    Args:
        lab: (H, W, 3) float32, CIE Lab.
        labels: (H, W) int64, labels from 0 without gaps.
        shading_length: In pixels; a region whose extent is well below it gets its mean color.

    Returns:
        Same shape as `lab`. A color is never further from its region's mean than two standard
        deviations of the region, since a plane overshoots in regions of odd shapes.
    """
    ids, count = labels.ravel(), int(labels.max()) + 1
    sizes, means = _region_means(lab, labels)

    def mean(values: NDArray) -> NDArray:
        return np.bincount(ids, values.ravel(), count) / sizes

    y, x = (axis.astype(np.float64) for axis in np.indices(labels.shape))
    x, y = (axis - mean(axis)[labels] for axis in (x, y))
    offsets = lab - means[labels]
    spread = np.stack([mean(x * x), mean(x * y), mean(x * y), mean(y * y)], -1).reshape(-1, 2, 2)
    spread += np.eye(2) * shading_length**2  # a ridge: no slope without room for one
    moments = [[mean(axis * offsets[..., c]) for c in range(3)] for axis in (x, y)]
    slopes = np.linalg.solve(spread, np.moveaxis(np.array(moments), 2, 0))  # (R, 2, 3)
    deviation = np.sqrt([mean(offsets[..., c] ** 2) for c in range(3)]).T  # (R, 3)
    plane = x[..., None] * slopes[labels, 0] + y[..., None] * slopes[labels, 1]
    limit = 2 * deviation[labels]
    return (means[labels] + np.clip(plane, -limit, limit)).astype(np.float32)


def draw_ink(lightness: Plane, faces: Plane, skin: Plane, clutter: Plane, unit: float) -> Plane:
    """Draw the dark side of each edge as a line.

    Args:
        lightness: (H, W) float32, CIE lightness in [0, 100].
        faces: (H, W) float32 in [0, 1], 1 in faces.
        skin: (H, W) float32 in [0, 1], 1 where the color is that of skin.
        clutter: (H, W) float32 in [0, 1], see `find_clutter`.
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    # In the dark, a smaller difference makes an edge that a viewer sees.
    around = _blur(lightness, 10 * unit)
    seen = lightness * (1 + DARK_GAIN * (1 - around / 100).clip(0, 1) ** 2)
    response = _line_response(seen, INK_SIGMA * unit, unit)
    if faces.max() > 0:
        fine = _line_response(seen, FACE_SIGMA * INK_SIGMA * unit, unit)
        response = response + faces * (fine - response)
    calm = np.minimum(1 - (1 - FACE_THRESHOLD) * faces, 1 - (1 - SKIN_THRESHOLD) * skin)
    threshold = INK_THRESHOLD * calm * (1 + CLUTTER_GAIN * clutter)
    ink = _soft_step(response - threshold, INK_SOFTNESS * calm)
    for _ in range(2):
        density = _blur(ink, 5 * unit)
        excess = (density - DENSITY_LIMIT).clip(0) * (1 - 0.7 * faces)
        threshold = threshold * (1 + DENSITY_GAIN * excess)
        ink = _soft_step(response - threshold, INK_SOFTNESS * calm)
    return ink


def draw_borders(painted: Lab, labels: NDArray[np.int64], unit: float) -> Plane:
    """Draw lines between regions that differ strongly in color.

    The difference of Gaussians sees lightness alone; red on green of the same lightness needs this.

    Args:
        painted: (H, W, 3) float32, CIE Lab, the painted regions.
        labels: (H, W) int64.
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    border = np.zeros(labels.shape, np.float32)
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None),), (slice(-1),)),
    ):
        contrast = np.linalg.norm(painted[one] - painted[other], axis=-1)
        drawn = (labels[one] != labels[other]) & (contrast > BORDER_CONTRAST)
        border[one] = np.maximum(border[one], drawn)
    # A blur rounds the pixel steps of the border, and its gain sets the width of the line.
    return (_blur(border, 0.75 * unit) * 2.6 * unit - 0.35).clip(0, 1)


def draw_features(lightness: Plane, skin: Plane, faces: Plane, unit: float) -> Plane:
    """Draw small dark shapes in the middle of skin: eyes, brows, nostrils, the line of a mouth.

    A closing fills what is darker than its surroundings and narrower than its kernel.

    Args:
        lightness: (H, W) float32, CIE lightness in [0, 100].
        skin: (H, W) float32 in [0, 1].
        faces: (H, W) float32 in [0, 1].
        unit: Factor on every length.

    Returns:
        (H, W) float32 in [0, 1].
    """
    side = 2 * round(FEATURE_RADIUS * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    depth = _blur(cv2.morphologyEx(lightness, cv2.MORPH_CLOSE, kernel) - lightness, 0.4 * unit)
    # A closing of the skin bridges the very features, where its color is missing.
    around = _blur(cv2.morphologyEx(skin, cv2.MORPH_CLOSE, kernel), 3 * unit)
    inside = np.maximum(_soft_step(around - 0.55, 0.25), _soft_step(faces - 0.3, 0.4))
    # Texture of skin color, such as brick, has such shapes everywhere; a face has a few.
    shapes = _soft_step(depth - FEATURE_CONTRAST, 5) * inside
    crowd = _blur(shapes, 8 * unit)
    return shapes * (1 - _soft_step(crowd - 0.16, 0.12) * (1 - faces))


def keep_long_strokes(ink: Plane, shortest: float, faces: Plane, shortest_in_face: float) -> Plane:
    """Drop strokes whose bounding box is shorter than a length, in pixels.

    Args:
        ink: (H, W) float32 in [0, 1].
        shortest: Smallest longer side of the bounding box.
        faces: (H, W) float32 in [0, 1], 1 in faces.
        shortest_in_face: The same for strokes that lie in a face.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (ink > 0.3).astype(np.uint8), connectivity=8
    )
    length = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    in_face = np.bincount(labels.ravel(), faces.ravel(), count) / stats[:, cv2.CC_STAT_AREA]
    kept = length >= np.where(in_face > 0.2, shortest_in_face, shortest)
    kept[0] = False  # the background
    around = cv2.dilate(kept[labels].astype(np.float32), np.ones((3, 3), np.uint8))
    return ink * around


def find_skin(lab: Lab, unit: float) -> Plane:
    """Where a photo has the color of skin: (H, W) float32 in [0, 1].

    The ranges of hue and chroma hold for light and dark skin alike; wood, sand and brick lie in
    them as well, so nothing but a small change of lightness may depend on this alone.
    """
    lightness, a, b = (lab[..., c] for c in range(3))
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    inside = _soft_step(chroma - 9, 6) * (1 - _soft_step(chroma - 42, 10))
    inside *= _soft_step(hue - 18, 12) * (1 - _soft_step(hue - 68, 12))
    inside *= _soft_step(lightness - 18, 10) * (1 - _soft_step(lightness - 90, 6))
    return _blur(inside.astype(np.float32), 1.5 * unit)


def find_faces(photo: Pixels, skin: Plane) -> Plane:
    """Where faces are: (H, W) float32 in [0, 1], soft ellipses, lower in small faces.

    Args:
        photo: (H, W, 3) uint8 RGB.
        skin: (H, W) float32 in [0, 1]; a face without skin color is taken for an error of the
            detector.
    """
    height, width = photo.shape[:2]
    side = min(height, width)
    scale = min(1.0, 320 / side)  # a larger picture costs more and finds nothing else
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smallest, largest = (int(share * side * scale) for share in (SMALLEST_FACE, LARGEST_FACE))
    found = _face_detector().detect_multi_scale(
        img=small,
        scale_factor=1.15,
        step_ratio=1,
        min_neighbor_number=3,
        min_size=(max(smallest, 24),) * 2,
        max_size=(largest, largest),
    )
    faces = np.zeros((height, width), np.float32)
    for box in found:
        top, left, tall, wide = (int(box[name] / scale) for name in ("r", "c", "height", "width"))
        if skin[top : top + tall, left : left + wide].mean() < SKIN_IN_FACE:
            continue
        center = (int(left + wide / 2), int(top + tall * 0.52))
        # A small face has room for few lines: with a low threshold they become a beard.
        weight = float(np.clip(wide / (LARGE_FACE * side), 0.5, 1))
        cv2.ellipse(faces, center, (int(0.52 * wide), int(0.66 * tall)), 0, 0, 360, weight, -1)
    return _blur(faces, 0.02 * side) if faces.any() else faces


@functools.cache
def _face_detector() -> Cascade:
    """The cascade of local binary patterns that scikit-image brings along."""
    return Cascade(lbp_frontal_face_cascade_filename())


def _line_response(lightness: Plane, sigma: float, unit: float) -> Plane:
    """How dark a pixel is against both sides of its edge, averaged along the edge."""
    normal_x, normal_y = _edge_normals(lightness, FLOW_SIGMA * unit)
    difference = _difference_across(lightness, normal_x, normal_y, sigma)
    return -_mean_along(difference, normal_x, normal_y, STROKE_SIGMA * unit)


def _edge_normals(lightness: Plane, sigma: float) -> tuple[Plane, Plane]:
    """x and y of the unit vector across the edge, from the smoothed structure tensor."""
    xx, xy, yy = _structure_tensor(lightness, sigma)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    return np.cos(angle), np.sin(angle)


def _structure_tensor(lightness: Plane, sigma: float) -> tuple[Plane, Plane, Plane]:
    """xx, xy and yy of the smoothed outer product of the gradient."""
    across = cv2.Scharr(lightness, cv2.CV_32F, 1, 0) / 32
    down = cv2.Scharr(lightness, cv2.CV_32F, 0, 1) / 32
    xx, xy, yy = (_blur(product, sigma) for product in (across**2, across * down, down**2))
    return xx, xy, yy


def find_clutter(lightness: Plane, unit: float) -> Plane:
    """Where edges are dense and have no common direction: (H, W) float32 in [0, 1]."""
    xx, xy, yy = _structure_tensor(lightness, CLUTTER_SIGMA * unit)
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy + 0.1)
    slope = np.hypot(
        cv2.Scharr(lightness, cv2.CV_32F, 1, 0), cv2.Scharr(lightness, cv2.CV_32F, 0, 1)
    ) / 32 * unit  # fmt: skip
    density = _blur((slope > CLUTTER_SLOPE).astype(np.float32), CLUTTER_SIGMA * unit)
    crossing = 1 - _soft_step(coherence - 0.2, 0.4)
    return crossing * _soft_step(density - 0.3, 0.35)


def _difference_across(plane: Plane, normal_x: Plane, normal_y: Plane, sigma: float) -> Plane:
    """Narrow minus wide Gaussian mean across the edge; negative on its dark side."""
    x, y = _positions(plane)
    reach = int(np.ceil(2 * sigma * INK_RATIO))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    narrow = np.exp(-(offsets**2) / (2 * sigma**2))
    wide = np.exp(-(offsets**2) / (2 * (sigma * INK_RATIO) ** 2))
    difference = np.zeros_like(plane)
    for offset, weight in zip(offsets, narrow / narrow.sum() - wide / wide.sum(), strict=True):
        difference += weight * _sample(plane, x + offset * normal_x, y + offset * normal_y)
    return difference


def _mean_along(plane: Plane, normal_x: Plane, normal_y: Plane, sigma: float) -> Plane:
    """Gaussian mean along the flow of the edges, followed step by step in both directions."""
    steps = np.arange(1, int(np.ceil(2 * sigma)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2)).astype(np.float32)
    total = plane.copy()
    for direction in (1, -1):
        x, y = _positions(plane)
        step_x, step_y = -normal_y * direction, normal_x * direction
        for weight in weights:
            x, y = x + step_x, y + step_y
            total += weight * _sample(plane, x, y)
            next_x, next_y = -_sample(normal_y, x, y), _sample(normal_x, x, y)
            # A normal has no sign: go on in the direction of the step before.
            ahead = np.where(next_x * step_x + next_y * step_y < 0, -1, 1)
            scale = (ahead / (np.hypot(next_x, next_y) + 1e-6)).astype(np.float32)
            step_x, step_y = next_x * scale, next_y * scale
    return total / (1 + 2 * weights.sum())


def _positions(plane: Plane) -> tuple[Plane, Plane]:
    """x and y of each pixel, both of the shape of `plane`."""
    y, x = np.indices(plane.shape, dtype=np.float32)
    return x, y


def _sample(plane: Plane, x: Plane, y: Plane) -> Plane:
    """Read `plane` between pixels; mirrored at its border."""
    return cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur, mirrored at the border."""
    return cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _soft_step(value: Plane, width: float | Plane) -> Plane:
    """0 up to 0, 1 from `width` on, smooth between."""
    share = np.clip(value / width, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def _to_levels(values: Plane) -> NDArray[np.uint8]:
    """[0, 1] float32 to uint8."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)

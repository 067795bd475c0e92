"""Flat color of a drawing: regions of a photo, each painted with one smooth color.

In: a photo in CIE Lab. Out: labels of regions, and the painted regions.

L0 smoothing (Xu et al., "Image Smoothing via L0 Gradient Minimization", 2011), graph segmentation
(Felzenszwalb and Huttenlocher, 2004) and greedy merging of neighbors give the regions. Each is
painted with a plane fitted to its colors rather than with their mean, so that a sky keeps its
gradient and has no band borders.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from skimage.segmentation import felzenszwalb

from trainer.data.planes import Lab, Plane

L0_GROWTH = 3.0  # of beta per iteration; 2 in the publication, at 1.6 times the cost
L0_LAST_BETA = 1e4
SEGMENT_SCALE = 60.0  # of felzenszwalb(): larger gives larger regions
SEGMENT_AREA = 2.5e-4  # smallest region, share of the picture
MERGE_DISTANCE = 8.0  # Lab; neighbors nearer than this become one region
DARK_GAIN = 0.9  # how much more lightness counts in black than in white
LIGHTNESS_SHARE = 0.8  # of lightness against chroma in that distance: shading may vary more


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

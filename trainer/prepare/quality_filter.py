"""Quality filter: black bars, frames that are useless for training, and duplicates.

In: one frame or crop. Out: the box without black bars, the reason to reject it, or its perceptual
hash. Nothing here is learned. Credits are recognized by thin bright strokes on a flat background,
not by reading them: a title over a drawn background passes, and so does a cross-fade.

The perceptual hash is the DCT hash that image-matching tools call pHash, in a few lines of OpenCV,
which the trainer needs anyway. The libraries for it are heavy or cannot be installed everywhere:
imagehash pulls SciPy and PyWavelets (40 MB), pdqhash has no wheels for every Python and platform
and then asks for a compiler, and `cv2.img_hash` is only in the contrib build of OpenCV.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toonvid.video import Pixels

Fault = Literal["small", "blank", "credits", "blurred", "duplicate"]
"""Reason for rejecting a frame."""

HASH_BYTES = 8
HASH_BITS = 8 * HASH_BYTES

_WORKING_SIDE = 480  # short side to which frames are reduced before they are examined
_BLACK = 16  # luma, 0..255, up to which a pixel is black, with some noise of the encoder
_BAR_SHARE = 0.99  # share of black pixels in a row of a bar; the rest may be noise
_MIN_BAR = 0.015  # of the height or width; thinner dark edges belong to the frame
_SUBTITLES_SHARE = 0.5  # share of black pixels in a row of a bar with burnt-in subtitles
_BAR_EDGE = 0.004  # of the height; cut beyond a bar, whose edge is soft
_MIN_CONTENT = 0.2  # of the height or width; a frame with less is dark and has no bars
_NEAR = 10  # levels around the most common one that count as the same background
_FAR = 24  # levels from which a pixel stands out from the background
_BLANK_SHARE = 0.98  # share of background in a blank frame
# Share of background in credits. Night scenes have up to 0.78 of it, but then wide objects on it.
_CREDITS_SHARE, _CREDITS_DARK_SHARE = 0.88, 0.7
_DARK = 48  # luma of a dark background
_STROKE = 1 / 16  # of the short side; strokes of letters are thinner
_WIDE_SHARE = 0.15  # share of the pixels standing out that may be wider than a stroke
_ONE_TONE = 0.55  # letters have one color: median contrast over the 90th percentile
_MIN_SLOPE = 5.0  # levels per pixel, 99th percentile; a frame with less is blank
_REBLUR = 9  # pixels, as in the paper on the blur effect


def content_box(pixels: Pixels) -> tuple[slice, slice]:
    """Return the rows and columns of a frame without the black bars around it.

    Args:
        pixels: (H, W, 3) uint8, RGB.

    Returns:
        Two slices: rows and columns. The whole frame if almost nothing would be left.
    """
    black = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) <= _BLACK
    rows = _content(black.mean(axis=1))
    columns = _content(black[rows].mean(axis=0))
    return rows, columns


def find_fault(pixels: Pixels, max_blur: float, keep_credits: bool) -> Fault | None:
    """Return whether a frame or crop is blank, credits or blurred; None if it is none of these.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        max_blur: Largest accepted `blur_effect`, 0..1; 1 skips the check.
        keep_credits: Whether to accept credits.
    """
    gray = _reduced_gray(pixels)
    level, share = _background(gray)
    if _is_blank(gray, share):
        return "blank"
    if not keep_credits and _is_credits(gray, level, share):
        return "credits"
    return "blurred" if max_blur < 1 and blur_effect(gray) > max_blur else None


def blur_effect(gray: NDArray[np.uint8]) -> float:
    """Return how blurred an image is, 0..1: how little it changes when it is blurred again.

    Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", 2007. Sharp images give 0.15 to 0.45, whatever they show; blurred by a Gaussian
    of 2 pixels they give 0.5 to 0.75. The worse of the two directions counts.

    Args:
        gray: (H, W) uint8.
    """
    values = gray.astype(np.float32)
    return max(_blur_along(values, axis) for axis in (0, 1))


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint8]:
    """Return a hash of 64 bits, (8,) uint8, in which similar images differ by few bits.

    The bits compare the 8 x 8 lowest DCT frequencies of a 32 x 32 thumbnail with their median.
    """
    thumbnail = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
    frequencies = cv2.dct(gray)[:8, :8].ravel()
    return np.packbits(frequencies > np.median(frequencies[1:]))  # the first is the mean level


class HashIndex:
    """The hashes of all kept frames, 8 bytes each: a million frames take 8 MB."""

    def __init__(self, hashes: NDArray[np.uint8]) -> None:
        """Create an index of known hashes, (N, 8) uint8."""
        self._count = len(hashes)
        self._hashes = np.zeros((max(1024, 2 * self._count), HASH_BYTES), np.uint8)
        self._hashes[: self._count] = hashes

    def add(self, found: NDArray[np.uint8]) -> None:
        """Add a hash, (8,) uint8."""
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self._count] = found
        self._count += 1

    def difference(self, found: NDArray[np.uint8]) -> int:
        """Return the smallest Hamming distance to any hash; `HASH_BITS` when there is none.

        All hashes are compared, which takes 5 ms for 300,000 of them.
        """
        if not self._count:
            return HASH_BITS
        known = self._hashes[: self._count]
        nearest, _ = cv2.batchDistance(
            found[None], known, dtype=cv2.CV_32S, normType=cv2.NORM_HAMMING, K=1
        )
        return int(nearest[0, 0])


def _content(black_shares: NDArray[np.float64]) -> slice:
    """Return the rows or columns between the bars. Bars come in pairs: one alone is content.

    Args:
        black_shares: Share of black pixels in each row or column, 0..1.
    """
    length = len(black_shares)
    lit = np.flatnonzero(black_shares < _BAR_SHARE)
    bars = (int(lit[0]), length - 1 - int(lit[-1])) if len(lit) else (0, 0)
    if min(bars) < _MIN_BAR * length or length - sum(bars) < _MIN_CONTENT * length:
        return slice(0, length)
    # Both bars get the width of the wider one, unless the image continues where it would be cut.
    edge, widest = max(1, round(_BAR_EDGE * length)), max(bars)
    first, last = (
        edge + (widest if shares[bar : widest + 1].mean() >= _SUBTITLES_SHARE else bar)
        for bar, shares in zip(bars, (black_shares, black_shares[::-1]), strict=True)
    )
    return slice(first, length - last)


def _reduced_gray(pixels: Pixels) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    scale = _WORKING_SIDE / min(height, width)
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _background(gray: NDArray[np.uint8]) -> tuple[int, float]:
    """Return the most common level, 0..255, and the share of pixels near it."""
    counts = np.bincount(gray.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * _NEAR + 1, np.int64), "same")
    level = int(near.argmax())
    return level, float(near[level] / gray.size)


def _is_blank(gray: NDArray[np.uint8], share: float) -> bool:
    """Whether a frame is all background or has no edges: sky, asphalt, anything out of focus."""
    if share >= _BLANK_SHARE:
        return True
    smooth = cv2.GaussianBlur(gray, (0, 0), 1).astype(np.float32)  # without film grain
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, dx, dy) / 8 for dx, dy in ((1, 0), (0, 1))]
    return float(np.percentile(np.hypot(*slopes), 99)) < _MIN_SLOPE


def _is_credits(gray: NDArray[np.uint8], level: int, share: float) -> bool:
    """Whether thin strokes of one color stand on a flat background."""
    if share < (_CREDITS_DARK_SHARE if level < _DARK else _CREDITS_SHARE):
        return False
    contrast = np.abs(gray.astype(np.int16) - level)
    strokes = (contrast > _FAR).astype(np.uint8)
    if not strokes.any():
        return False
    middle, bright = np.percentile(contrast[contrast > _FAR], (50, 90))
    width = max(3, round(min(gray.shape) * _STROKE))
    wide = cv2.morphologyEx(strokes, cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    return middle > _ONE_TONE * bright and wide.sum() < _WIDE_SHARE * strokes.sum()


def _blur_along(values: NDArray[np.float32], axis: int) -> float:
    blurred = cv2.blur(values, (1, _REBLUR) if axis == 0 else (_REBLUR, 1))
    changes = np.abs(np.diff(values, axis=axis))
    lost = np.maximum(changes - np.abs(np.diff(blurred, axis=axis)), 0)
    return 1 - float(lost.sum() / max(changes.sum(), 1))

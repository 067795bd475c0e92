"""Judge pictures: where bars end, which pictures teach nothing, and how alike two of them are.

Each judgement looks at one picture; none is learned. Credits are told by their thin bright strokes
on a flat ground, not by reading: a title over a drawn background passes, and so does a cross-fade.

The perceptual hash is the DCT hash that image-matching tools call pHash, in a few lines of OpenCV,
which the trainer has anyway. The libraries for it are heavy or cannot be installed everywhere:
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
"""Why a frame is left out."""

HASH_BYTES = 8
HASH_BITS = 8 * HASH_BYTES

_LINES = 480  # short side at which pictures are looked at; smaller ones are as they are
_BLACK = 16  # luma, 0..255, up to which a bar's pixels are black, noise of the encoder included
_BAR_SHARE = 0.99  # of the pixels of a row that are black in a bar; the rest may be noise
_LEAST_BAR = 0.015  # of the height or width; pictures have thinner dark edges of their own
_SUBTITLES_SHARE = 0.5  # of a bar that is black still, where subtitles are burnt into it
_BAR_EDGE = 0.004  # of the height: what is cut beyond a bar, where its edge is soft
_LEAST_CONTENT = 0.2  # of the height or width; a picture with less has no bars, it is dark
_NEAR = 10  # levels around the most common one that count as the same flat ground
_FAR = 24  # levels from which something stands out from the ground
_BLANK_SHARE = 0.98  # of the pixels that are ground in a blank picture
# Ground in credits. Pictures at night have up to 0.78 of it, but then what stands out is wide.
_CREDITS_SHARE, _CREDITS_DARK_SHARE = 0.88, 0.7
_DARK = 48  # luma of a dark ground
_STROKE = 1 / 16  # of the short side: letters' strokes are thinner
_WIDE_SHARE = 0.15  # of what stands out that may be wider than a stroke
_ONE_TONE = 0.55  # letters have one colour: what stands out does so half as much as its brightest
_LEAST_EDGE = 5.0  # levels a pixel, of the steepest hundredth of a picture that is not blank
_REBLUR = 9  # pixels; the length that the blur effect's authors took


def content_box(pixels: Pixels) -> tuple[slice, slice]:
    """Rows and columns of a picture without the black bars around it.

    Args:
        pixels: (H, W, 3) uint8, RGB.

    Returns:
        Two slices. The whole picture if next to nothing would be left.
    """
    black = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) <= _BLACK
    rows = _content(black.mean(axis=1))
    columns = _content(black[rows].mean(axis=0))
    return rows, columns


def find_fault(pixels: Pixels, max_blur: float, keep_credits: bool) -> Fault | None:
    """Whether a frame or crop is blank, credits or blurred; None if it is none of these.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        max_blur: What `blur_effect` may give, 0..1; 1 does not ask.
        keep_credits: Whether credits are as good as any picture.
    """
    grey = _shrunk_grey(pixels)
    level, share = _ground(grey)
    if _is_blank(grey, share):
        return "blank"
    if not keep_credits and _is_credits(grey, level, share):
        return "credits"
    return "blurred" if max_blur < 1 and blur_effect(grey) > max_blur else None


def blur_effect(grey: NDArray[np.uint8]) -> float:
    """How blurred a picture is, 0..1: how little it changes when it is blurred once more.

    Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", 2007. Sharp pictures give 0.15 to 0.45, whatever they show; blurred by a Gaussian
    of 2 pixels they give 0.5 to 0.75. The worse of the two directions counts.

    Args:
        grey: (H, W) uint8.
    """
    values = grey.astype(np.float32)
    return max(_blur_along(values, axis) for axis in (0, 1))


def perceptual_hash(pixels: Pixels) -> NDArray[np.uint8]:
    """64 bits, (8,) uint8, of which few differ between pictures that look alike.

    The signs of the 8 x 8 lowest frequencies of a 32 x 32 thumbnail, against their median.
    """
    thumbnail = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
    waves = cv2.dct(grey)[:8, :8].ravel()
    return np.packbits(waves > np.median(waves[1:]))  # the first is the brightness alone


class HashIndex:
    """The hashes of all frames kept so far: 8 bytes each, a million frames in 8 MB."""

    def __init__(self, hashes: NDArray[np.uint8]) -> None:
        """Start from what is known, (N, 8) uint8."""
        self._count = len(hashes)
        self._hashes = np.zeros((max(1024, 2 * self._count), HASH_BYTES), np.uint8)
        self._hashes[: self._count] = hashes

    def add(self, found: NDArray[np.uint8]) -> None:
        """Remember a hash, (8,) uint8."""
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self._count] = found
        self._count += 1

    def difference(self, found: NDArray[np.uint8]) -> int:
        """Bits in which the nearest of all hashes differs; `HASH_BITS` when there is none.

        Every hash is looked at, which takes 5 ms for 300,000 of them.
        """
        if not self._count:
            return HASH_BITS
        known = self._hashes[: self._count]
        nearest, _ = cv2.batchDistance(
            found[None], known, dtype=cv2.CV_32S, normType=cv2.NORM_HAMMING, K=1
        )
        return int(nearest[0, 0])


def _content(black_shares: NDArray[np.float64]) -> slice:
    """From the first to the last line that is no bar; bars come in pairs.

    Args:
        black_shares: Of the pixels of each line, 0..1.
    """
    length = len(black_shares)
    lit = np.flatnonzero(black_shares < _BAR_SHARE)
    bars = (int(lit[0]), length - 1 - int(lit[-1])) if len(lit) else (0, 0)
    if min(bars) < _LEAST_BAR * length or length - sum(bars) < _LEAST_CONTENT * length:
        return slice(0, length)
    # Both are as wide as the wider one, unless the picture itself goes on there.
    edge, widest = max(1, round(_BAR_EDGE * length)), max(bars)
    first, last = (
        edge + (widest if shares[bar : widest + 1].mean() >= _SUBTITLES_SHARE else bar)
        for bar, shares in zip(bars, (black_shares, black_shares[::-1]), strict=True)
    )
    return slice(first, length - last)


def _shrunk_grey(pixels: Pixels) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    scale = _LINES / min(height, width)
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _ground(grey: NDArray[np.uint8]) -> tuple[int, float]:
    """The most common level, and the share of pixels near it."""
    counts = np.bincount(grey.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * _NEAR + 1, np.int64), "same")
    level = int(near.argmax())
    return level, float(near[level] / grey.size)


def _is_blank(grey: NDArray[np.uint8], share: float) -> bool:
    """Whether a picture is one ground, or has no edge: sky, asphalt, what lies out of focus."""
    if share >= _BLANK_SHARE:
        return True
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32)  # without the grain
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *way) / 8 for way in ((1, 0), (0, 1))]
    return float(np.percentile(np.hypot(*slopes), 99)) < _LEAST_EDGE


def _is_credits(grey: NDArray[np.uint8], level: int, share: float) -> bool:
    """Whether thin strokes of one colour stand on a flat ground."""
    if share < (_CREDITS_DARK_SHARE if level < _DARK else _CREDITS_SHARE):
        return False
    contrast = np.abs(grey.astype(np.int16) - level)
    strokes = (contrast > _FAR).astype(np.uint8)
    if not strokes.any():
        return False
    middle, bright = np.percentile(contrast[contrast > _FAR], (50, 90))
    width = max(3, round(min(grey.shape) * _STROKE))
    wide = cv2.morphologyEx(strokes, cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    return middle > _ONE_TONE * bright and wide.sum() < _WIDE_SHARE * strokes.sum()


def _blur_along(values: NDArray[np.float32], axis: int) -> float:
    blurred = cv2.blur(values, (1, _REBLUR) if axis == 0 else (_REBLUR, 1))
    changes = np.abs(np.diff(values, axis=axis))
    lost = np.maximum(changes - np.abs(np.diff(blurred, axis=axis)), 0)
    return 1 - float(lost.sum() / max(changes.sum(), 1))

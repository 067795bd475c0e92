"""Distances between two sets of images, by the features of a network: FID and KID.

Features go in, one vector for each crop; distances come out. Which network and which images is left
out (`trainer.evaluation.feature_network`, `trainer.evaluation.crops`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = 10
"""Number of parts that the images are divided into for the jackknife, which leaves out one part
after the other."""

_MIN_PARTS = 3  # with two, leaving one out would leave no pair of images to compare


@dataclass(frozen=True)
class PooledFeatures:
    """Features of a set of crops."""

    values: NDArray[np.float32]
    """Features averaged over height and width, shape (N, D)."""
    images: NDArray[np.int64]
    """Number of the image that each crop was cut from, shape (N,). A cartoon has the number of its
    photo, in another set too."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.images.shape != self.values.shape[:1]:
            raise ValueError(f"{self.values.shape = }, {self.images.shape = }")


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance (KID) and its standard error."""

    value: float
    """Squared maximum mean discrepancy; near 0, also below it, when the sets are alike."""
    spread: float | None
    """Standard error of `value`; None with too few images to tell."""


def frechet_distance(one: PooledFeatures, other: PooledFeatures) -> float:
    """Frechet distance between the Gaussians with the mean and covariance of two sets (FID).

    Heusel et al., 2017, equation 6: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), in float64. The
    estimate is biased: it grows when crops are few (Binkowski et al., 2018, section 4), so that
    only figures over the same number of crops can be compared.
    """
    mean_one, covariance_one = _moments(one.values)
    mean_other, covariance_other = _moments(other.values)
    # C1 C2 is not symmetric, but has the eigenvalues of C1^(1/2) C2 C1^(1/2), which is. So no
    # matrix root can turn complex, and eigenvalues that rounding makes negative are set to 0.
    root = _symmetric_root(covariance_one)
    eigenvalues = np.linalg.eigvalsh(root @ covariance_other @ root)
    trace_of_root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    squared_means = ((mean_one - mean_other) ** 2).sum()
    traces = np.trace(covariance_one) + np.trace(covariance_other)
    return float(max(squared_means + traces - 2 * trace_of_root, 0.0))


def kernel_distance(one: PooledFeatures, other: PooledFeatures) -> KernelDistance:
    """Kernel distance (KID): unbiased MMD^2 with the kernel (x.y / D + 1)^3.

    Binkowski et al., 2018, sections 3 and 4; the estimator is equation 3 of Gretton et al., 2012.
    Two departures. Crops of one image are not independent, so they are never paired, and neither is
    a cartoon with its own photo: with such pairs the estimate would be biased. And the value is
    taken over all crops instead of random subsets, and its standard error by a jackknife (Efron,
    1982) that leaves out a tenth of the images at a time.
    """
    count = min(PARTS, len(np.unique(one.images)), len(np.unique(other.images)))
    within_one = _kernel_sums(one, one, count)
    within_other = _kernel_sums(other, other, count)
    between = _kernel_sums(one, other, count)

    def estimate(parts: NDArray[np.bool_]) -> float:
        return (
            _mean_kernel(within_one, parts)
            + _mean_kernel(within_other, parts)
            - 2 * _mean_kernel(between, parts)
        )

    value = estimate(np.ones(count, bool))
    if count < _MIN_PARTS:
        return KernelDistance(value, None)
    without_one = np.array([estimate(np.arange(count) != part) for part in range(count)])
    variance = (count - 1) / count * ((without_one - without_one.mean()) ** 2).sum()
    return KernelDistance(value, float(np.sqrt(variance)))


def _moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and unbiased covariance (D, D)."""
    exact = values.astype(np.float64)
    mean = exact.mean(axis=0)
    centered = exact - mean
    return mean, centered.T @ centered / (len(exact) - 1)


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance matrix, (D, D)."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(eigenvalues, 0, None))) @ vectors.T


@dataclass(frozen=True)
class _KernelSums:
    """Sums over pairs of crops, by the parts of both, shape (parts, parts) each."""

    totals: NDArray[np.float64]
    """Sum of the kernel."""
    pairs: NDArray[np.float64]
    """Number of pairs."""


def _kernel_sums(one: PooledFeatures, other: PooledFeatures, parts: int) -> _KernelSums:
    """Sums the kernel over all pairs of crops of different images.

    Sums by parts, because the jackknife then needs no kernel to be computed twice.
    """
    part_of_one, part_of_other = (
        _assign_parts(one.images, parts),
        _assign_parts(other.images, parts),
    )
    columns = other.values.astype(np.float64)
    totals, pairs = np.zeros((parts, parts)), np.zeros((parts, parts))
    for part in range(parts):  # a part at a time: the whole kernel of 4,000 crops takes 128 MB
        rows = part_of_one == part
        kernel = (one.values[rows].astype(np.float64) @ columns.T / columns.shape[1] + 1) ** 3
        is_pair = one.images[rows, None] != other.images
        totals[part] = np.bincount(part_of_other, (kernel * is_pair).sum(axis=0), parts)
        pairs[part] = np.bincount(part_of_other, is_pair.sum(axis=0), parts)
    return _KernelSums(totals, pairs)


def _assign_parts(images: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """The part of each crop, shape (N,): images go to parts in turn, by their numbers."""
    return np.unique(images, return_inverse=True)[1] % parts


def _mean_kernel(sums: _KernelSums, parts: NDArray[np.bool_]) -> float:
    """Mean of the kernel over the pairs whose crops are both in these parts."""
    chosen = np.ix_(parts, parts)
    return float(sums.totals[chosen].sum() / sums.pairs[chosen].sum())

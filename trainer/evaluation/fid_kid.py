"""How far two sets of pictures lie apart, seen through a network: Frechet and kernel distance.

Leaves out which network that is, and which pictures: `trainer.evaluation.evaluate` knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = 10
"""Parts that the pictures are dealt into; the spread comes from leaving out one after the other."""

_FEWEST_PARTS = 3  # with two, leaving one out would leave no two pictures to compare


@dataclass(frozen=True)
class PooledFeatures:
    """What a network sees in a set of crops."""

    values: NDArray[np.float32]
    """Features averaged over height and width, shape (N, D)."""
    pictures: NDArray[np.int64]
    """Number of the picture that each crop is from, shape (N,). A cartoon has its photo's number,
    also in another set."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.pictures.shape != self.values.shape[:1]:
            raise ValueError(f"{self.values.shape = }, {self.pictures.shape = }")


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance, and how far to trust it."""

    value: float
    """Squared maximum mean discrepancy; about 0, also below, when the sets are alike."""
    spread: float | None
    """Standard error of `value`; None with too few pictures to tell."""


def frechet_distance(one: PooledFeatures, other: PooledFeatures) -> float:
    """Frechet distance between the Gaussians that fit two sets (Heusel et al., 2017, section 2).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), in float64. It grows when crops are few
    (Binkowski et al., 2018, section 4), so only figures over equally many crops compare.
    """
    mean_one, covariance_one = _moments(one.values)
    mean_other, covariance_other = _moments(other.values)
    # C1 C2 is not symmetric, but has the eigenvalues of C1^(1/2) C2 C1^(1/2), which is: no square
    # root of a matrix that may turn complex, and what rounding pushes below 0 is cut off.
    root = _symmetric_root(covariance_one)
    eigenvalues = np.linalg.eigvalsh(root @ covariance_other @ root)
    crossed = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    apart = ((mean_one - mean_other) ** 2).sum()
    spread = np.trace(covariance_one) + np.trace(covariance_other)
    return float(max(apart + spread - 2 * crossed, 0.0))


def kernel_distance(one: PooledFeatures, other: PooledFeatures) -> KernelDistance:
    """Kernel distance (KID): unbiased MMD^2 with the kernel (x.y / D + 1)^3.

    Binkowski et al., 2018, sections 3 and 4; the estimator is equation 3 of Gretton et al., 2012.
    Two departures. Crops of one picture are no independent draws, so they are never paired, nor is
    a cartoon with its own photo; without this the estimate would not be unbiased. And the value is
    taken over all crops instead of random subsets, its spread by a jackknife (Efron, 1982) that
    leaves out a tenth of the pictures at a time.
    """
    count = min(PARTS, len(np.unique(one.pictures)), len(np.unique(other.pictures)))
    within_one = _kernel_sums(one, one, count)
    within_other = _kernel_sums(other, other, count)
    across = _kernel_sums(one, other, count)

    def estimate(parts: NDArray[np.bool_]) -> float:
        return (
            _mean_kernel(within_one, parts)
            + _mean_kernel(within_other, parts)
            - 2 * _mean_kernel(across, parts)
        )

    value = estimate(np.ones(count, bool))
    if count < _FEWEST_PARTS:
        return KernelDistance(value, None)
    without_one = np.array([estimate(np.arange(count) != part) for part in range(count)])
    variance = (count - 1) / count * ((without_one - without_one.mean()) ** 2).sum()
    return KernelDistance(value, float(np.sqrt(variance)))


def _moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and unbiased covariance (D, D)."""
    exact = values.astype(np.float64)
    mean = exact.mean(axis=0)
    centred = exact - mean
    return mean, centred.T @ centred / (len(exact) - 1)


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(eigenvalues, 0, None))) @ vectors.T


@dataclass(frozen=True)
class _KernelSums:
    """The kernel summed over pairs of crops, part by part, shape (parts, parts) each."""

    totals: NDArray[np.float64]
    pairs: NDArray[np.float64]


def _kernel_sums(one: PooledFeatures, other: PooledFeatures, parts: int) -> _KernelSums:
    """Sum the kernel over all pairs of crops but those of one picture."""
    part_of_one, part_of_other = _deal(one.pictures, parts), _deal(other.pictures, parts)
    columns = other.values.astype(np.float64)
    totals, pairs = np.zeros((parts, parts)), np.zeros((parts, parts))
    for part in range(parts):  # a part at a time: the whole kernel of 4,000 crops takes 128 MB
        rows = part_of_one == part
        kernel = (one.values[rows].astype(np.float64) @ columns.T / columns.shape[1] + 1) ** 3
        apart = one.pictures[rows, None] != other.pictures
        totals[part] = np.bincount(part_of_other, (kernel * apart).sum(axis=0), parts)
        pairs[part] = np.bincount(part_of_other, apart.sum(axis=0), parts)
    return _KernelSums(totals, pairs)


def _deal(pictures: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """The part of each crop: pictures are dealt out in order of their numbers, like cards."""
    return np.unique(pictures, return_inverse=True)[1] % parts


def _mean_kernel(sums: _KernelSums, parts: NDArray[np.bool_]) -> float:
    """Mean of the kernel over the pairs whose crops both lie in these parts."""
    chosen = np.ix_(parts, parts)
    return float(sums.totals[chosen].sum() / sums.pairs[chosen].sum())

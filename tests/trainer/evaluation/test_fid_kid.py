"""FID equals closed forms; KID is unbiased, and its spread is its standard error."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.fid_kid import PooledFeatures, frechet_distance, kernel_distance

DIMENSIONS = 8


def gaussian(seed: int, count: int = 400, shift: float = 0.0, first: int = 0) -> PooledFeatures:
    """Normal features, one crop per image."""
    values = np.random.default_rng(seed).normal(shift, 1, (count, DIMENSIONS))
    return PooledFeatures(values.astype(np.float32), np.arange(first, first + count))


def with_moments(mean: np.ndarray, covariance: np.ndarray, seed: int) -> PooledFeatures:
    """Features whose own mean and covariance are these, to rounding."""
    noise = np.random.default_rng(seed).normal(size=(200, len(mean)))
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
    values = white @ np.linalg.cholesky(covariance).T + mean
    return PooledFeatures(values.astype(np.float32), np.arange(len(values)))


def test_frechet_distance_of_equal_sets_is_zero() -> None:
    features = gaussian(1)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_gaussians_along_the_axes_is_the_closed_form() -> None:
    one = with_moments(np.array([0.0, 1, 2]), np.diag([1.0, 4, 9]), seed=1)
    other = with_moments(np.array([3.0, 1, -2]), np.diag([4.0, 4, 1]), seed=2)
    # |m1 - m2|^2 + sum of (s1 - s2)^2, the s being standard deviations
    assert frechet_distance(one, other) == pytest.approx((9 + 16) + (1 + 0 + 4), rel=1e-5)


def test_frechet_distance_of_rotated_gaussians_is_the_closed_form() -> None:
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    first, second = np.diag([9.0, 1.0]), turn @ np.diag([4.0, 0.25]) @ turn.T
    one, other = with_moments(np.zeros(2), first, 1), with_moments(np.zeros(2), second, 2)
    # In two dimensions trace (AB)^(1/2) is (trace AB + 2 det(AB)^(1/2))^(1/2).
    product = first @ second
    crossed = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * crossed
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_is_finite_with_fewer_crops_than_features() -> None:
    few, others = gaussian(1, count=4), gaussian(2, count=5)
    assert np.isfinite(frechet_distance(few, others))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_is_the_estimator_of_its_paper() -> None:
    one, other = gaussian(1, 7), gaussian(2, 9, shift=0.5, first=100)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / DIMENSIONS + 1) ** 3)

    x, y = one.values.astype(float), other.values.astype(float)
    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    expected = within_x + within_y - 2 * across
    assert kernel_distance(one, other).value == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    pairs = [(gaussian(2 * n, 40), gaussian(2 * n + 1, 40, first=100)) for n in range(200)]
    values = np.array([kernel_distance(*pair).value for pair in pairs])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 3 * error
    assert error < 0.02  # small enough for the biased estimator, 0.1 and more, to fail above
    assert values.min() < 0 < values.max()


def test_kernel_distance_separates_shifted_sets() -> None:
    distance = kernel_distance(gaussian(1), gaussian(2, shift=0.5, first=1000))
    assert distance.spread is not None
    assert distance.value > 5 * distance.spread


def test_kernel_distance_is_unbiased_for_several_crops_of_each_image() -> None:
    def crops_of_images(seed: int, first: int) -> PooledFeatures:
        """Twenty images of five crops each that hardly differ."""
        of_image = gaussian(seed, 20).values.repeat(5, axis=0)
        noise = np.random.default_rng(seed + 10_000).normal(0, 0.1, of_image.shape)
        return PooledFeatures(
            (of_image + noise).astype(np.float32), np.arange(first, first + 20).repeat(5)
        )

    values = np.array(
        [
            kernel_distance(crops_of_images(2 * n, 0), crops_of_images(2 * n + 1, 100)).value
            for n in range(200)
        ]
    )
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))


def test_a_set_has_no_kernel_distance_to_itself() -> None:
    features = gaussian(1)
    assert kernel_distance(features, features).value == pytest.approx(0, abs=1e-12)


def test_spread_is_the_standard_error_and_shrinks_with_more_crops() -> None:
    def run(count: int) -> tuple[float, float]:
        """How far values differ from sample to sample, and what the spread says they do."""
        found = [
            kernel_distance(gaussian(2 * n, count), gaussian(2 * n + 1, count, 0.5, first=count))
            for n in range(40)
        ]
        spreads = [distance.spread for distance in found if distance.spread is not None]
        return float(np.std([distance.value for distance in found])), float(np.mean(spreads))

    few, many = run(50), run(450)
    for differ, spread in (few, many):
        assert spread == pytest.approx(differ, rel=0.4)
    assert many[1] == pytest.approx(few[1] / 3, rel=0.4)  # nine times the crops


def test_two_images_have_a_distance_but_no_spread() -> None:
    distance = kernel_distance(gaussian(1, 2), gaussian(2, 2, first=2))
    assert np.isfinite(distance.value)
    assert distance.spread is None


def test_features_and_images_must_match() -> None:
    with pytest.raises(ValueError, match=r"self\.values\.shape = \(3, 2\)"):
        PooledFeatures(np.zeros((3, 2), np.float32), np.arange(4))

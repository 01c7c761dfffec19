"""Smoothing is what the slow libraries give, for any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from refocal.depth.edges import GuidedFilter, gaussian

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None, max_examples=40)
@given(size=sizes, sigma=st.floats(0.5, 7), seed=st.integers(0, 999))
def test_a_gaussian_is_scipy_s(size: tuple[int, int], sigma: float, seed: int) -> None:
    """Borders mirrored, also where the plane is smaller than the kernel; the strides don't matter."""
    values = np.random.default_rng(seed).normal(size=size)
    np.testing.assert_allclose(gaussian(values, sigma), gaussian_filter(values, sigma), atol=2e-6)
    np.testing.assert_allclose(gaussian(values.T, sigma), gaussian_filter(values.T, sigma), atol=2e-6)


@settings(deadline=None, max_examples=40)
@given(size=sizes, radius=st.integers(1, 20), seed=st.integers(0, 999))
def test_a_guided_filter_is_its_formula(size: tuple[int, int], radius: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    guide, values = random.random(size), random.normal(size=size)

    def box(plane: np.ndarray) -> np.ndarray:
        return np.asarray(uniform_filter(plane, 2 * radius + 1))

    covariance = box(guide * values) - box(guide) * box(values)
    slope = covariance / (box(guide**2) - box(guide) ** 2 + 0.01)
    offset = box(values) - slope * box(guide)
    wanted = box(slope) * guide + box(offset)
    made = GuidedFilter(guide.astype(np.float32), radius, 0.01)(values)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, atol=2e-4)


@pytest.mark.parametrize("radius", [1, 4])
def test_an_edge_of_the_guide_stays_and_noise_goes(radius: int) -> None:
    guide = np.zeros((20, 40), np.float32)
    guide[:, 20:] = 1
    noisy = guide + np.random.default_rng(0).normal(scale=0.1, size=guide.shape).astype(np.float32)
    made = GuidedFilter(guide, radius, 1e-4)(noisy)
    assert np.abs(made - guide).mean() < 0.06
    assert (made[:, 20] - made[:, 19]).min() > 0.8

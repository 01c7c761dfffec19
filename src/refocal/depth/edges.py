"""Smoothing: plain, along edges by the guided filter for small radii, by the domain transform for large ones."""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def gaussian(values: NDArray[Any], sigma: float) -> Plane:
    """Return planes, (H, W) or (H, W, C), smoothed by a Gaussian, cut at four sigma, borders mirrored, as SciPy does.

    Faster than SciPy: a plane sweep smooths each view twice.
    """
    reach = np.arange(int(4 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    flat = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
    channels = values.shape[2] if values.ndim == 3 else 1
    made: Plane = _smooth(flat, (weights / (2 * weights.sum() - 1)).astype(np.float32), channels)
    return made.reshape(values.shape)


class GuidedFilter:
    """Smooths planes along the edges of a guide: He et al., "Guided image filtering", TPAMI 2013, eq. 5, 6 and 8.

    Parameters
    ----------
    guide : ndarray
        (H, W) float32.
    radius : int
        Of the windows, in pixels.
    epsilon : float
        Variance of the guide below which there is hardly an edge to follow.
    """

    def __init__(self, guide: Plane, radius: int, epsilon: float) -> None:
        self._guide = np.ascontiguousarray(guide, np.float32)
        self._weights = np.full(radius + 1, 1 / (2 * radius + 1), np.float32)
        self._mean = self._box(self._guide)
        self._divisor = self._box(self._guide * self._guide) - self._mean**2 + np.float32(epsilon)

    def __call__(self, values: NDArray[Any]) -> Plane:
        """Return a plane (H, W), smoothed, float32."""
        values = np.ascontiguousarray(values, np.float32)
        mean = self._box(values)
        slope = (self._box(self._guide * values) - self._mean * mean) / self._divisor
        return np.asarray(self._box(slope) * self._guide + self._box(mean - slope * self._mean))

    def _box(self, values: Plane) -> Plane:
        made: Plane = _smooth(values, self._weights, 1)
        return made


@njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
def _smooth(values: Plane, weights: Plane, channels: int) -> Plane:
    """Convolve (H, W channels) along both axes with weights of the middle and what lies so far on either side of it."""
    height, width = values.shape
    reach, around = weights.size - 1, (weights.size - 1) * channels
    out = np.empty_like(values)
    for y in prange(height):
        row = np.zeros(width + 2 * around, np.float32)
        inner = row[around : around + width]
        for k in range(-reach, reach + 1):
            there, weight = values[_mirrored(y + k, height)], weights[abs(k)]
            for x in range(width):
                inner[x] += weight * there[x]
        pixels = width // channels
        for k in range(1, reach + 1):
            for c in range(channels):
                row[around - k * channels + c] = inner[_mirrored(-k, pixels) * channels + c]
                row[around + width + (k - 1) * channels + c] = inner[_mirrored(pixels - 1 + k, pixels) * channels + c]
        made = out[y]
        for x in range(width):
            made[x] = weights[0] * inner[x]
        for k in range(1, reach + 1):
            left, right, weight = row[around - k * channels :], row[around + k * channels :], weights[k]
            for x in range(width):
                made[x] += weight * (left[x] + right[x])
    return out


@njit(cache=True)
def _mirrored(place: int, length: int) -> int:
    place %= 2 * length
    return min(place, 2 * length - 1 - place)


def median(values: Plane) -> Plane:
    """Return a plane (H, W) without lone outliers: the median of five down, then of five across, borders repeated."""
    for _ in range(2):  # along one axis, then, turned, along the other
        wide = np.pad(values, ((2, 2), (0, 0)), mode="edge")
        a, b, c, d, e = (wide[k : k + len(values)] for k in range(5))
        low = np.maximum(np.minimum(a, b), np.minimum(d, e))  # of the four around the middle: second and third
        high = np.minimum(np.maximum(a, b), np.maximum(d, e))
        values = np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), c)).T
    return np.ascontiguousarray(values)


def spread(values: Plane, photo: Plane, reach: float, stop: float) -> Plane:
    """Smooth values, (H, W, C), by the recursive domain transform: Gastal & Oliveira, eq. 11, 14 and 21."""
    steps = [
        np.abs(np.diff(photo, axis=axis, prepend=photo[:1] if axis == 0 else photo[:, :1])).sum(axis=-1)
        for axis in (0, 1)
    ]
    down, right = (1 + reach / stop * step for step in steps)
    for k in range(3):
        base = np.exp(-np.sqrt(2) / (reach * np.sqrt(3) * 2 ** (2 - k) / np.sqrt(4**3 - 1)))
        _recurse(values, (base**right).astype(np.float32))
        _recurse(values.swapaxes(0, 1), (base**down).astype(np.float32).T)
    return values


@njit(parallel=True, cache=True)
def _recurse(values: Plane, feedback: Plane) -> None:
    height, width, channels = values.shape
    for y in prange(height):
        for x in range(1, width):
            for c in range(channels):
                values[y, x, c] += feedback[y, x] * (values[y, x - 1, c] - values[y, x, c])
        for x in range(width - 2, -1, -1):
            for c in range(channels):
                values[y, x, c] += feedback[y, x + 1] * (values[y, x + 1, c] - values[y, x, c])

"""Edge-aware smoothing: the guided filter for small radii, the domain transform for large ones."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Plane = NDArray[np.float32]


def guided(guide: Plane, values: Plane, radius: int, epsilon: float) -> Plane:
    """Smooth values along the edges of a guide: He et al., eq. 5, 6 and 8."""
    size = 2 * radius + 1
    mean_guide, mean_values = uniform_filter(guide, size), uniform_filter(values, size)
    variance = uniform_filter(guide * guide, size) - mean_guide**2
    slope = (uniform_filter(guide * values, size) - mean_guide * mean_values) / (variance + epsilon)
    return np.asarray(uniform_filter(slope, size) * guide + uniform_filter(mean_values - slope * mean_guide, size))


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


@njit(cache=True)
def _recurse(values: Plane, feedback: Plane) -> None:
    height, width, channels = values.shape
    for y in range(height):
        for x in range(1, width):
            for c in range(channels):
                values[y, x, c] += feedback[y, x] * (values[y, x - 1, c] - values[y, x, c])
        for x in range(width - 2, -1, -1):
            for c in range(channels):
                values[y, x, c] += feedback[y, x + 1] * (values[y, x + 1, c] - values[y, x, c])

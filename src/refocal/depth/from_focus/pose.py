"""How the slice of a focus bracket lies over the reference, and the slice as the reference sees it."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from refocal.images.colour import to_linear, to_srgb

UNSEEN = 0.02  # px: a slice that no pose moves further is taken as it is
UNLIT = 0.002  # of light, a quarter of an 8-bit step: so is one that is no brighter than that
CODES = 4097  # of a curve that brightens


@dataclass(frozen=True)
class Pose:
    """Where the reference lies in a slice, and how much brighter than the slice the reference is.

    Attributes
    ----------
    turn, shift : complex
        x' = turn x + shift; see `alignment`.
    gain : tuple of float
        Factor of linear light for red, green and blue.
    """

    turn: complex = 1
    shift: complex = 0
    gain: tuple[float, float, float] = (1, 1, 1)


def warped(photo: NDArray[np.float32], pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a slice, (H, W, 3) or (H, W, 1), as the reference sees it, and where the slice reaches, (H, W)."""
    height, width, channels = photo.shape
    long, middle = max(height, width), np.array([height - 1, width - 1]) / 2
    matrix = np.array([[pose.turn.real, pose.turn.imag], [-pose.turn.imag, pose.turn.real]])  # of (down, right)
    offset = middle - matrix @ middle + np.array([pose.shift.imag, pose.shift.real]) * long
    corners = np.array([(y, x) for y in (0, height - 1) for x in (0, width - 1)])
    moved = np.abs(corners @ matrix.T + offset - corners).max() >= UNSEEN
    brighter = np.abs(np.array(pose.gain) - 1).max() >= UNLIT
    if not moved and not brighter:
        return photo, np.ones((height, width), bool)
    if not moved:
        matrix, offset = np.eye(2), np.zeros(2)
    gains = np.array(pose.gain if brighter else (1.0, 1.0, 1.0), np.float32)[:channels]
    codes = np.linspace(0, 1, CODES, dtype=np.float32)
    curves = to_srgb((to_linear(codes) * gains[:, None]).clip(0, 1)) if brighter else codes[None].repeat(channels, 0)
    return _resampled(np.ascontiguousarray(photo), matrix, offset, curves)  # type: ignore[no-any-return]


@njit(parallel=True, cache=True, error_model="numpy")
def _resampled(
    photo: NDArray[np.float32], matrix: NDArray[np.float64], offset: NDArray[np.float64], curves: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a photo (H, W, C) at matrix (row, column) + offset, and where that lies in it.

    By cubic convolution, borders repeated (Keys, IEEE ASSP 1981, eq. 15, a = -1/2), cut to [0, 1], then through curves
    (C, codes).
    """
    height, width, channels = photo.shape
    out, inside = np.empty_like(photo), np.empty((height, width), np.bool_)
    last = curves.shape[1] - 1
    for y in prange(height):
        weights, places = np.empty((2, 4), np.float32), np.empty((2, 4), np.int64)
        for x in range(width):
            within = True
            for axis, length in ((0, height), (1, width)):
                at = matrix[axis, 0] * y + matrix[axis, 1] * x + offset[axis]
                within = within and 0 <= at <= length - 1
                first = int(np.floor(at))
                t = np.float32(at - first)
                weights[axis, 0] = ((2 - t) * t - 1) * t / 2
                weights[axis, 1] = ((3 * t - 5) * t * t + 2) / 2
                weights[axis, 2] = ((4 - 3 * t) * t + 1) * t / 2
                weights[axis, 3] = (t - 1) * t * t / 2
                for k in range(4):
                    places[axis, k] = min(max(first - 1 + k, 0), length - 1)
            inside[y, x] = within
            for c in range(channels):
                total = np.float32(0)
                for i in range(4):
                    row, part = photo[places[0, i]], np.float32(0)
                    for j in range(4):
                        part += weights[1, j] * row[places[1, j], c]
                    total += weights[0, i] * part
                place = min(max(total, np.float32(0)), np.float32(1)) * last
                low = min(int(place), last - 1)
                out[y, x, c] = curves[c, low] + (place - low) * (curves[c, low + 1] - curves[c, low])
    return out, inside

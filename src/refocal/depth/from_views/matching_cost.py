"""Matching costs of a plane sweep: how well the views agree with the reference view at each slope."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from refocal.depth.edges import gaussian
from refocal.images.colour import LUMA

CUT = 0.5  # of a difference of detail: more is an occlusion or a highlight, and counts no more than this
STEP = 0.5  # px between neighbouring planes of a sweep in the outermost view: finer planes add nothing
PLANES = (17, 129)  # at least, at most


@dataclass(frozen=True)
class Detail:
    """A view as it is compared.

    Attributes
    ----------
    grey : ndarray
        (H, W) float32 in [0, 1].
    detail : ndarray
        (H, W) float32: what differs from the surroundings, over how much they vary; free of brightness.
    """

    grey: NDArray[np.float32]
    detail: NDArray[np.float32]


def planes_between(far: float, near: float, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return the slopes, far to near, in px/view, that a sweep of a grid of views should look at."""
    count = int(np.ceil((near - far) * (max(grid) - 1) / 2 / STEP)) + 1
    return np.linspace(far, near, int(np.clip(count, *PLANES)))


def reference_view(views: NDArray[Any], mask: NDArray[np.bool_] | None) -> tuple[int, int]:
    """Return row and column of the valid view next to the middle, of two the one behind it."""
    rows, columns = views.shape[:2]
    distance = np.hypot(*np.ogrid[-(rows // 2) : rows - rows // 2, -(columns // 2) : columns - columns // 2])
    valid = np.ones((rows, columns), bool) if mask is None else mask
    if valid.sum() < 2:
        raise ValueError(f"a plane sweep needs two valid views or more, {valid.sum()} of {rows} x {columns} are")
    u, v = np.unravel_index(int(np.argmin(np.where(valid, distance, np.inf))), distance.shape)
    return int(u), int(v)


def detail_of(view: NDArray[Any]) -> Detail:
    """Return what is compared of a view (H, W, 3), uint8 or float32."""
    grey = view.astype(np.float32) @ LUMA
    if view.dtype == np.uint8:
        grey /= 255
    difference = grey - gaussian(grey, 3)
    spread = np.sqrt(gaussian(difference**2, 6)) + 0.02  # of noise: what is flat stays flat
    return Detail(grey, (difference / spread).astype(np.float32))


def cost_volume(
    views: NDArray[Any], mask: NDArray[np.bool_] | None, reference: Detail, slopes: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the mean cut-off difference from the reference view at each slope, (K, H, W).

    One view at a time is turned into detail: no second light field is held.
    """
    row, column = reference_view(views, mask)
    cost = np.zeros((len(slopes), *reference.grey.shape), np.float32)
    count = 0
    for u, v in np.ndindex(views.shape[:2]):
        if (u, v) != (row, column) and (mask is None or mask[u, v]):
            add_differences(
                detail_of(views[u, v]).detail, reference.detail, (u - row) * slopes, (v - column) * slopes, CUT, cost
            )
            count += 1
    cost /= count
    return cost


@njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
def add_differences(
    detail: NDArray[np.float32],
    reference: NDArray[np.float32],
    down: NDArray[np.float64],
    right: NDArray[np.float64],
    cut: float,
    cost: NDArray[np.float32],
) -> None:
    """Add the differences of one view, shifted by (down, right) pixels at each slope; outside the view: the cut.

    Parameters
    ----------
    detail, reference : ndarray
        (H, W) of the view and of the reference view: what is compared.
    down, right : ndarray
        (K,) pixels.
    cut : float
        A difference counts no more than this.
    cost : ndarray
        (K, H, W), added to in place.
    """
    height, width = reference.shape
    for k in prange(down.size):
        whole_y, whole_x = int(np.floor(down[k])), int(np.floor(right[k]))
        b, d = np.float32(down[k] - whole_y), np.float32(right[k] - whole_x)
        a, c = np.float32(1) - b, np.float32(1) - d
        limit = np.float32(cut)
        first, last = max(0, -whole_x), min(width, width - 1 - whole_x)
        for y in range(height):
            out = cost[k, y]
            if y + whole_y < 0 or y + whole_y + 1 >= height or last <= first:
                out += limit
                continue
            out[:first] += limit
            out[max(first, last) :] += limit
            n = last - first
            upper = detail[y + whole_y, first + whole_x : first + whole_x + n + 1]
            lower = detail[y + whole_y + 1, first + whole_x : first + whole_x + n + 1]
            here, sums = reference[y, first:last], out[first:last]
            for x in range(n):
                there = a * (c * upper[x] + d * upper[x + 1]) + b * (c * lower[x] + d * lower[x + 1])
                sums[x] += min(abs(there - here[x]), limit)

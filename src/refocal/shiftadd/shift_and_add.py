"""Shift-and-add: the photo that a large lens would have taken, from the views of a light field.

Notation, here and wherever light fields are spoken of:
L(u, v, y, x)    light field; u, v row and column of the view, y, x those of the pixel; U, V, H, W their numbers
(uc, vc)         ((U - 1) / 2, (V - 1) / 2), the middle of the grid
s                slope: pixels that a view is shifted by for each step in u and v. What has disparity s gets sharp

    photo(y, x) = mean over the views in the pupil of L(u, v, y + (u - uc) s, x + (v - vc) s)

(Ng et al., "Light field photography with a hand-held plenoptic camera", Stanford CTSR 2005-02; Levoy & Hanrahan,
SIGGRAPH 1996). Between pixels L is bilinear: four taps. Taps outside a view do not count: the mean is the weighted one
over the taps that are there, so that borders keep their brightness. Where no view has a tap, the view next to the
middle gives its nearest pixel.

The two directions separate: for each row of views the shifted rows of pixels are summed along x once, and that sum is
spread over two rows of the photo. Slopes between which no view's shift passes a whole number share the taps, and what
they add up is a polynomial of the slope: many slopes close together cost little more than a few (`span_kernel`).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from refocal.images.colour import to_linear, to_srgb
from refocal.shiftadd import kernel, span_kernel

Pupil = Literal["circular", "square"]
ROWS = (16, 64)  # of a photo to a core at a time: each has something to do, and little is read twice
DENSE, FEWEST = (
    1.5,
    2,
)  # slopes a span, and more in all, from which on `span_kernel` wins over `kernel`: benchmarks/shiftadd.py


def pupil_mask(grid: tuple[int, int], pupil: Pupil = "circular") -> NDArray[np.bool_]:
    """Return which views lie in the pupil.

    Parameters
    ----------
    grid : tuple of int
        U, V.
    pupil : str
        "circular": (u - uc)^2 + (v - vc)^2 <= (max(U, V) / 2)^2, the disk that the grid's cells fill; "square": all.

    Returns
    -------
    ndarray
        (U, V) bool.
    """
    if pupil not in ("circular", "square"):
        raise ValueError(f"pupil must be 'circular' or 'square', got {pupil!r}")
    rows, columns = np.ogrid[: grid[0], : grid[1]]
    distance2 = (rows - (grid[0] - 1) / 2) ** 2 + (columns - (grid[1] - 1) / 2) ** 2
    return np.asarray((distance2 <= (max(grid) / 2) ** 2) | (pupil == "square"))


def shift_and_add(
    views: NDArray[Any],
    slope: float,
    *,
    mask: NDArray[np.bool_] | None = None,
    pupil: Pupil = "circular",
    linear: bool = True,
) -> NDArray[np.float32]:
    """Average the views of a light field along a slope: the photo focused at that disparity.

    Parameters
    ----------
    views : ndarray
        (U, V, H, W, 3), sRGB: uint8, or float32 in [0, 1]. Read where it lies, memory-mapped too; only where the pixels
        of a row do not lie side by side a copy is made.
    slope : float
        Pixels per view step, finite. Positive is nearer for a light field in canonical order.
    mask : ndarray, optional
        (U, V) bool: the views that count; others are never read.
    pupil : str
        "circular" or "square"; see `pupil_mask`.
    linear : bool
        Whether light is averaged, as a lens does; else the gamma-coded values, as much published code has it.

    Returns
    -------
    ndarray
        (H, W, 3) float32, sRGB in [0, 1].

    Raises
    ------
    ValueError
        One line: a shape, type or value that is not allowed, or no view left to average.
    """
    return np.asarray(focal_stack(views, (slope,), mask=mask, pupil=pupil, linear=linear)[0])


def focal_stack(
    views: NDArray[Any],
    slopes: Sequence[float] | NDArray[np.floating[Any]],
    *,
    mask: NDArray[np.bool_] | None = None,
    pupil: Pupil = "circular",
    linear: bool = True,
) -> NDArray[np.float32]:
    """Average the views along several slopes: a focal stack. Far cheaper than a call a slope where they lie close.

    Parameters
    ----------
    slopes : sequence of float
        K of them, finite, in any order.
    views, mask, pupil, linear
        As in `shift_and_add`.

    Returns
    -------
    ndarray
        (K, H, W, 3) float32, sRGB in [0, 1]. Nothing as large is held beside the views and this.
    """
    steps = np.asarray(slopes, dtype=np.float64)
    chosen = _checked(views, steps, mask) & pupil_mask(views.shape[:2], pupil)
    if not chosen.any():
        raise ValueError(f"mask leaves no view in the {pupil} pupil of {views.shape[0]} x {views.shape[1]} views")
    height, width = views.shape[2:4]
    memory, places, strides = _flat(views)
    whole = views.dtype == np.uint8
    decode, encode = _tables(whole) if linear else (np.empty(0, np.float32), np.empty(0, np.float32))
    scale = np.float32(1 / 255 if whole and not linear else 1)
    out = np.empty((len(steps), height, 3 * width), np.float32)
    order, firsts, middles = _spans(steps, chosen.shape)
    if len(steps) >= DENSE * len(middles) + FEWEST:
        rising, weights = steps[order], _weights(chosen, steps[order], (height, width), scale)
        rows = min(max(height // (2 * numba.get_num_threads()), ROWS[0]), ROWS[1])
        span_kernel.average(
            memory, places, strides, chosen, firsts, middles, rising, order, *weights, decode, encode, rows, out
        )
    else:
        if not linear and strides[1:] != (3, 1):  # the kernel then reads row by row, through a table: the identity
            decode = np.linspace(0, 255 if whole else 1, 256 if whole else 2, dtype=np.float32)
        kernel.average(memory, places, strides, chosen, steps, decode, encode, scale, out)
    stack = out.reshape(len(steps), height, width, 3)
    for photo, slope in zip(stack, steps, strict=True):
        _fill_unseen(photo, views, slope, chosen)
    return stack


def _checked(views: NDArray[Any], slopes: NDArray[np.float64], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Check the arguments; return the mask."""
    if not isinstance(views, np.ndarray) or views.ndim != 5 or views.shape[-1] != 3 or 0 in views.shape:
        raise ValueError(f"views must be an array (U, V, H, W, 3), got {getattr(views, 'shape', type(views).__name__)}")
    if views.dtype not in (np.uint8, np.float32):
        raise ValueError(f"views must be uint8, or float32 in [0, 1], got {views.dtype}")
    if slopes.ndim != 1 or not len(slopes) or not np.isfinite(slopes).all():
        raise ValueError(f"slopes must be one or more finite numbers of px/view, got {slopes.tolist()}")
    grid = views.shape[:2]
    if mask is None:
        mask = np.ones(grid, bool)
    elif mask.shape != grid or mask.dtype != bool:
        raise ValueError(f"mask must be bool of shape {grid}, got {mask.dtype} of shape {mask.shape}")
    if views.dtype == np.float32:
        for u, v in np.argwhere(mask):  # a view at a time: a second light field is never held
            low, high = views[u, v].min(), views[u, v].max()
            if not (low >= 0 and high <= 1):  # NaN fails too
                raise ValueError(f"views must lie in [0, 1], view ({u}, {v}) has {low:g} to {high:g}")
    return mask


def _flat(views: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], tuple[int, int, int]]:
    """Return the memory that the views lie in, the place of each view's first number, and the steps inside a view.

    Mirrored and cut grids are just other places, mosaics have other steps. Numba reads flat memory fastest.
    """
    item = views.itemsize
    if any(step % item for step in views.strides):
        views = np.ascontiguousarray(views)  # fields of records: rare, and nothing that is read from a file
    steps = np.array(views.strides) // item
    last = (np.array(views.shape) - 1) * steps
    first = int(np.minimum(last, 0).sum())  # of the lowest pixel in memory, seen from views[0, 0, 0, 0, 0]
    span = int(np.maximum(last, 0).sum()) - first + 1
    origin = views[tuple(slice(-1, None) if step < 0 else slice(0, 1) for step in steps)]
    memory = np.lib.stride_tricks.as_strided(origin.reshape(-1)[:1], (span,), (item,), writeable=False)
    rows, columns = np.ogrid[: views.shape[0], : views.shape[1]]
    places = -first + rows * steps[0] + columns * steps[1]
    return memory, places, (int(steps[2]), int(steps[3]), int(steps[4]))


def _spans(
    slopes: NDArray[np.float64], grid: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return how slopes rise (K,), where in that a span begins, the end too (S + 1,), and its middle slope (S,)."""
    away = np.unique([place - (count - 1) / 2 for count in grid for place in range(count)])
    order = np.argsort(slopes, kind="stable")
    rising, firsts = slopes[order], [0]
    for k in range(1, len(rising)):
        low, high = rising[firsts[-1]], rising[k]
        parts = np.outer([low, high], away) - np.floor((low + high) / 2 * away)
        if parts.min() < 0 or parts.max() > 1:
            firsts.append(k)
    ends = np.array([*firsts, len(rising)])
    return order, ends, (rising[ends[:-1]] + rising[ends[1:] - 1]) / 2


def _weights(
    mask: NDArray[np.bool_], slopes: NDArray[np.float64], size: tuple[int, int], scale: np.float32
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the weight of the taps that are there.

    At place t of n pixels they are min(t + 1, n - t), within [0, 1]. Of rows (K, U, H); of columns, summed over the
    views of a row of the grid and over `scale`, (K, U, W); and 1 over their sum, for each channel, (K, 3 W).
    """
    rows, columns = (
        np.clip(np.minimum(at + 1, pixels - at), 0, 1).astype(np.float32)
        for views, pixels in zip(mask.shape, size, strict=True)
        for at in [np.multiply.outer(slopes, np.arange(views) - (views - 1) / 2)[..., None] + np.arange(pixels)]
    )
    rows[:, ~mask.any(axis=1)] = 1  # views that do not count miss no row
    columns = np.einsum("uv,kvx->kux", mask.astype(np.float32) / scale, columns)
    total = columns.sum(axis=1)
    inverses = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    return rows, columns, np.repeat(inverses, 3, axis=1)


@cache
def _tables(whole: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the tables to linear light, of 0 … 255 or of [0, 1], and back to sRGB.

    Lengths: a straight line between entries is off by h^2 / 8 max|f''|, here below 2e-6 of sRGB for both.
    """
    decode = to_linear(np.linspace(0, 1, 256 if whole else 4097, dtype=np.float32))
    return decode, to_srgb(np.linspace(0, 1, 16385, dtype=np.float32))


def _fill_unseen(photo: NDArray[np.float32], views: NDArray[Any], slope: float, mask: NDArray[np.bool_]) -> None:
    """Give pixels that no view has a tap for what the view next to the middle has nearest to them. In place."""
    (rows, columns), (height, width) = mask.shape, photo.shape[:2]
    shifts = (np.argwhere(mask) - [(rows - 1) / 2, (columns - 1) / 2]) * slope  # (views, 2)
    if (np.abs(shifts) < 1).all(axis=1).any():
        return  # that view has a tap for every pixel
    seen = np.zeros((height, width), bool)
    for down, right in shifts:
        there_y = np.arange(height) + down
        there_x = np.arange(width) + right
        seen |= np.outer((there_y > -1) & (there_y < height), (there_x > -1) & (there_x < width))
    nearest = int(np.argmin((shifts**2).sum(axis=1)))
    (u, v), (down, right) = np.argwhere(mask)[nearest], shifts[nearest]
    y = np.clip(np.rint(np.arange(height) + down), 0, height - 1).astype(int)
    x = np.clip(np.rint(np.arange(width) + right), 0, width - 1).astype(int)
    whole = views.dtype == np.uint8
    photo[~seen] = (views[u, v][np.ix_(y, x)] / np.float32(255 if whole else 1))[~seen]

"""Guided upsampling: a small disparity map to the size of its photo, along the photo's edges.

It is the fast guided filter (He & Sun, 2015, arXiv:1505.00996): around each pixel of the small map the disparity is a
linear function of the photo's colour, fitted there and evaluated at full size.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.images.image import LARGE, Pixels, as_photo, between, checked_pixels
from refocal.resources import in_threads

RADIUS = 2  # of the guided filter, in pixels of the small map: about what a network's edges are off by
EPSILON = 1e-3  # variance of the photo (values in [0, 1]) below which there is hardly an edge to follow
BAND = 128  # rows of the photo at once


def enlarge(disparity: NDArray[Any], photo: Pixels) -> NDArray[np.float32]:
    """Bring a disparity map to the size of its photo, along the photo's edges.

    Parameters
    ----------
    disparity
        (h, w) in focus units. A side that is longer than the photo's is made smaller plainly.
    photo
        The picture, as in `images.Image`; the map is stretched to it.

    Returns
    -------
    float32 (H, W) in [-1, 1], nowhere beyond the values of the map around. Where the photo has no edges it is the
    bilinear enlargement. Memory beyond it: bands of `BAND` rows, a few times.

    Raises
    ------
    ValueError
        No picture, or no map in focus units.
    """
    photo = checked_pixels(photo, "photo")
    if not isinstance(disparity, np.ndarray) or disparity.ndim != 2 or 0 in disparity.shape:
        raise ValueError(f"disparity must be an (H, W) array, got {getattr(disparity, 'shape', type(disparity))}")
    if not np.abs(disparity).max() <= 1 + 1e-6:  # NaN fails too
        raise ValueError("disparity must lie in [-1, 1]: to_focus maps it there")
    size = photo.shape[:2]
    height, width = (min(sides) for sides in zip(disparity.shape, size, strict=True))
    small: NDArray[np.float32] = np.clip(disparity, -1, 1).astype(np.float32)
    if small.shape != (height, width):
        resized = Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)
        small = np.clip(np.asarray(resized), -1, 1)
    if small.shape == size:
        return small
    guide = _reduced(photo, (height, width))
    left, right, across = between(np.arange(size[1]), width / size[1], width)
    out = np.empty(size, np.float32)

    def fill(start: int) -> None:
        rows = np.arange(start, min(start + BAND, size[0]))
        up, down, along = between(rows, height / size[0], height)
        first, last = max(up[0] - 2 * RADIUS, 0), down[-1] + 2 * RADIUS + 1
        maps = _fitted(small[first:last], guide[first:last])[:, up[0] - first : down[-1] + 1 - first]
        up, down = up - up[0], down - up[0]
        maps = maps[:, up] + along[:, None] * (maps[:, down] - maps[:, up])  # (6, rows, w)
        red, green, blue, offset, low, high = (m[:, left] + across * (m[:, right] - m[:, left]) for m in maps)
        band = as_photo(photo[rows[0] : rows[-1] + 1])
        fit = red * band[..., 0] + green * band[..., 1] + blue * band[..., 2] + offset
        out[rows] = np.clip(fit, low, high)

    in_threads(fill, range(0, size[0], BAND), 0 if size[0] * size[1] > LARGE else 1)
    return out


def _reduced(photo: Pixels, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the photo's mean colours on a grid of at most as many rows and columns, (h, w, 3)."""
    rows, columns = (np.arange(n) * side // n for n, side in zip(size, photo.shape[:2], strict=True))
    widths = np.diff(columns, append=photo.shape[1])[:, None]
    ends = np.append(rows[1:], photo.shape[0])
    out = np.empty((*size, 3), np.float32)
    for k, (row, end) in enumerate(zip(rows, ends, strict=True)):
        out[k] = np.add.reduceat(as_photo(photo[row:end]).mean(axis=0), columns, axis=0) / widths
    return out


def _fitted(small: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit disparity = a . colour + b around each pixel: (6, h, w) of a (three), b, lowest and highest value around."""
    colour, target = np.moveaxis(guide, 2, 0).astype(np.float64), small.astype(np.float64)
    mean, mean_target = _box(colour), _box(target)
    shared = _box(colour * target) - mean * mean_target  # (3, h, w)
    spread = _box(colour[:, None] * colour) - mean[:, None] * mean  # (3, 3, h, w)
    matrix = np.moveaxis(spread, (0, 1), (2, 3)) + EPSILON * np.eye(3)
    a = np.moveaxis(np.linalg.solve(matrix, np.moveaxis(shared, 0, 2)[..., None])[..., 0], 2, 0)
    b = _box(mean_target - (a * mean).sum(axis=0))
    a = _box(a)
    # Where the photo is flat it says nothing: there the map itself stays.
    flat = EPSILON / (_box(np.einsum("iihw->hw", spread)).clip(0) + EPSILON)
    b += flat * (target - (a * colour).sum(axis=0) - b)
    low, high = (_extreme(_extreme(small, pick, 0), pick, 1) for pick in (np.minimum, np.maximum))
    return np.concatenate([a, [b, low, high]]).astype(np.float32)


def _box(x: NDArray[Any]) -> NDArray[Any]:
    """Mean over the last two axes' windows of 2 RADIUS + 1, cut at the borders."""
    for axis in (-2, -1):
        n = x.shape[axis]
        sums = np.concatenate([np.zeros_like(x.take([0], axis)), x.cumsum(axis)], axis)
        ends, starts = np.minimum(np.arange(n) + RADIUS + 1, n), np.maximum(np.arange(n) - RADIUS, 0)
        count = (ends - starts).reshape(-1, *(1,) * (-axis - 1))
        x = (sums.take(ends, axis) - sums.take(starts, axis)) / count
    return x


def _extreme(x: NDArray[np.float32], pick: np.ufunc, axis: int) -> NDArray[np.float32]:
    n = x.shape[axis]
    shifted = (x.take(np.clip(np.arange(n) + step, 0, n - 1), axis) for step in range(-RADIUS, RADIUS + 1))
    out = next(shifted)
    for other in shifted:
        out = pick(out, other)
    return out

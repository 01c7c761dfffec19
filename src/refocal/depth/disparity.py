"""Disparity in focus units: maps of any size and unit are mapped to [-1, 1] and enlarged along the edges of the photo.

A disparity map is larger where the scene is nearer. In *focus units* it lies in [-1, 1], -1 the farthest and +1 the
nearest plane of the scene, as the focus of `Refocuser` does. `to_focus` maps the values there; `enlarge` brings a small
map to the size of the photo along the photo's own edges. Maps are read from files by `depth_files.read_disparity`.

The upsampling is the fast guided filter (He & Sun, 2015, arXiv:1505.00996): around each pixel of the small map the
disparity is a linear function of the photo's colour, fitted there and evaluated at full size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.depth.files import read_disparity
from refocal.images.image import Pixels, as_photo, checked_pixels

__all__ = ["Depth", "Kind", "enlarge", "read_disparity", "to_focus"]

Kind = Literal["disparity", "depth"]
RADIUS = 2  # of the guided filter, in pixels of the small map: about what a network's edges are off by
EPSILON = 1e-3  # variance of the photo (values in [0, 1]) below which there is hardly an edge to follow
BAND = 128  # rows of the photo at once


@dataclass(frozen=True)
class Depth:
    """A photo and how near its pixels are.

    Attributes
    ----------
    photo
        A picture as in `images.Image`.
    disparity
        float32 (H, W), of the photo's size, in focus units: -1 the farthest, +1 the nearest.
    source
        Where the disparity comes from, for people.
    aperture
        Of the camera, in pixels: the blur diameter of what lies one focus range (2) away; None where it is not known.
    """

    photo: Pixels
    disparity: NDArray[np.float32]
    source: str
    aperture: float | None = None


def to_focus(
    disparity: NDArray[Any], disparity_range: Sequence[float] | None = None, kind: str = "disparity"
) -> NDArray[np.float32]:
    """Map a disparity or depth map to focus units.

    Parameters
    ----------
    disparity
        (h, w) of any integer or float type. What is NaN or infinite, of a depth also what is not positive, is unknown
        and gets the value of the nearest known pixel.
    disparity_range
        (far, near): the values that become -1 and +1, in the map's own unit (of a depth far > near, and far may be
        infinite); values beyond are clipped. None: the 1 and 99 percentiles of the known values.
    kind
        "disparity": larger is nearer; "depth": a distance, which is inverted first.

    Returns
    -------
    float32 (h, w) in [-1, 1]; 0 everywhere for a constant map without a range.

    Raises
    ------
    ValueError
        No such map, nothing known in it, or a range that is none.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    if not isinstance(disparity, np.ndarray) or disparity.ndim != 2 or disparity.dtype.kind not in "uif":
        shape = (disparity.shape, str(disparity.dtype)) if isinstance(disparity, np.ndarray) else type(disparity)
        raise ValueError(f"disparity must be an (H, W) array of integers or floats, got {shape}")
    ends = None if disparity_range is None else _checked_range(disparity_range, kind)
    values: NDArray[Any] = disparity.astype(np.float32 if disparity.dtype.itemsize <= 2 else np.float64)
    if kind == "depth":
        with np.errstate(divide="ignore", over="ignore"):
            values = np.where(values > 0, 1 / values, np.nan)
            values[disparity == np.inf] = np.nan  # 1 / inf would be a distance; it marks what was not measured
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("disparity must hold known values: finite, and positive if it is a depth; it has none")
    if not known.all():
        values = _filled(values, known)
    if ends is None:
        ends = np.percentile(values[known], (1, 99)).tolist()
        if not ends[0] < ends[1]:  # a small object before a plane
            ends = [float(values.min()), float(values.max())]
        if not ends[0] < ends[1]:
            return np.zeros(values.shape, np.float32)
    far, near = ends
    # Halves: the difference of two large values may not be representable.
    place: NDArray[Any] = (np.clip(values, far, near) / 2 - far / 2) / (near / 2 - far / 2)
    focus: NDArray[np.float32] = np.clip(2 * place - 1, -1, 1).astype(np.float32)
    return focus


def _checked_range(disparity_range: Sequence[float], kind: str) -> list[float]:
    """Return (far, near) as disparities, far < near."""
    try:
        far, near = (float(end) for end in disparity_range)
    except (TypeError, ValueError):
        far = near = np.nan
    if kind == "depth" and 0 < near < far:
        return [1 / far, 1 / near]
    if kind == "disparity" and -np.inf < far < near < np.inf:
        return [far, near]
    allowed = "far < near" if kind == "disparity" else "far > near > 0"
    raise ValueError(f"disparity_range of a {kind} must be (far, near), {allowed}, got {disparity_range!r}")


def _filled(values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Give unknown pixels the value of the nearest known one (ties and rare corners: of one about as near).

    First the nearest in the own column, then what neighbouring columns found is carried sideways, both ways.
    """
    height, width = values.shape
    none = 4 * (height + width)  # farther than any pixel
    rows = np.arange(height)[None]
    above = np.maximum.accumulate(np.where(known.T, rows, -none), axis=1)
    below = np.minimum.accumulate(np.where(known.T, rows, none)[:, ::-1], axis=1)[:, ::-1]
    row = np.where(rows - above <= below - rows, above, below)  # (W, H): one column after the other
    column = np.repeat(np.arange(width)[:, None], height, axis=1)
    for order in (range(1, width), range(width - 2, -1, -1)):
        for x in order:
            before = x - order.step
            own = (row[x] - rows[0]) ** 2 + (column[x] - x) ** 2
            nearer = (row[before] - rows[0]) ** 2 + (column[before] - x) ** 2 < own
            row[x] = np.where(nearer, row[before], row[x])
            column[x] = np.where(nearer, column[before], column[x])
    return np.where(known, values, values[row.T, column.T])


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
    left, right, across = _between(np.arange(size[1]), width / size[1], width)
    out = np.empty(size, np.float32)
    for start in range(0, size[0], BAND):
        rows = np.arange(start, min(start + BAND, size[0]))
        up, down, along = _between(rows, height / size[0], height)
        first, last = max(up[0] - 2 * RADIUS, 0), down[-1] + 2 * RADIUS + 1
        maps = _fitted(small[first:last], guide[first:last])[:, up[0] - first : down[-1] + 1 - first]
        up, down = up - up[0], down - up[0]
        maps = maps[:, up] + along[:, None] * (maps[:, down] - maps[:, up])  # (6, rows, w)
        red, green, blue, offset, low, high = (m[:, left] + across * (m[:, right] - m[:, left]) for m in maps)
        band = as_photo(photo[rows[0] : rows[-1] + 1])
        fit = red * band[..., 0] + green * band[..., 1] + blue * band[..., 2] + offset
        out[rows] = np.clip(fit, low, high)
    return out


def _between(places: NDArray[Any], scale: float, length: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Return which two of `length` pixels a larger side's pixels lie between, and how far towards the second."""
    place = np.clip((places + 0.5) * scale - 0.5, 0, length - 1)
    first = np.minimum(place.astype(np.intp), max(length - 2, 0))
    return first, np.minimum(first + 1, length - 1), (place - first).astype(np.float32)


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

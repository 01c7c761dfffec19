"""Disparity in focus units: maps of any unit are mapped to [-1, 1]; `upsampling` brings them to the size of a photo.

A disparity map is larger where the scene is nearer. In *focus units* it lies in [-1, 1], -1 the farthest and +1 the
nearest plane of the scene, as the focus of `Refocuser` does. `files.read_disparity` reads maps from files.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refocal.images.image import Pixels

Kind = Literal["disparity", "depth", "inverted"]
LEAST = 1024  # pixels of a map that can show what is apart in it
HOLES, FEW = 0.25, 2  # share of a map that holes are at most, and values that a map has at least
MARKED = 0.05  # of the range of the known values: the gap between them and what marks the unknown
SPAN = 90  # the farthest distance over the nearest that is not doubted
HALF_INFINITY = 65000  # half floats end at 65504: the sky of many renderers
AROUND = 0.006  # of the long side: the window around a point whose median counts


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
        and gets the value of the nearest known pixel; so do integers that mark holes (see `is_known`).
    disparity_range
        (far, near): the values that become -1 and +1, in the map's own unit (far > near unless larger is nearer; far
        may be infinite for a depth); values beyond are clipped. None: the 1 and 99 percentiles of the known values.
    kind
        "disparity": larger is nearer; "depth": a distance, whose reciprocal is taken; "inverted": larger is farther,
        but no distance, whose sign is changed.

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
    values = np.where(is_known(disparity), values, np.nan)
    if kind == "depth":
        with np.errstate(divide="ignore", over="ignore"):
            values = np.where(values > 0, 1 / values, np.nan)
            values[disparity == np.inf] = np.nan  # 1 / inf would be a distance; it marks what was not measured
    if kind == "inverted":
        values = -values
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("disparity must hold known values: finite, and positive if it is a depth; it has none")
    if not known.all():
        values = _filled(values, known)
    if ends is None:
        ends = np.percentile(values[known], (1, 99)).tolist()
        if not ends[0] < ends[1]:  # a small object before a plane
            ends = [float(values.min()), float(values.max())]
        if not ends[0] / 2 < ends[1] / 2:  # halved, see below: the smallest numbers become alike
            return np.zeros(values.shape, np.float32)
    far, near = ends
    # Halves: the difference of two large values may not be representable.
    place: NDArray[Any] = (np.clip(values, far, near) / 2 - far / 2) / (near / 2 - far / 2)
    focus: NDArray[np.float32] = np.clip(2 * place - 1, -1, 1).astype(np.float32)
    return focus


def is_known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which values of a map are known, (h, w) bool: the finite ones, of integers not those that mark holes.

    Stereo and depth cameras mark holes by the lowest value, 0 or less. It is a mark where it lies apart from all
    others, by more than a twentieth of their range, and covers less than a quarter of the map, whose others are more
    than one. A 0 that other values come near is a value: the farthest.
    """
    if values.dtype.kind == "f" or values.size < LEAST:
        return np.asarray(np.isfinite(values))
    known = values != values.min()
    others = values[known]
    if values.min() > 0 or known.mean() < 1 - HOLES or len(np.unique(others)) < FEW:
        return np.ones(values.shape, np.bool_)
    gap, reach = int(others.min()) - int(values.min()), int(others.max()) - int(others.min())
    return known if gap > max(1, MARKED * reach) else np.ones(values.shape, np.bool_)


def warn_if_no_distance(depth: NDArray[Any], name: str) -> None:
    """Warn of a depth map whose values no camera measures: from 0 on, or from 1 to 100 and more."""
    values = depth[is_known(depth)]
    there = values[(values >= 0) & (values < HALF_INFINITY)] if depth.dtype.kind == "f" else values[values >= 0]
    if not there.size:
        return
    near, far = np.percentile(there, (1, 99))
    if far > 0 and near * SPAN < far and (near > 0 or float(there[there > 0].min()) * SPAN < far):
        warnings.warn(
            f"{name} goes from {near:.3g} to {far:.3g}: are these distances? --inverted is for maps where larger is "
            "farther and that hold none",
            stacklevel=2,
        )


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
    if kind == "inverted" and -np.inf < near < far < np.inf:
        return [-far, -near]
    allowed = {"disparity": "far < near", "depth": "far > near > 0", "inverted": "far > near"}[kind]
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


def focus_at(disparity: NDArray[np.float32], x: float, y: float) -> float:
    """Return the focus, in [-1, 1], of what lies at a point of a photo: the median of a small window around it.

    Parameters
    ----------
    disparity
        (H, W) in focus units, of the upright photo.
    x, y
        Fractions of its width and height, 0 to 1 from the top left corner.

    Raises
    ------
    ValueError
        A point outside of the photo.
    """
    if not (0 <= x <= 1 and 0 <= y <= 1):  # NaN fails too
        raise ValueError(f"a point must have x and y from 0 to 1, got {x:g}, {y:g}")
    height, width = disparity.shape
    column, row = (min(int(part * side), side - 1) for part, side in ((x, width), (y, height)))
    reach = max(1, round(AROUND * max(height, width)))
    near = disparity[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    return float(np.clip(np.median(near), -1, 1))


def checked_disparity(disparity: Any, photo: NDArray[Any]) -> NDArray[np.float32]:
    """Return the disparity of a photo as float32; ValueError unless it has finite numbers and the photo's size."""
    size, real = np.shape(photo)[:2], isinstance(disparity, np.ndarray) and disparity.dtype.kind in "uif"
    if not real or disparity.shape != size or not np.isfinite(disparity).all():
        found = f"{disparity.dtype} {disparity.shape}" if isinstance(disparity, np.ndarray) else type(disparity)
        raise ValueError(f"disparity must be an array of finite numbers, of the photo's {size}, got {found}")
    return np.asarray(disparity, np.float32)

"""Focus brackets: photos of one scene, focused from near to far, become one all-in-focus photo and its disparity.

`focus_measure` finds which slice is the sharpest where. What has no texture gets the disparity of its surroundings,
spread along edges (Gastal & Oliveira, "Domain transform for edge-aware image and video processing", SIGGRAPH 2011). The
sharp photo is blended from the sharpest slices, band by band (Burt & Adelson, TOG 1983). For two slices alone,
`two_slices` is better. `render` then focuses the result anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.ndimage import zoom
from scipy.optimize import minimize_scalar

from refocal.depth.edges import gaussian, median, spread
from refocal.depth.from_focus.alignment import find_poses
from refocal.depth.from_focus.focus_measure import REACH, STOP, find_peaks, reduction, rough_photo
from refocal.depth.from_focus.pose import Pose, warped
from refocal.depth.from_focus.two_slices import depth_from_defocus
from refocal.images.image import as_photo, checked_pixels, stretched
from refocal.render.reference import render

DOUBTED, KNOWN = 0.3, 0.7  # confidence below which disparity is that of the surroundings, from which it is the measured
FIT_SIDE = 384  # px: long side at which the aperture is estimated
FIT_WIDEST = 0.1  # of the long side: the largest aperture that is tried

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Bracket:
    """What a focus bracket holds, seen as its middle slice (number len // 2) sees it.

    Attributes
    ----------
    photo : ndarray
        (H, W, 3) float32, sRGB in [0, 1], sharp everywhere.
    disparity : ndarray
        (H, W) float32 in units of focus: -1 the farthest slice, +1 the nearest.
    confidence : ndarray
        (H, W) float32 in [0, 1]; where it is low, the disparity is that of the surroundings.
    focus : tuple of float
        Focus of each slice.
    poses : tuple of Pose
        How each slice is laid over the middle one.
    """

    photo: Plane
    disparity: Plane
    confidence: Plane
    focus: tuple[float, ...]
    poses: tuple[Pose, ...]


def fuse_bracket(
    slices: Sequence[NDArray[Any]], *, focus: Sequence[float] | None = None, register: bool = True
) -> Bracket:
    """Fuse a focus bracket into a sharp photo with disparity.

    Slices are read one at a time, four times each: a sequence that reads files needs no memory for them, and what is
    needed beside is some 130 bytes a pixel whatever K is. Sharpness is measured at a long side of some 2000 px at most.

    Parameters
    ----------
    slices : sequence of ndarray
        K >= 2 photos from the nearest to the farthest focus, (H, W, 3) or (H, W), uint8, uint16 or float32 in [0, 1].
    focus : sequence of float, optional
        Focus of each slice, falling, within [-1, 1]; by default linear from +1 to -1.
    register : bool
        Lay the slices over the middle one first: scale, shift and rotation. Exposure is evened out in any case.

    Raises
    ------
    ValueError
        One line: fewer than 2 slices, sizes that differ, another scene, a type or a focus that is not allowed.
    """
    levels = _checked(slices, focus)
    poses = find_poses(slices, register=register)
    if len(slices) == 2:
        return _fuse_two(slices, levels, poses)
    guide, shared = rough_photo(slices, poses)
    disparity, confidence, sharpest = find_peaks(slices, poses, guide, levels)
    confidence *= shared  # what the sharpest slice may have missed
    disparity, confidence, sharpest = _enlarged(disparity, confidence, sharpest, slices[0].shape[:2])
    photo = _blend(slices, poses, sharpest)
    disparity = _filled(disparity, confidence, photo)
    return Bracket(photo, disparity, confidence, tuple(levels.tolist()), poses)


def _fuse_two(slices: Sequence[NDArray[Any]], levels: NDArray[np.float64], poses: tuple[Pose, ...]) -> Bracket:
    (near, there), (far, here) = (warped(as_photo(one), pose) for one, pose in zip(slices, poses, strict=True))
    found = depth_from_defocus(near, far)
    disparity = levels[1] + (found.disparity + 1) / 2 * (levels[0] - levels[1])
    confidence = found.confidence * (there & here)
    return Bracket(found.photo, disparity.astype(np.float32), confidence, tuple(levels.tolist()), poses)


def fit_aperture(bracket: Bracket, slices: Sequence[NDArray[Any]]) -> float:
    """Find the aperture, in pixels, whose rendering comes closest to the nearest and the farthest slice.

    Parameters
    ----------
    bracket : Bracket
        As fused from `slices`.
    slices : sequence of ndarray
        As given to `fuse_bracket`.

    Returns
    -------
    float
        Between 0 and a tenth of the long side; estimated at 384 px.
    """
    factor = max(1.0, max(bracket.disparity.shape) / FIT_SIDE)
    photo, disparity = (_smaller(one, factor) for one in (bracket.photo, bracket.disparity))
    wanted = []
    for k in (0, len(slices) - 1):
        seen, inside = warped(as_photo(slices[k]), bracket.poses[k])
        wanted.append((bracket.focus[k], _smaller(seen, factor), _smaller(inside.astype(np.float32), factor) > 0.99))

    def error(aperture: float) -> float:
        span = aperture * 6 / 7  # 7 views stand for a pupil that reaches half a step beyond the outer ones
        pictures = [(render(photo, disparity, f, span, grid=(7, 7)), seen, inside) for f, seen, inside in wanted]
        return float(sum(np.mean((picture - seen)[inside] ** 2) for picture, seen, inside in pictures))

    tried = [0.0, *np.geomspace(1, FIT_WIDEST * max(disparity.shape), 7).tolist()]
    best = int(np.argmin([error(aperture) for aperture in tried]))
    bounds = (tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)])
    found = minimize_scalar(error, bounds=bounds, method="bounded", options={"xatol": 0.1, "maxiter": 8})
    return float(found.x * factor)


def _checked(slices: Sequence[NDArray[Any]], focus: Sequence[float] | None) -> NDArray[np.float64]:
    if len(slices) < 2:
        raise ValueError(f"a bracket needs 2 slices or more, got {len(slices)}")
    sizes = [checked_pixels(one, f"slice {k}").shape[:2] for k, one in enumerate(slices)]
    for k, size in enumerate(sizes):
        if size != sizes[0]:
            raise ValueError(f"slices must have one size, got {sizes[0]} for slice 0 and {size} for slice {k}")
    if min(sizes[0]) < 16:
        raise ValueError(f"slices must be 16 pixels or more a side, slice 0 has {sizes[0]}")
    if focus is None:
        return np.linspace(1, -1, len(slices))
    levels = np.asarray(focus, np.float64)
    if levels.shape != (len(slices),) or not (np.abs(levels) <= 1).all() or not (np.diff(levels) < 0).all():
        raise ValueError(f"focus must be {len(slices)} falling numbers within [-1, 1], got {list(focus)}")
    return levels


def _enlarged(
    disparity: Plane, confidence: Plane, sharpest: NDArray[np.int16], size: tuple[int, ...]
) -> tuple[Plane, Plane, NDArray[np.int16]]:
    """Bring what was measured to the size of the slices."""
    part = reduction(size)
    if part == 1:
        return disparity, confidence, sharpest
    rows, columns = (np.arange(length) for length in size)
    both = stretched(np.stack([disparity, confidence], -1), rows, columns, (1 / part, 1 / part))
    down, across = (np.minimum(np.arange(n) // part, m - 1) for n, m in zip(size, sharpest.shape, strict=True))
    return both[..., 0].copy(), both[..., 1].copy(), sharpest[np.ix_(down, across)]


def _filled(disparity: Plane, confidence: Plane, photo: Plane) -> Plane:
    """Give places of low confidence what their surroundings have, along the edges of the photo."""
    weight = np.maximum(confidence, 1e-4) ** 2
    around = spread(np.stack([weight * disparity, weight], axis=-1), photo, REACH * max(photo.shape), STOP)
    keep = np.clip((confidence - DOUBTED) / (KNOWN - DOUBTED), 0, 1)
    filled = keep * disparity + (1 - keep) * around[..., 0] / around[..., 1]
    return median(filled.astype(np.float32))


def _blend(slices: Sequence[NDArray[Any]], poses: Sequence[Pose], sharpest: NDArray[np.int16]) -> Plane:
    """Blend the sharpest slices, each band of frequencies by itself."""
    count = max(1, int(np.log2(min(sharpest.shape))) - 2)
    bands: list[Plane] = []
    for k, (one, pose) in enumerate(zip(slices, poses, strict=True)):
        photo, weight = warped(as_photo(one), pose)[0], (sharpest == k).astype(np.float32)
        for level in range(count):
            low = gaussian(photo, 1)[::2, ::2].copy() if level < count - 1 else np.zeros_like(photo[::2, ::2])
            if len(bands) <= level:
                bands.append(np.zeros_like(photo))
            _add_band(photo, low, weight, bands[level])
            photo, weight = low, gaussian(weight, 1)[::2, ::2].copy()
    whole = bands.pop()
    while bands:
        whole = bands[-1] + _doubled(whole, bands.pop().shape[:2])
    return whole.clip(0, 1)


@njit(parallel=True, fastmath=True, cache=True)
def _add_band(photo: Plane, low: Plane, weight: Plane, band: Plane) -> None:
    """Add what a photo has beyond a smaller one, `_doubled`, times a weight (H, W)."""
    height, width, channels = photo.shape
    for y in prange(height):
        above, below = low[y // 2], low[min((y + 1) // 2, low.shape[0] - 1)]
        for x in range(width):
            left, right = x // 2, min((x + 1) // 2, low.shape[1] - 1)
            for c in range(channels):
                around = above[left, c] + above[right, c] + below[left, c] + below[right, c]
                band[y, x, c] += weight[y, x] * (photo[y, x, c] - around / 4)


def _doubled(picture: Plane, size: tuple[int, ...]) -> Plane:
    """Return what lies at every second pixel at all of them: between two pixels their mean."""
    for length in size[:2]:  # down, then, turned, across
        wide = np.empty((length, *picture.shape[1:]), np.float32)
        wide[::2] = picture
        between = wide[1::2]
        between[:] = picture[: len(between)]
        both = picture[1 : 1 + len(between)]
        between[: len(both)] += both
        between[: len(both)] /= 2
        picture = wide.swapaxes(0, 1)
    return picture


def _smaller(picture: Plane, factor: float) -> Plane:
    if factor == 1:
        return picture
    sides = (1 / factor, 1 / factor, 1)[: picture.ndim]
    return np.asarray(zoom(gaussian(picture, factor / 2), sides, order=1, grid_mode=True, mode="nearest"))

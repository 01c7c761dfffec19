"""Focus brackets: photos of one scene, focused from near to far, become one all-in-focus photo and its disparity.

Where a slice is sharp its second differences are large (sum-modified Laplacian: Nayar & Nakagawa, TPAMI 1994). Their
energy is gathered along the edges of the picture (guided filter: He et al., TPAMI 2013); over the slices it falls off
from its peak about as a Gaussian of focus, so a parabola through its logarithm finds the peak between slices. What has
no texture gets the disparity of its surroundings, spread along edges (Gastal & Oliveira, "Domain transform for
edge-aware image and video processing", SIGGRAPH 2011). The sharp photo is blended band by band (Burt & Adelson, TOG
1983). For two slices alone, `two_slices` is better. `render` then focuses the result anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter, zoom
from scipy.optimize import minimize_scalar

from refocal.depth.edges import guided, spread
from refocal.depth.from_focus.alignment import Pose, find_poses, warped
from refocal.depth.from_focus.two_slices import depth_from_defocus
from refocal.images.colour import LUMA
from refocal.images.image import as_photo, checked_pixels
from refocal.render.reference import render

SCALES = (1, 2, 4)  # px: distances over which second differences are taken
WINDOW = 1 / 200  # radius of the gathering, of the long side
AROUND = 0.3  # share of what is gathered from afar, along edges
DOUBTED, KNOWN = 0.3, 0.7  # confidence below which disparity is that of the surroundings, from which it is the measured
REACH = 0.1  # of filling, of the long side
STOP = 0.1  # colour difference that stops it as going its whole reach does
STEEP = 8  # power of the measure that weighs slices in the sharp photo
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

    Costs, beside the slices, K H W floats of memory; slices are read one at a time.

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
    measures, shared = _measure(slices, poses)
    disparity, confidence = _peak(measures, levels)
    confidence *= shared  # what the sharpest slice may have missed
    photo = _blend(slices, poses, measures)
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


def _measure(slices: Sequence[NDArray[Any]], poses: Sequence[Pose]) -> tuple[Plane, NDArray[np.bool_]]:
    """Return how sharp each slice is at each place, (K, H, W), and which places all slices reach, (H, W)."""
    measures = np.empty((len(slices), *slices[0].shape[:2]), np.float32)
    shared = np.ones(measures.shape[1:], bool)
    guide, best = np.zeros((*shared.shape, 3), np.float32), np.full(shared.shape, -1, np.float32)
    for k, (one, pose) in enumerate(zip(slices, poses, strict=True)):
        photo, inside = warped(as_photo(one), pose)
        grey = photo @ LUMA
        measures[k] = sum(_modified_laplacian(grey, scale) for scale in SCALES) * inside
        rough = gaussian_filter(measures[k], 2)  # the sharpest of each place guides: roughly the sharp photo
        guide[rough > best] = photo[rough > best]
        best, shared = np.maximum(best, rough), shared & inside
    radius = max(3, round(WINDOW * max(shared.shape)))
    for plane in measures:
        around = gaussian_filter(plane, radius / 2)
        near = np.maximum(guided(guide @ LUMA, around, radius, 1e-2), 0.1 * around)
        # What has no texture is as sharp as what lies around it.
        plane[:] = near + AROUND * spread(near[..., None].copy(), guide, REACH * max(shared.shape), STOP)[..., 0] + 1e-5
    return measures, shared


def _modified_laplacian(grey: Plane, scale: int) -> Plane:
    soft = np.pad(gaussian_filter(grey, 0.6 * scale), scale, mode="reflect")
    inner, n = soft[scale:-scale, scale:-scale], 2 * scale
    down = np.abs(2 * inner - soft[:-n, scale:-scale] - soft[n:, scale:-scale])
    return np.asarray(down + np.abs(2 * inner - soft[scale:-scale, :-n] - soft[scale:-scale, n:]))


def _peak(measures: Plane, levels: NDArray[np.float64]) -> tuple[Plane, Plane]:
    """Return the focus at which the measure peaks, and how sure that is."""
    strongest = measures.max(axis=0)
    texture = np.clip(strongest / 0.03, 0, 1)
    logs = np.log(measures)
    best = np.argmax(logs, axis=0)
    inner = np.clip(best, 1, len(levels) - 2)[None]
    before, at, after = (np.take_along_axis(logs, inner + k, axis=0)[0] for k in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-6)
    place = np.clip(inner[0] + np.clip((after - before) / (-2 * bend), -1, 1), 0, len(levels) - 1)
    place = np.where(np.abs(place - best) <= 0.75, place, best)
    confidence = texture * np.clip(3 * (1 - np.median(measures, axis=0) / strongest), 0, 1)
    disparity = np.interp(place, np.arange(len(levels)), levels)
    return disparity.astype(np.float32), confidence.astype(np.float32)


def _filled(disparity: Plane, confidence: Plane, photo: Plane) -> Plane:
    """Give places of low confidence what their surroundings have, along the edges of the photo."""
    weight = np.maximum(confidence, 1e-4) ** 2
    around = spread(np.stack([weight * disparity, weight], axis=-1), photo, REACH * max(photo.shape), STOP)
    keep = np.clip((confidence - DOUBTED) / (KNOWN - DOUBTED), 0, 1)
    filled = keep * disparity + (1 - keep) * around[..., 0] / around[..., 1]
    return median_filter(filled.astype(np.float32), 5)


def _blend(slices: Sequence[NDArray[Any]], poses: Sequence[Pose], measures: Plane) -> Plane:
    """Blend the slices, each band of frequencies by itself, by the power STEEP of their measures."""
    strongest = measures.max(axis=0)
    total = sum((plane / strongest) ** STEEP for plane in measures)
    bands: list[Plane] = []
    for one, pose, plane in zip(slices, poses, measures, strict=True):
        photo, weight = warped(as_photo(one), pose)[0], (plane / strongest) ** STEEP / total
        for level in range(count := max(1, int(np.log2(min(weight.shape))) - 2)):
            low = gaussian_filter(photo, (1, 1, 0))[::2, ::2] if level < count - 1 else np.zeros_like(photo[::2, ::2])
            band = (photo - _doubled(low, photo.shape[:2])) * weight[..., None]
            if len(bands) <= level:
                bands.append(band)
            else:
                bands[level] += band
            photo, weight = low, gaussian_filter(weight, 1)[::2, ::2]
    whole = bands.pop()
    while bands:
        whole = bands[-1] + _doubled(whole, bands.pop().shape[:2])
    return whole.clip(0, 1)


def _doubled(picture: Plane, size: tuple[int, ...]) -> Plane:
    rows, columns = picture.shape[:2]
    return np.asarray(zoom(picture, (size[0] / rows, size[1] / columns, 1), order=1))


def _smaller(picture: Plane, factor: float) -> Plane:
    if factor == 1:
        return picture
    sides = (1 / factor, 1 / factor, 1)[: picture.ndim]
    blur = (factor / 2, factor / 2, 0)[: picture.ndim]
    return np.asarray(zoom(gaussian_filter(picture, blur), sides, order=1, grid_mode=True, mode="nearest"))

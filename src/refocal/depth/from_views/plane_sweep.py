"""Disparity of a light field by plane sweep, and the range of slopes that the light field is focused over."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter

from refocal.depth.edges import GuidedFilter, gaussian
from refocal.depth.from_views.matching_cost import Detail, cost_volume, detail_of, planes_between, reference_view
from refocal.shiftadd.slopes import FocusRange

# A range is looked for among displacements, between the outermost views, of up to this share of the long side.
WIDEST = 0.08
NARROWEST = 0.05  # px/view: a flat scene still gets a range to focus over
COARSE = 280  # px: long side of the views of the coarse sweep, and of what percentiles are taken of
CONFIDENT = 0.3
WINDOW, WIDE, EPSILON = 4, 16, 1e-4  # px, of the guided filter; wide where nothing is known; and its epsilon
ALIKE = 1 / 40  # of the span that was found: how far a pixel may be off the median of its surroundings


def plane_sweep(
    views: NDArray[Any], slopes: NDArray[np.floating[Any]] | list[float], *, mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Estimate the disparity of the reference view (the middle one) by plane sweep.

    For each slope the views are laid over the reference view; where they agree, the slope is the disparity. What is
    compared is detail over local contrast, so that vignetted views agree too; differences are cut off, so that what a
    few views do not see does not decide; costs are aggregated along the edges of the picture (Collins, CVPR 1996;
    guided filter: He et al., TPAMI 2013), the lowest is refined by a parabola.

    Parameters
    ----------
    views : ndarray
        (U, V, H, W, 3) uint8 or float32; one view is read at a time.
    slopes : array
        K rising slopes in px/view, evenly spaced, at least 3.
    mask : ndarray, optional
        (U, V) bool: views that count.

    Returns
    -------
    disparity : ndarray
        (H, W) float32, px/view, within the slopes.
    confidence : ndarray
        (H, W) float32 in [0, 1]: how much better the best slope is than a typical one; where it is low (no texture),
        the disparity is that of the surroundings.

    Raises
    ------
    ValueError
        Fewer than two views, fewer than 3 slopes, or slopes that do not rise evenly.
    """
    planes = np.asarray(slopes, dtype=np.float64)
    if planes.ndim != 1 or len(planes) < 3 or not np.allclose(np.diff(planes), planes[1] - planes[0]):
        raise ValueError(f"slopes must be 3 or more, evenly spaced, got {np.round(planes, 4).tolist()}")
    if planes[1] <= planes[0]:
        raise ValueError(f"slopes must rise, got {planes[0]:g} before {planes[1]:g}")
    reference = detail_of(views[reference_view(views, mask)])
    cost = cost_volume(views, mask, reference, planes)
    smooth = GuidedFilter(reference.grey, WINDOW, EPSILON)
    for plane in cost:
        plane[:] = smooth(plane)
    disparity, depth_of_minimum = refined_minimum(cost, planes)
    texture = gaussian(np.abs(reference.detail), 2)
    confidence = np.clip(depth_of_minimum * 2.5, 0, 1) * np.clip(texture / 0.1, 0, 1)
    return _filled(disparity, confidence, reference), confidence.astype(np.float32)


def find_range(
    views: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, limits: tuple[float, float] | None = None
) -> FocusRange:
    """Find the range of disparities of a light field; see `find_disparity`."""
    return find_disparity(views, mask=mask, limits=limits)[0]


def find_disparity(
    views: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, limits: tuple[float, float] | None = None
) -> tuple[FocusRange, NDArray[np.float32], NDArray[np.float32]]:
    """Find the range of disparities of a light field, and its disparity within it.

    A coarse sweep, of reduced views, looks at all that is possible; a fine one where that found something.

    Parameters
    ----------
    views, mask
        As in `plane_sweep`.
    limits : (float, float), optional
        Slopes to look between; by default what displaces the outermost views by 8 % of the long side.

    Returns
    -------
    FocusRange
        The 1st and 99th percentile of the disparity where it is known, weighted by confidence.
    disparity, confidence : ndarray
        As `plane_sweep` gives them.

    Raises
    ------
    ValueError
        Where there are fewer than two views, or too little texture.
    """
    step = max(1, round(max(views.shape[2:4]) / COARSE))
    small = views[:, :, ::step, ::step]
    span = max(views.shape[:2]) - 1
    widest = WIDEST * max(views.shape[2:4]) / max(span, 1)
    low, high = limits or (-widest, widest)
    planes = max(9, min(65, round((high - low) * span / 2 / step / 0.8) + 1))
    found = _percentiles(*plane_sweep(small, np.linspace(low, high, planes) / step, mask=mask), edge=0.5)
    margin = (high - low) / (planes - 1)
    low, high = max(low, found[0] * step - margin), min(high, found[1] * step + margin)
    disparity, confidence = plane_sweep(views, planes_between(low, high, views.shape[:2]), mask=mask)
    far, near = _percentiles(disparity, confidence, edge=1)
    middle, half = (far + near) / 2, max(near - far, NARROWEST) / 2
    focus_range = FocusRange(float(middle - half), float(middle + half))
    return focus_range, disparity.clip(focus_range.far, focus_range.near), confidence


def check_orientation(views: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> list[str]:
    """Tell whether rows and columns of the grid look swapped, or one axis mirrored.

    The views are laid over each other at their best slope, pixel by pixel, as they are and the other ways round: where
    another way they agree much better, the light field was read wrongly. Both axes mirrored is the other sign of
    disparity, which is ambiguous without occlusions, and is not checked.

    Returns
    -------
    list of str
        Nothing, or a line that says what to set.
    """
    rows, columns = views.shape[:2]
    if min(rows, columns) < 2:
        return []
    mask = np.ones((rows, columns), bool) if mask is None else mask
    step = max(1, round(max(views.shape[2:4]) / 200))
    ways = {
        "": (views, mask),
        "one axis of the views looks mirrored: set flip_rows (--flip-rows) or flip_columns (--flip-columns); "
        "whichever makes near things near": (views[::-1], mask[::-1]),
    }
    if rows == columns:
        swapped, turned = views.swapaxes(0, 1), mask.T
        ways[
            "rows and columns of the views look swapped: set order = column (--order column), or row if it was set"
        ] = (
            swapped,
            turned,
        )
        ways[
            "rows and columns of the views look swapped and one axis mirrored: set order = column (--order column) and "
            "flip_rows (--flip-rows) or flip_columns (--flip-columns), whichever makes near things near"
        ] = (swapped[::-1], turned[::-1])
    costs = {warning: _best_agreement(*way, step) for warning, way in ways.items()}
    best = min(costs, key=costs.__getitem__)
    return [best] if best and costs[best] < 0.8 * costs[""] else []


def _best_agreement(views: NDArray[Any], mask: NDArray[np.bool_], step: int) -> float:
    """Return the mean lowest cost over textured pixels."""
    small = views[:, :, ::step, ::step]
    widest = WIDEST * max(small.shape[2:4]) / (max(small.shape[:2]) - 1)
    reference = detail_of(small[reference_view(small, mask)])
    cost = cost_volume(small, mask, reference, np.linspace(-widest, widest, 41))
    lowest = np.min([uniform_filter(plane, 5) for plane in cost], axis=0)
    texture = gaussian(np.abs(reference.detail), 2)
    return float(lowest[texture >= np.median(texture)].mean())


def _percentiles(disparity: NDArray[np.float32], confidence: NDArray[np.float32], edge: float) -> tuple[float, float]:
    """Return the ends of what is known, each pixel counting by its confidence; lone outliers count for nothing."""
    step = max(1, round(max(disparity.shape) / COARSE))
    disparity, confidence = disparity[::step, ::step], confidence[::step, ::step]
    alike = np.abs(disparity - median_filter(disparity, 7)) < (disparity.max() - disparity.min()) * ALIKE
    known = (confidence > CONFIDENT) & alike
    if known.sum() < max(16, disparity.size // 500):
        raise ValueError("the views show too little texture, or fit together at no slope: no disparity can be found")
    rising = np.argsort(disparity[known])
    share = np.cumsum(confidence[known][rising], dtype=np.float64)
    low, high = np.searchsorted(share, np.array([edge, 100 - edge]) / 100 * share[-1])
    values = disparity[known][rising]
    return float(values[low]), float(values[high])


def refined_minimum(
    cost: NDArray[np.float32], slopes: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the slope of the lowest cost, refined by a parabola through its neighbours, and how low it is."""
    best = np.argmin(cost, axis=0)
    inner = np.clip(best, 1, len(slopes) - 2)[None]
    before, at, after = (np.take_along_axis(cost, inner + k, axis=0)[0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    offset = np.where(bend > 1e-9, (before - after) / (2 * np.maximum(bend, 1e-9)), 0)
    place = np.where(best == inner[0], inner[0] + np.clip(offset, -0.5, 0.5), best)
    lowest, typical = cost.min(axis=0), np.median(cost, axis=0)
    disparity = slopes[0] + place * (slopes[1] - slopes[0])
    return disparity.astype(np.float32), 1 - lowest / np.maximum(typical, 1e-6)


def _filled(disparity: NDArray[np.float32], confidence: NDArray[np.float32], reference: Detail) -> NDArray[np.float32]:
    """Give pixels of low confidence what their surroundings have, along the picture's edges."""
    weight = np.maximum(confidence, 0.01) ** 2
    filled = disparity
    for radius in (WINDOW, WIDE):
        smooth = GuidedFilter(reference.grey, radius, EPSILON)
        around = smooth(weight * filled) / np.maximum(smooth(weight), 1e-6)
        keep = np.clip(confidence / CONFIDENT, 0, 1)
        filled = keep * filled + (1 - keep) * np.clip(around, disparity.min(), disparity.max())
    return filled.astype(np.float32)

"""The disparity of a light field, precise enough to render its middle view with a larger aperture.

The disparity comes from two plane sweeps. The first (`focus.plane_sweep`) compares detail over local contrast: it is
hard to mislead, but near things come out some pixels too fat. The second looks only between the slopes that the first
found around each pixel, and compares colours and their gradients, cut off, in windows that follow edges (Rhemann et
al., "Fast cost-volume filtering", CVPR 2011). What one side of the views sees, another does not beside a near thing:
the half of the views that agrees best counts (Kang et al., "Handling occlusions in dense multi-view stereo", CVPR
2001). What is not certain gets the disparity of its surroundings, along the photo's edges.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, median_filter, minimum_filter

from refocal.depth.disparity import Depth
from refocal.depth.edges import GuidedFilter, spread
from refocal.depth.from_views.matching_cost import add_differences, planes_between, reference_view
from refocal.depth.from_views.plane_sweep import find_disparity, plane_sweep, refined_minimum
from refocal.images.colour import LUMA
from refocal.images.image import as_photo
from refocal.lightfields.lightfield import LightField
from refocal.shiftadd.slopes import FocusRange, aperture_of, lens_aperture

COLOUR_CUT, GRADIENT_CUT = 0.06, 0.02  # differences count no more than this
GRADIENT_WEIGHT = 6  # beside the colour, which counts 1
RADIUS = 4  # px: windows of the second sweep
AROUND = 25  # px: window that takes the first sweep's slopes, twice as wide as its detail reaches
SHADE = 20  # px: views are made as bright as the reference over so large a blur, for corner views are vignetted
NOISE = 0.002  # of the cost: how far the best slope must lie below others for certain
UNSURE, SURE = (0.2, 0.3), (0.5, 0.6)  # of the second and the first sweep: filled below, kept above
REACH, STOP = 0.1, 0.1  # of filling: of the long side; colour difference that stops it

Plane = NDArray[np.float32]


def find_depth(light_field: LightField, focus_range: FocusRange | None = None) -> Depth:
    """Return the middle view of a light field and its disparity, and the aperture that the light field has.

    Costs some 3 s for 5 x 5 views of 376 x 540 on two cores, and the memory of two cost volumes: H W floats for each of
    17 to 129 slopes.

    Parameters
    ----------
    light_field : LightField
        In canonical order; two valid views or more.
    focus_range : FocusRange, optional
        The slopes of focus -1 and 1; by default found.

    Returns
    -------
    Depth
        Its disparity is in units of focus; its `aperture` is that of the lens that the views stand for.

    Raises
    ------
    ValueError
        One line: too few views, or too little texture to find the range.
    """
    field = light_field.odd()
    views, mask = field.views, field.mask
    if focus_range is None:
        focus_range, *swept = find_disparity(views, mask=mask)
        slopes = planes_between(focus_range.far, focus_range.near, field.grid)
    else:
        slopes = planes_between(focus_range.far, focus_range.near, field.grid)
        swept = [*plane_sweep(views, slopes, mask=mask)]
    view: NDArray[Any] = views[reference_view(views, mask)]
    photo = as_photo(view)
    first = median_filter(filled(swept[0], swept[1], photo, UNSURE[1], SURE[1]), 7)
    cost = _agreement(views, mask, slopes)
    confidence = _certainty(cost)
    step = slopes[1] - slopes[0]
    low, high = minimum_filter(first, AROUND) - step, maximum_filter(first, AROUND) + step
    for k, slope in enumerate(slopes):
        cost[k] += (slope < low) | (slope > high)
    found = refined_minimum(cost, slopes)[0].clip(low, high)
    disparity = np.clip(focus_range.focus(filled(found, confidence, photo, UNSURE[0], SURE[0])), -1, 1)
    source = f"plane sweep of {int(mask.sum())} views"
    aperture = lens_aperture(aperture_of(field.grid, focus_range), field.grid)
    return Depth(view, disparity.astype(np.float32), source, aperture)


def filled(disparity: Plane, confidence: Plane, photo: Plane, unsure: float, sure: float) -> Plane:
    """Give places of low confidence what their surroundings have, along the edges of the photo, all of (H, W).

    Below `unsure` the surroundings' value is taken, from `sure` on the pixel's own.
    """
    weight = confidence**2 + 1e-8
    seen = np.stack([weight * disparity, weight], axis=-1).astype(np.float32)
    long = max(photo.shape)
    near = spread(seen.copy(), photo, REACH * long, STOP)
    afar = spread(seen, photo, 2 * REACH * long, 4 * STOP)  # over faint edges, where near nothing is known
    total = near + 0.01 * afar
    keep = np.clip((confidence - unsure) / (sure - unsure), 0, 1)
    made = keep * disparity + (1 - keep) * total[..., 0] / total[..., 1]
    return np.asarray(median_filter(made.astype(np.float32), 5))


def _agreement(views: NDArray[Any], mask: NDArray[np.bool_], slopes: NDArray[np.float64]) -> Plane:
    """Return the cost of each slope, (K, H, W): the lowest of the views above, below, left and right."""
    row, column = reference_view(views, mask)
    photo = as_photo(views[row, column])
    light, grey = _shade(photo), photo @ LUMA
    reference = list(_compared(photo, light))
    halves: tuple[Callable[[int, int], bool], ...] = (
        lambda u, _: u < row,
        lambda u, _: u > row,
        lambda _, v: v < column,
        lambda _, v: v > column,
    )
    best, smooth = np.full((len(slopes), *grey.shape), np.inf, np.float32), GuidedFilter(grey, RADIUS, 1e-4)
    for half in halves:
        cost, count = np.zeros_like(best), 0
        for u, v in np.argwhere(mask).tolist():
            if half(u, v):
                for (one, cut), (other, _) in zip(_compared(as_photo(views[u, v]), light), reference, strict=True):
                    add_differences(one, other, (u - row) * slopes, (v - column) * slopes, cut, cost)
                count += 1
        if count:
            for plane, lowest in zip(cost, best, strict=True):
                np.minimum(lowest, smooth(plane / count), out=lowest)
    return best


def _shade(photo: Plane) -> Plane:
    return np.asarray(gaussian_filter(photo, (SHADE, SHADE, 0)) + 0.02)


def _compared(photo: Plane, light: Plane) -> Iterator[tuple[Plane, float]]:
    """Yield what is compared of a view, five planes weighted to sum up, and at which difference each is cut off."""
    even = photo * (light / _shade(photo))
    for channel in range(3):
        yield np.ascontiguousarray(even[..., channel] / 3), COLOUR_CUT / 3
    for gradient in np.gradient(even @ LUMA):
        yield np.asarray(gradient * (GRADIENT_WEIGHT / 2), np.float32), GRADIENT_CUT * GRADIENT_WEIGHT / 2


def _certainty(cost: Plane) -> Plane:
    """Return in [0, 1] how far the lowest cost lies below that of any slope that is no neighbour of it."""
    best, lowest = np.argmin(cost, axis=0), cost.min(axis=0)
    other = np.full_like(lowest, np.inf)
    for k, plane in enumerate(cost):
        np.minimum(other, plane, out=other, where=np.abs(k - best) > 2)
    sure = np.clip((other - lowest) / NOISE, 0, 1) * np.clip(3 * (1 - lowest / np.maximum(other, 1e-6)), 0, 1)
    return np.asarray(sure, np.float32)

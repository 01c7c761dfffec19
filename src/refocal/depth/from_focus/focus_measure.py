"""Where the slices of a focus bracket are sharp: one slice at a time.

The measure is the sum-modified Laplacian (Nayar & Nakagawa, TPAMI 1994), gathered along the edges of the picture
(guided filter: He et al., TPAMI 2013). Over the slices it falls off from its peak about as a Gaussian of focus, so a
parabola through its logarithm finds the peak between slices.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from refocal.depth.edges import GuidedFilter, gaussian, spread
from refocal.depth.from_focus.pose import Pose, warped
from refocal.images.colour import LUMA
from refocal.images.image import as_photo, stretched

SIDE = 2000  # px: about the long side at which sharpness is measured
SCALES = (1, 2, 4)  # px: distances over which second differences are taken
WINDOW = 1 / 200  # radius of the gathering, of the long side
AROUND = 0.3  # share of what is gathered from afar, along edges
REACH = 0.1  # of that, and of filling, of the long side
AFAR_SIDE = 1200  # px: long side at which that is done at most
STOP = 0.1  # colour difference that stops it as going its whole reach does

Plane = NDArray[np.float32]


def reduction(size: tuple[int, ...]) -> int:
    """Return which part of the size sharpness is measured at: what is sharp at full size only is sharp enough."""
    return max(1, round(max(size) / SIDE))


def _warped_grey(one: NDArray[Any], pose: Pose) -> tuple[Plane, NDArray[np.bool_]]:
    gain, grey, part = float(np.dot(pose.gain, LUMA)), as_photo(one) @ LUMA, reduction(one.shape)
    if part > 1:
        height, width = (length // part for length in grey.shape)
        grey = grey[: height * part, : width * part].reshape(height, part, width, part).mean((1, 3))
    seen, inside = warped(grey[..., None], replace(pose, gain=(gain, gain, gain)))
    return seen[..., 0], inside


def rough_photo(slices: Sequence[NDArray[Any]], poses: Sequence[Pose]) -> tuple[Plane, NDArray[np.bool_]]:
    """Return roughly the sharp photo in grey, and which places all slices reach, both reduced."""
    height, width = (length // reduction(slices[0].shape) for length in slices[0].shape[:2])
    guide, shared = np.zeros((height, width), np.float32), np.ones((height, width), bool)
    best = np.full_like(guide, -1)
    for one, pose in zip(slices, poses, strict=True):
        grey, inside = _warped_grey(one, pose)
        sharpness = gaussian(_sharpness(grey) * inside, 2)
        np.copyto(guide, grey, where=sharpness > best)
        np.maximum(best, sharpness, out=best)
        shared &= inside
    return guide, shared


def _sharpness(grey: Plane) -> Plane:
    """Return the sum-modified Laplacian over the distances SCALES."""
    total = np.zeros_like(grey)
    for scale in SCALES:
        _add_differences(gaussian(grey, 0.6 * scale), scale, total)
    return total


@njit(parallel=True, fastmath=True, cache=True)
def _add_differences(grey: Plane, scale: int, total: Plane) -> None:
    """Add the second differences over a distance, down and across; the border is a mirror."""
    height, width = grey.shape
    for y in prange(height):
        here, up, low = grey[y], grey[abs(y - scale)], grey[height - 1 - abs(height - 1 - y - scale)]
        for x in range(width):
            total[y, x] += abs(2 * here[x] - up[x] - low[x])
        for x in range(scale, width - scale):
            total[y, x] += abs(2 * here[x] - here[x - scale] - here[x + scale])
        for k in range(2 * scale):
            x = k if k < scale else width - 1 - (k - scale)
            total[y, x] += abs(2 * here[x] - here[abs(x - scale)] - here[width - 1 - abs(width - 1 - x - scale)])


def _gathered(sharpness: Plane, guide: Plane, smooth: GuidedFilter) -> Plane:
    """Return how sharp the surroundings of each place are, along the edges of the guide."""
    around = gaussian(sharpness, _window(guide) / 2)
    near = np.maximum(smooth(around), 0.1 * around)
    # What has no texture is as sharp as what lies around it: so far that every few pixels tell.
    step = -(-max(guide.shape) // AFAR_SIDE)
    few, few_guide = (gaussian(one, step / 2)[::step, ::step] if step > 1 else one for one in (near, guide))
    afar = spread(few[..., None].copy(), few_guide[..., None], REACH * max(few.shape), STOP / 3)
    if step > 1:
        rows, columns = (np.arange(length) for length in guide.shape)
        afar = stretched(afar, rows + (step - 1) / 2, columns + (step - 1) / 2, (1 / step, 1 / step))
    return np.asarray(near + AROUND * afar[..., 0] + 1e-5)


def _window(guide: Plane) -> int:
    return int(max(3, round(WINDOW * max(guide.shape))))


def find_peaks(
    slices: Sequence[NDArray[Any]], poses: Sequence[Pose], guide: Plane, levels: NDArray[np.float64]
) -> tuple[Plane, Plane, NDArray[np.int16]]:
    """Return the focus at which each place is sharpest, how sure that is, and the number of the sharpest slice.

    All reduced. One slice is held at a time, with what the two before it measured.
    """
    last, smooth = len(slices) - 1, GuidedFilter(guide, _window(guide), 1e-2)
    best, place = np.zeros(guide.shape, np.int16), np.zeros(guide.shape, np.float32)
    strongest, total = np.zeros_like(guide), np.zeros_like(guide)
    logs: list[Plane] = []
    for k, (one, pose) in enumerate(zip(slices, poses, strict=True)):
        grey, inside = _warped_grey(one, pose)
        measure = _gathered(_sharpness(grey) * inside, guide, smooth)
        total += measure
        best[measure > strongest] = k
        np.maximum(strongest, measure, out=strongest)
        logs = [*logs[-2:], np.log(measure)]
        if k < 2:
            continue
        before, at, after = logs
        bend = np.minimum(before - 2 * at + after, -1e-6)
        vertex = k - 1 + np.clip((after - before) / (-2 * bend), -1, 1)
        here = (best == k - 1) | ((k == 2) & (best == 0)) | ((k == last) & (best == last))
        np.copyto(place, vertex, where=here)
    place = np.where(np.abs(place - best) <= 0.75, place, best).clip(0, last)
    texture = np.clip(strongest / 0.03, 0, 1)
    confidence = texture * np.clip(3 * (1 - total / len(slices) / strongest), 0, 1)
    disparity = np.interp(place, np.arange(len(levels)), levels)
    return disparity.astype(np.float32), confidence.astype(np.float32), best

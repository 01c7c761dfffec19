"""Where the slices of a focus bracket are sharp: one slice at a time.

The measure is the sum-modified Laplacian (Nayar & Nakagawa, TPAMI 1994), gathered along the edges of the picture
(guided filter: He et al., TPAMI 2013). Over the slices it falls off from its peak about as a Gaussian of focus, so a
parabola through its logarithm finds the peak between slices.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refocal.depth.edges import GuidedFilter, spread
from refocal.depth.from_focus.alignment import Pose, warped
from refocal.images.colour import LUMA
from refocal.images.image import as_photo

SCALES = (1, 2, 4)  # px: distances over which second differences are taken
WINDOW = 1 / 200  # radius of the gathering, of the long side
AROUND = 0.3  # share of what is gathered from afar, along edges
REACH = 0.1  # of that, and of filling, of the long side
STOP = 0.1  # colour difference that stops it as going its whole reach does

Plane = NDArray[np.float32]


def _warped_grey(one: NDArray[Any], pose: Pose) -> tuple[Plane, NDArray[np.bool_]]:
    gain = float(np.dot(pose.gain, LUMA))
    seen, inside = warped((as_photo(one) @ LUMA)[..., None], replace(pose, gain=(gain, gain, gain)))
    return seen[..., 0], inside


def rough_photo(slices: Sequence[NDArray[Any]], poses: Sequence[Pose]) -> tuple[Plane, NDArray[np.bool_]]:
    """Return roughly the sharp photo in grey, (H, W), and which places all slices reach, (H, W)."""
    size = slices[0].shape[:2]
    guide, best, shared = np.zeros(size, np.float32), np.full(size, -1, np.float32), np.ones(size, bool)
    for one, pose in zip(slices, poses, strict=True):
        grey, inside = _warped_grey(one, pose)
        sharpness = gaussian_filter(_sharpness(grey) * inside, 2)
        np.copyto(guide, grey, where=sharpness > best)
        np.maximum(best, sharpness, out=best)
        shared &= inside
    return guide, shared


def _sharpness(grey: Plane) -> Plane:
    """Return the sum-modified Laplacian over the distances SCALES."""
    total = np.zeros_like(grey)
    for scale in SCALES:
        soft = np.pad(gaussian_filter(grey, 0.6 * scale), scale, mode="reflect")
        inner, n = soft[scale:-scale, scale:-scale], 2 * scale
        total += np.abs(2 * inner - soft[:-n, scale:-scale] - soft[n:, scale:-scale])
        total += np.abs(2 * inner - soft[scale:-scale, :-n] - soft[scale:-scale, n:])
    return total


def _gathered(sharpness: Plane, guide: Plane) -> Plane:
    """Return how sharp the surroundings of each place are, along the edges of the guide."""
    radius = max(3, round(WINDOW * max(guide.shape)))
    around = gaussian_filter(sharpness, radius / 2)
    near = np.maximum(GuidedFilter(guide, radius, 1e-2)(around), 0.1 * around)
    # What has no texture is as sharp as what lies around it.
    afar = spread(near[..., None].copy(), guide[..., None], REACH * max(guide.shape), STOP / 3)
    return np.asarray(near + AROUND * afar[..., 0] + 1e-5)


def find_peaks(
    slices: Sequence[NDArray[Any]], poses: Sequence[Pose], guide: Plane, levels: NDArray[np.float64]
) -> tuple[Plane, Plane, NDArray[np.int16]]:
    """Return the focus at which each place is sharpest, how sure that is, and the number of the sharpest slice.

    One slice is held at a time, with what the two before it measured.
    """
    last = len(slices) - 1
    best, place = np.zeros(guide.shape, np.int16), np.zeros(guide.shape, np.float32)
    strongest, total = np.zeros_like(guide), np.zeros_like(guide)
    logs: list[Plane] = []
    for k, (one, pose) in enumerate(zip(slices, poses, strict=True)):
        grey, inside = _warped_grey(one, pose)
        measure = _gathered(_sharpness(grey) * inside, guide)
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

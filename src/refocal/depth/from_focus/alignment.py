"""Align the slices of a focus bracket: focus breathing, camera shake, changes of exposure.

A pose says where a place of the reference is in another slice: x' = turn x + shift, where a place is the complex number
of its way right and down (i) from the middle, in units of the long side. |turn| is the scale. Poses are found between
neighbours, which differ little in focus, by Gauss-Newton from coarse to fine (Lucas & Kanade, IJCAI 1981; both
gradients averaged: Malis, ICRA 2004), and chained. scikit-image registers shifts (phase correlation) and flow; a flow
would follow the blur.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates, zoom

from refocal.images.colour import LUMA, to_linear, to_srgb
from refocal.images.image import as_photo

SIDES = (64, 128, 256, 512, 768)  # long sides of the pictures that are compared
ROUNDS = 12  # of Gauss-Newton at each side
CLIPPED = 0.97  # brighter values may be clipped: exposure is not compared there
FARTHEST = 0.2  # change of scale, of the long side, or radians: more is no breathing
ALIKE = 0.3  # correlation, blurred, of neighbours that show one scene: 0.97 and more of real ones, others 0 +- 0.25
UNSEEN = 0.02  # px: a slice that no pose moves further is taken as it is


@dataclass(frozen=True)
class Pose:
    """Where the reference lies in a slice, and how much brighter than the slice the reference is.

    Attributes
    ----------
    turn, shift : complex
        x' = turn x + shift; see the module.
    gain : tuple of float
        Factor of linear light for red, green and blue.
    """

    turn: complex = 1
    shift: complex = 0
    gain: tuple[float, float, float] = (1, 1, 1)


def find_poses(slices: Sequence[NDArray[Any]], *, register: bool = True) -> tuple[Pose, ...]:
    """Find where the middle slice lies in each.

    Parameters
    ----------
    slices : sequence of ndarray
        (H, W, 3) and what else `as_photo` takes, all of one size, in the order of focus; one is read at a time.
    register : bool
        False: only exposure is compared.

    Returns
    -------
    tuple of Pose
        One a slice; that of slice len(slices) // 2 changes nothing.

    Raises
    ------
    ValueError
        One line: a slice that shows another scene than its neighbour.
    """
    small = [_reduced(as_photo(one)) for one in slices]
    middle = len(small) // 2
    poses = [Pose()] * len(small)
    for step in (-1, 1):
        for k in range(middle + step, len(small) if step > 0 else -1, step):
            before = poses[k - step]
            turn, shift = _between(small[k - step], small[k]) if register else (1 + 0j, 0j)
            _check_alike(small, k - step, k, Pose(turn, shift))
            turn, shift = turn * before.turn, turn * before.shift + shift
            seen, inside = warped(small[k], Pose(turn, shift))
            poses[k] = Pose(turn, shift, _gain(seen, small[middle], inside))
    return tuple(poses)


def warped(photo: NDArray[np.float32], pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a slice, (H, W, 3) or (H, W, 1), as the reference sees it, and where the slice reaches, (H, W)."""
    height, width = photo.shape[:2]
    long, middle = max(height, width), np.array([height - 1, width - 1]) / 2
    matrix = np.array([[pose.turn.real, pose.turn.imag], [-pose.turn.imag, pose.turn.real]])  # of (down, right)
    offset = middle - matrix @ middle + np.array([pose.shift.imag, pose.shift.real]) * long
    corners = np.array([(y, x) for y in (0, height - 1) for x in (0, width - 1)])
    if np.abs(corners @ matrix.T + offset - corners).max() < UNSEEN:
        seen, inside = photo, np.ones((height, width), bool)
    else:
        bands = np.moveaxis(photo, -1, 0)
        channels = [affine_transform(band, matrix, offset, order=3, mode="nearest") for band in bands]
        seen = np.stack(channels, axis=-1).clip(0, 1)
        inside = _inside((height, width), matrix, offset)
    if pose.gain != (1, 1, 1):
        seen = to_srgb((to_linear(seen) * np.array(pose.gain, np.float32)).clip(0, 1))
    return seen, inside


def _check_alike(slices: Sequence[NDArray[np.float32]], reference: int, k: int, pose: Pose) -> None:
    blur = max(slices[k].shape) / 64
    one, other = (gaussian_filter(p @ LUMA, blur) for p in (slices[reference], warped(slices[k], pose)[0]))
    if min(one.std(), other.std()) < 1 / 255:
        return  # one wall, whatever is before it
    alike = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    if alike < ALIKE:
        raise ValueError(
            f"slice {k} shows another scene than slice {reference}: they correlate by {alike:.2f}, {ALIKE} at least"
        )


def _inside(size: tuple[int, int], matrix: NDArray[Any], offset: NDArray[Any]) -> NDArray[np.bool_]:
    down, right = np.arange(size[0])[:, None], np.arange(size[1])[None]
    y = matrix[0, 0] * down + matrix[0, 1] * right + offset[0]
    x = matrix[1, 0] * down + matrix[1, 1] * right + offset[1]
    return np.asarray((y >= 0) & (y <= size[0] - 1) & (x >= 0) & (x <= size[1] - 1))


def _reduced(photo: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make the long side the largest of SIDES at most."""
    factor = max(photo.shape[:2]) / SIDES[-1]
    if factor <= 1:
        return photo
    soft = gaussian_filter(photo, (factor / 2, factor / 2, 0))
    return np.asarray(zoom(soft, (1 / factor, 1 / factor, 1), order=1, grid_mode=True, mode="nearest"))


def _gain(
    seen: NDArray[np.float32], wanted: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return the ratio of the mean light, which blur leaves as it is."""
    good = inside & (seen.max(axis=2) < CLIPPED) & (wanted.max(axis=2) < CLIPPED)
    if good.mean() < 0.1:
        return (1, 1, 1)
    ratio = to_linear(wanted[good]).mean(axis=0) / np.maximum(to_linear(seen[good]).mean(axis=0), 1e-6)
    red, green, blue = (float(r) for r in ratio.clip(0.25, 4))
    return red, green, blue


def _between(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> tuple[complex, complex]:
    """Return turn and shift that lead from places of `fixed` to those of `moving`."""
    turn, shift = 1 + 0j, 0j
    grey = [picture @ LUMA for picture in (fixed, moving)]
    own = max(grey[0].shape)
    for side in SIDES:
        if side > own and side != SIDES[0]:
            break
        factor = max(1.0, own / side)
        one, other = (
            zoom(gaussian_filter(g, factor / 2), 1 / factor, order=1, grid_mode=True, mode="nearest") for g in grey
        )
        turn, shift = _refined(gaussian_filter(one, 1.0), gaussian_filter(other, 1.0), turn, shift)
    found = abs(turn - 1) < FARTHEST and abs(shift) < FARTHEST  # else the two hold nothing in common
    return (turn, shift) if found else (1 + 0j, 0j)


def _refined(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], turn: complex, shift: complex
) -> tuple[complex, complex]:
    height, width = fixed.shape
    long = max(height, width)
    down, right = np.indices(fixed.shape, dtype=np.float32)
    place = ((right - (width - 1) / 2) + 1j * (down - (height - 1) / 2)) / long
    slopes = np.gradient(fixed)
    for _ in range(ROUNDS):
        there = (turn * place + shift) * long
        y, x = there.imag + (height - 1) / 2, there.real + (width - 1) / 2
        inside = (y >= 1) & (y <= height - 2) & (x >= 1) & (x <= width - 2)
        seen = map_coordinates(moving, (y, x), order=1, mode="nearest")
        if inside.sum() < 64:
            break
        a, b = _standard(fixed, inside), _standard(seen, inside)
        dy, dx = ((s / max(fixed[inside].std(), 1e-6) + t) / 2 for s, t in zip(slopes, np.gradient(b), strict=True))
        error = (a - b)[inside]
        # d seen / d (turn - 1, shift): a place moves by place * (zoom + i angle) + (right + i down)
        p, gy, gx = place[inside] * long, dy[inside], dx[inside]
        columns = np.stack([gx * p.real + gy * p.imag, gy * p.real - gx * p.imag, gx * long, gy * long])
        weight = 1 / (1 + (error / (2 * np.median(np.abs(error)) + 1e-6)) ** 2)  # what is blurred otherwise counts less
        normal = (columns * weight) @ columns.T
        damped = normal + (1e-6 * np.trace(normal) + 1e-9) * np.eye(4)  # pictures without texture too
        step = np.linalg.solve(damped, (columns * weight) @ error)
        change, by = 1 + complex(step[0], step[1]), complex(step[2], step[3])
        turn, shift = turn * change, turn * by + shift
        if abs(change - 1) + abs(by) < 2e-6:
            break
    return turn, shift


def _standard(picture: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = picture[inside]
    return np.asarray((picture - values.mean()) / max(values.std(), 1e-6))

"""Align the slices of a focus bracket: focus breathing, camera shake, changes of exposure.

A pose says where a place of the reference is in another slice: x' = turn x + shift, where a place is the complex number
of its way right and down (i) from the middle, in units of the long side. |turn| is the scale. Poses are found between
neighbours, which differ little in focus, by Gauss-Newton from coarse to fine (Lucas & Kanade, IJCAI 1981; both
gradients averaged: Malis, ICRA 2004), and chained. scikit-image registers shifts (phase correlation) and flow; a flow
would follow the blur.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.ndimage import zoom

from refocal.depth.edges import gaussian
from refocal.depth.from_focus.pose import Pose, warped
from refocal.images.colour import LUMA, to_linear
from refocal.images.image import as_photo

SIDES = (64, 128, 256, 512, 768)  # long sides of the pictures that are compared
ROUNDS = 12  # of Gauss-Newton at each side, at most
ENOUGH, NEARLY = 2e-6, 0.02  # of the long side at the largest of them, px at others: no further rounds for less
CLIPPED = 0.97  # brighter values may be clipped: exposure is not compared there
FARTHEST = 0.2  # change of scale, of the long side, or radians: more is no breathing
ALIKE = 0.3  # correlation, blurred, of neighbours that show one scene: 0.97 and more of real ones, others 0 +- 0.25


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


def _check_alike(slices: Sequence[NDArray[np.float32]], reference: int, k: int, pose: Pose) -> None:
    blur = max(slices[k].shape) / 64
    one, other = (gaussian(p @ LUMA, blur) for p in (slices[reference], warped(slices[k], pose)[0]))
    if min(one.std(), other.std()) < 1 / 255:
        return  # one wall, whatever is before it
    alike = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    if alike < ALIKE:
        raise ValueError(
            f"slice {k} shows another scene than slice {reference}: they correlate by {alike:.2f}, {ALIKE} at least"
        )


def _reduced(photo: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make the long side the largest of SIDES at most."""
    factor = max(photo.shape[:2]) / SIDES[-1]
    if factor <= 1:
        return photo
    soft = gaussian(photo, factor / 2)
    return np.asarray(zoom(soft, (1 / factor, 1 / factor, 1), order=1, grid_mode=True, mode="nearest"))


def _gain(
    seen: NDArray[np.float32], wanted: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return the ratio of the mean light, which blur leaves as it is, at every second row and column."""
    seen, wanted, inside = seen[::2, ::2], wanted[::2, ::2], inside[::2, ::2]
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
    sides = [side for side in SIDES if side <= own or side == SIDES[0]]
    for side in sides:
        factor = max(1.0, own / side)
        one, other = (zoom(gaussian(g, factor / 2), 1 / factor, order=1, grid_mode=True, mode="nearest") for g in grey)
        enough = ENOUGH if side == sides[-1] else NEARLY / side
        turn, shift = _refined(gaussian(one, 1.0), gaussian(other, 1.0), turn, shift, enough)
    found = abs(turn - 1) < FARTHEST and abs(shift) < FARTHEST  # else the two hold nothing in common
    return (turn, shift) if found else (1 + 0j, 0j)


def _refined(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], turn: complex, shift: complex, enough: float
) -> tuple[complex, complex]:
    slopes = np.gradient(fixed)
    for _ in range(ROUNDS):
        count, normal, wanted = _normal_equations(fixed, moving, slopes[0], slopes[1], complex(turn), complex(shift))
        if count < 64:
            break
        damped = normal + (1e-6 * np.trace(normal) + 1e-9) * np.eye(4)  # pictures without texture too
        step = np.linalg.solve(damped, wanted)
        change, by = 1 + complex(step[0], step[1]), complex(step[2], step[3])
        turn, shift = turn * change, turn * by + shift
        if abs(change - 1) + abs(by) < enough:
            break
    return turn, shift


@njit(parallel=True, cache=True, error_model="numpy")
def _normal_equations(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    turn: complex,
    shift: complex,
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return on how many pixels both pictures lie, and the equations of a step: (4, 4) and (4,).

    d seen / d (turn - 1, shift): a place moves by place * (zoom + i angle) + (right + i down). `down` and `right` are
    the gradient of `fixed`; both pictures are compared at mean 0 and deviation 1.
    """
    height, width = fixed.shape
    long, middle_y, middle_x = float(max(height, width)), (height - 1) / 2, (width - 1) / 2
    seen, inside = np.empty_like(fixed), np.zeros(fixed.shape, np.bool_)
    for y in prange(height):
        for x in range(width):
            there_x = turn.real * (x - middle_x) - turn.imag * (y - middle_y) + shift.real * long + middle_x
            there_y = turn.imag * (x - middle_x) + turn.real * (y - middle_y) + shift.imag * long + middle_y
            inside[y, x] = 1 <= there_y <= height - 2 and 1 <= there_x <= width - 2
            row, column = min(max(there_y, 0.0), height - 1.0), min(max(there_x, 0.0), width - 1.0)
            top, left = min(int(row), height - 2), min(int(column), width - 2)
            b, d = row - top, column - left
            upper = (1 - d) * moving[top, left] + d * moving[top, left + 1]
            seen[y, x] = (1 - b) * upper + b * ((1 - d) * moving[top + 1, left] + d * moving[top + 1, left + 1])
    mine, other = fixed.ravel()[inside.ravel()], seen.ravel()[inside.ravel()]
    normal, wanted = np.zeros((height, 4, 4)), np.zeros((height, 4))
    if mine.size < 64:
        return mine.size, normal[0], wanted[0]
    mean, scale = mine.mean(), 1 / max(mine.std(), 1e-6)
    other_mean, other_scale = other.mean(), 1 / max(other.std(), 1e-6)
    few = max(1, mine.size // 20000)  # a median takes its time
    typical = 2 * np.median(np.abs((mine[::few] - mean) * scale - (other[::few] - other_mean) * other_scale)) + 1e-6
    for y in prange(height):
        up, low = max(y - 1, 0), min(y + 1, height - 1)
        columns = np.empty(4)
        for x in range(width):
            if not inside[y, x]:
                continue
            before, after = max(x - 1, 0), min(x + 1, width - 1)
            dy = (down[y, x] * scale + (seen[low, x] - seen[up, x]) * other_scale / (low - up)) / 2
            dx = (right[y, x] * scale + (seen[y, after] - seen[y, before]) * other_scale / (after - before)) / 2
            error = (fixed[y, x] - mean) * scale - (seen[y, x] - other_mean) * other_scale
            weight = 1 / (1 + (error / typical) ** 2)  # what is blurred otherwise counts less
            columns[0] = dx * (x - middle_x) + dy * (y - middle_y)
            columns[1] = dy * (x - middle_x) - dx * (y - middle_y)
            columns[2], columns[3] = dx * long, dy * long
            for i in range(4):
                wanted[y, i] += weight * error * columns[i]
                for j in range(4):
                    normal[y, i, j] += weight * columns[i] * columns[j]
    return mine.size, normal.sum(axis=0), wanted.sum(axis=0)

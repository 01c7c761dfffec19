"""Reference renderer: refocus a sharp photo of known disparity by gathering over the pupil.

Notation, beside that of `shiftadd`:
g(q)        disparity of pixel q of the photo in units of focus: -1 the farthest plane of the range, +1 the nearest
F, A        the focus, and the aperture: the diameter in pixels of the blur of what lies one range (2) away from F
t           place in the pupil, (row, column), from -1/2 to 1/2: (a, b) / (max(U, V) - 1) for the view a, b steps off
            the middle of a grid

The view from t sees the point q of the photo at q + t A g(q) / 2, up to a shift that is the same for all g;
shift-and-add at the focus F moves it back by t A F / 2, up to the same one. So pixel p of the photo focused at F sees
from t

    q = p + t A (F - g(q)) / 2

and is the mean of the photo over these q (Ng et al., "Light field photography with a hand-held plenoptic camera",
Stanford CTSR 2005-02). Its blur has the signed diameter A (F - g) / 2. q stands on both sides: it is found by going
round a few times from q = p. Nothing is done about occlusion: behind an edge a point may be seen through what hides it.
Samples outside the photo do not count.
"""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from refocal.images.colour import to_linear, to_srgb
from refocal.shiftadd.shift_and_add import Pupil, pupil_mask

MOST = 65  # samples of a dense pupil along its diameter
ROUNDS = 3  # towards q: on real light fields more of them gain less than 0.03 dB


def render(
    photo: NDArray[np.float32],
    disparity: NDArray[np.floating[Any]],
    focus: float,
    aperture: float,
    *,
    pupil: Pupil = "circular",
    linear: bool = True,
    grid: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Refocus a sharp photo whose disparity is known.

    Costs H W times the samples of the pupil: some 10 ns each on one core.

    Parameters
    ----------
    photo : ndarray
        (H, W, 3) float32, sRGB in [0, 1], sharp everywhere: the middle view of a light field.
    disparity : ndarray
        (H, W) float in units of focus, -1 the farthest, +1 the nearest; values beyond are taken as they are.
    focus : float
        What has this disparity stays sharp.
    aperture : float
        Diameter in pixels of the blur of what lies one range of focus (2) away; 0 and more.
    pupil : str
        "circular" or "square".
    linear : bool
        Whether light is averaged, as a lens does; else the gamma-coded values.
    grid : tuple of int, optional
        U, V: look from the places of the views of such a light field only; gives what shift-and-add of them gives.
        None: from all over the pupil, a sample a pixel of the widest blur (at most 65 along the diameter).

    Returns
    -------
    ndarray
        (H, W, 3) float32, sRGB in [0, 1].

    Raises
    ------
    ValueError
        One line: a shape, type or value that is not allowed.
    """
    _check(photo, disparity, focus, aperture, grid)
    blur = (np.float32(focus) - disparity.astype(np.float32)) * np.float32(aperture / 2)
    places = _views(grid, pupil) if grid is not None else _disk(float(np.abs(blur).max()), pupil)
    light = to_linear(photo) if linear else photo
    mean = _gather(np.ascontiguousarray(light), blur, places)
    return np.asarray(to_srgb(mean) if linear else mean)


def _check(
    photo: NDArray[Any],
    disparity: NDArray[Any],
    focus: float,
    aperture: float,
    grid: tuple[int, int] | None,
) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0 or photo.dtype != np.float32:
        raise ValueError(f"photo must be float32 (H, W, 3), got {photo.dtype} {photo.shape}")
    if not (photo.min() >= 0 and photo.max() <= 1):
        raise ValueError(f"photo must lie in [0, 1], got {photo.min()} to {photo.max()}")
    if disparity.shape != photo.shape[:2] or disparity.dtype.kind != "f":
        raise ValueError(f"disparity must be float {photo.shape[:2]}, got {disparity.dtype} {disparity.shape}")
    if not np.isfinite(disparity).all():
        raise ValueError("disparity must be finite everywhere, got NaN or infinity")
    if not np.isfinite(focus):
        raise ValueError(f"focus must be finite, got {focus}")
    if not (np.isfinite(aperture) and aperture >= 0):
        raise ValueError(f"aperture must be a finite number of pixels from 0 on, got {aperture}")
    if grid is not None and (len(grid) != 2 or min(grid) < 1):
        raise ValueError(f"grid must be two numbers of views from 1 on, got {grid}")


def _views(grid: tuple[int, int], pupil: Pupil) -> NDArray[np.float32]:
    """Return t of the views of a grid that lie in the pupil, (N, 2)."""
    steps = np.argwhere(pupil_mask(grid, pupil)) - (np.array(grid) - 1) / 2
    return np.asarray(steps / max(max(grid) - 1, 1), dtype=np.float32)


def _disk(diameter: float, pupil: Pupil) -> NDArray[np.float32]:
    """Return t all over the pupil, (N, 2): the middles of cells about as wide as a pixel of the widest blur."""
    count = min(2 * int(np.ceil(diameter / 2)) + 1, MOST)  # odd: the chief ray is among them
    cells = np.argwhere(pupil_mask((count, count), pupil)) - (count - 1) / 2
    return np.asarray(cells / count, dtype=np.float32)


@njit(parallel=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _gather(light: NDArray[np.float32], blur: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = blur.shape
    out = np.empty_like(light)
    for y in prange(height):
        for x in range(width):
            red = green = blue = np.float32(0)
            count = 0
            for n in range(len(places)):
                down, right = places[n]
                there_y, there_x = y + down * blur[y, x], x + right * blur[y, x]
                for _ in range(ROUNDS - 1):
                    size = blur[_nearest(there_y, height), _nearest(there_x, width)]
                    there_y, there_x = y + down * size, x + right * size
                if not (0 <= there_y <= height - 1 and 0 <= there_x <= width - 1):
                    continue
                top, left = int(there_y), int(there_x)
                below, beside = min(top + 1, height - 1), min(left + 1, width - 1)
                v, h = np.float32(there_y - top), np.float32(there_x - left)
                a, b, c, d = (1 - v) * (1 - h), (1 - v) * h, v * (1 - h), v * h
                p, q, r, s = light[top, left], light[top, beside], light[below, left], light[below, beside]
                red += a * p[0] + b * q[0] + c * r[0] + d * s[0]
                green += a * p[1] + b * q[1] + c * r[1] + d * s[1]
                blue += a * p[2] + b * q[2] + c * r[2] + d * s[2]
                count += 1
            if count:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = red / count, green / count, blue / count
            else:  # an even grid near a corner: nothing is there but the pixel itself
                out[y, x] = light[y, x]
    return out


@njit(cache=True)
def _nearest(place: float, count: int) -> int:
    return min(max(int(np.rint(place)), 0), count - 1)

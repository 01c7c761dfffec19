"""Sub-aperture views of a scene from one sharp photo and its disparity, with occlusion.

Notation, beside that of `shiftadd`: d(q) the slope of pixel q of the photo, in pixels that it moves per view step; a, b
the steps down and right of a view from the middle. The view shows q at q + (a, b) d(q), and of several points that come
to the same place the nearest.

The disparity is moved forward, pixels in the order of their distance, so that the nearest stays; then each pixel of the
view looks back for its colour, between the pixels of a photo enlarged twice. What no pixel came to lay hidden behind an
edge: there a second layer shows, the photo without what stands in front near edges, filled from its surroundings, far
ones first (layered depth images: Shade et al., SIGGRAPH 1998; filled by push and pull: Gortler et al., "The
lumigraph", SIGGRAPH 1996, section 3.4).
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from refocal.images.image import Pixels, as_photo, like_input, reduced, stretched
from refocal.resources import cores

EDGE = 1.0  # px that two neighbours are apart in the outermost view where one stands before the other
MOST = 101  # views in a row
FINE = 2  # times that the photo is enlarged for looking between its pixels

Plane = NDArray[np.float32]


def check_grid(grid: tuple[int, int], slopes: tuple[float, float]) -> tuple[float, float]:
    """Return the slopes; ValueError for a grid without two numbers of views, or where far is not below near."""
    if len(grid) != 2 or not all(isinstance(n, int) and 1 <= n <= MOST for n in grid):
        raise ValueError(f"grid must be two numbers of views, 1 to {MOST}, got {grid}")
    if not (len(slopes) == 2 and np.isfinite(slopes).all() and slopes[0] < slopes[1]):
        raise ValueError(f"slopes must be two numbers of px/view, far below near, got {slopes}")
    return slopes


class ViewRenderer:
    """Renders any view of a scene.

    Parameters
    ----------
    pixels : ndarray
        The photo, a picture as in `images.Image`, sharp everywhere: the middle view.
    disparity : ndarray
        (H, W) float in units of focus, -1 the farthest, +1 the nearest.
    slopes : (float, float)
        Of focus -1 and +1, in px per view step.
    reach : float
        Steps from the middle, down or right, of the outermost view.

    Notes
    -----
    Takes 60 bytes a pixel, and a view as much again; threads may render views at the same time.
    """

    def __init__(self, pixels: Pixels, disparity: NDArray[Any], slopes: tuple[float, float], reach: float) -> None:
        self.pixels, self.disparity, self.slopes, self.reach = pixels, disparity, slopes, reach
        far, near = slopes
        self.slope = np.asarray(far + (disparity + 1) / 2 * (near - far), np.float32)
        self._order = np.argsort(self.slope, axis=None, kind="stable")
        self._photo = _enlarged(as_photo(pixels))

    @cached_property
    def _behind(self) -> tuple[Plane, Plane]:
        """The second layer: photo and slope without what stands in front near edges."""
        if self.reach == 0 or float(np.ptp(self.slope)) * self.reach <= EDGE:
            return self._photo, self.slope
        radius = math.ceil(float(np.ptp(self.slope)) * self.reach) + 1
        lowest = _lowest(self.slope, radius)
        in_front = (self.slope - lowest) * self.reach > EDGE
        beyond = (self.slope - _lowest(self.slope, 2 * radius)) * self.reach > EDGE
        kept = ~(_lowest(-in_front.astype(np.float32), 1) < 0) & ~(beyond & ~in_front & _near(in_front, radius))
        layers = np.concatenate([as_photo(self.pixels), self.slope[..., None]], axis=2)
        filled = _filled(layers, kept)
        filled = np.where(in_front[..., None], filled, layers)
        return _enlarged(np.ascontiguousarray(filled[..., :3])), np.ascontiguousarray(filled[..., 3])

    def reduced(self, side: int) -> "ViewRenderer":
        """Return a renderer of the scene with a long side of at most `side` pixels, in 8 bits, without transparency."""
        height, width = self.slope.shape
        scale = min(1.0, side / max(height, width))
        photo = np.rint(reduced(self.pixels, max(1, round(min(height, width) * scale))) * 255).astype(np.uint8)
        plane = PIL.Image.fromarray(np.asarray(self.disparity, np.float32))
        disparity = np.asarray(plane.resize(photo.shape[1::-1], PIL.Image.Resampling.BOX))
        far, near = self.slopes
        return ViewRenderer(photo, disparity, (far * scale, near * scale), self.reach)

    def grid(self, rows: int, columns: int) -> Iterator[Pixels]:
        """Yield the views of a grid, row by row; of an even number the middle lies between two."""
        down, right = (rows - 1) / 2, (columns - 1) / 2
        yield from self._ahead([(u - down, v - right) for u in range(rows) for v in range(columns)])

    def round_trip(self, count: int) -> Iterator[Pixels]:
        """Yield `count` views of a camera that goes round the middle once, as far off as the outermost view."""
        turns = (2 * math.pi * k / count for k in range(count))
        yield from self._ahead([(self.reach * math.sin(turn), self.reach * math.cos(turn)) for turn in turns])

    def _ahead(self, places: Sequence[tuple[float, float]]) -> Iterator[Pixels]:
        with ThreadPoolExecutor(cores()) as pool:
            ahead = deque[Future[Pixels]]()
            for place in places:
                ahead.append(pool.submit(self, *place))
                if len(ahead) > cores():  # a few views wait to be taken, not all of them
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def __call__(self, down: float, right: float) -> Pixels:
        """Return the view `down` and `right` steps off the middle, as the photo: size, dtype, channels, alpha."""
        if down == 0 and right == 0:
            return self.pixels
        height, width = self.slope.shape
        rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
        seen, hidden = self._moved(down, right, rows, columns)
        there = _look_up(self.slope, rows - down * seen, columns - right * seen)  # of what slants, once more
        seen = np.where(np.abs(there - seen) * self.reach < EDGE, there, seen)
        made = _between(self._photo, rows - down * seen, columns - right * seen)
        if hidden.any():
            photo, slope = self._behind
            y, x = np.nonzero(hidden)
            own = slope[y, x]
            for _ in range(3):
                own = _look_up(slope, y - down * own, x - right * own)
            made[y, x] = _between(photo, y - down * own, x - right * own)
        return like_input(made, self.pixels)

    def _moved(self, down: float, right: float, rows: Plane, columns: Plane) -> tuple[Plane, NDArray[np.bool_]]:
        """Return the slope of what each pixel of a view shows, and where nothing came to."""
        height, width = self.slope.shape
        y = np.rint(rows + down * self.slope).astype(np.int32)
        x = np.rint(columns + right * self.slope).astype(np.int32)
        order = self._order
        place = (y * width + x).ravel()[order]
        inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width)).ravel()[order]
        seen = np.full(height * width, np.nan, np.float32)
        seen[place[inside]] = self.slope.ravel()[order[inside]]  # of several the last is kept, the nearest
        seen = seen.reshape(height, width)
        for axis in (1, 0):  # cracks of a pixel between two that belong together
            before, after = np.roll(seen, 1, axis), np.roll(seen, -1, axis)
            with np.errstate(invalid="ignore"):
                crack = np.isnan(seen) & (np.abs(before - after) * self.reach < EDGE)
            seen = np.where(crack, (before + after) / 2, seen)
        hidden = np.isnan(seen)
        # What lies beyond the photo's border is no hidden background: the border is drawn out.
        y, x = rows - down * self.slope, columns - right * self.slope
        outside = hidden & ((y < 0) | (y > height - 1) | (x < 0) | (x > width - 1))
        return np.where(hidden, self.slope, seen), hidden & ~outside


def _enlarged(photo: Plane) -> Plane:
    """Return a photo (H, W, 3) enlarged by `FINE` so that each of its pixels stays where it is at a multiple.

    What is between is half bicubic, half bilinear: the one keeps detail, the other does not raise the noise.
    """
    height, width = photo.shape[:2]
    size, box = (FINE * width, FINE * height), (0.25, 0.25, width + 0.25, height + 0.25)  # the first stays the first
    padded = np.pad(photo, ((0, 1), (0, 1), (0, 0)), mode="edge")
    planes = [PIL.Image.fromarray(np.ascontiguousarray(padded[..., c])) for c in range(3)]
    out = np.zeros((size[1], size[0], 3), np.float32)
    for c, plane in enumerate(planes):
        for kernel in (PIL.Image.Resampling.BICUBIC, PIL.Image.Resampling.BILINEAR):
            out[..., c] += 0.5 * np.asarray(plane.resize(size, kernel, box=box))
    out = np.clip(out, 0, 1)
    out[::FINE, ::FINE] = photo
    return out


def _between(fine: Plane, y: NDArray[Any], x: NDArray[Any]) -> Plane:
    """Return the colours of an enlarged photo at places of the photo, bilinearly; outside those of its border."""
    height, width = fine.shape[:2]
    y = np.clip(y * FINE, 0, height - FINE)
    x = np.clip(x * FINE, 0, width - FINE)
    top, left = y.astype(np.int32), x.astype(np.int32)
    v, h = (y - top).astype(np.float32)[..., None], (x - left).astype(np.float32)[..., None]
    flat = fine.reshape(-1, 3)
    corner = top * width + left
    upper = flat[corner] * (1 - h) + flat[corner + 1] * h
    lower = flat[corner + width] * (1 - h) + flat[corner + width + 1] * h
    return np.asarray(upper * (1 - v) + lower * v, np.float32)


def _look_up(plane: Plane, y: NDArray[Any], x: NDArray[Any]) -> Plane:
    """Return the values of a plane at the pixels next to places."""
    height, width = plane.shape
    rows = np.clip(np.rint(y), 0, height - 1).astype(np.int32)
    columns = np.clip(np.rint(x), 0, width - 1).astype(np.int32)
    found: Plane = plane[rows, columns]
    return found


def _lowest(plane: Plane, radius: int) -> Plane:
    """Return the lowest value in the square of 2 radius + 1 around each pixel."""
    for axis in (0, 1):
        padding = [(radius, radius) if k == axis else (0, 0) for k in range(2)]
        padded = np.pad(plane, padding, mode="edge")
        length, done = 2 * radius + 1, 1
        while done < length:  # windows of twice the length from two that overlap
            step = min(done, length - done)
            cut = (slice(None),) * axis
            padded = np.minimum(padded[(*cut, slice(None, -step))], padded[(*cut, slice(step, None))])
            done += step
        plane = padded
    return plane


def _near(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return where a pixel of a mask lies in the square around."""
    return np.asarray(_lowest(-mask.astype(np.float32), radius) < 0)


def _filled(layers: Plane, kept: NDArray[np.bool_]) -> Plane:
    """Fill what is not kept of (H, W, C) from its surroundings: means of ever larger blocks, blended."""
    weight = kept.astype(np.float32)[..., None]
    if min(layers.shape[:2]) <= 1 or kept.all():
        return layers
    height, width = layers.shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    sums, weights = np.pad(layers * weight, padding), np.pad(weight, padding)
    sums, weights = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2] for x in (sums, weights))
    coarse = _filled(np.asarray(sums / np.maximum(weights, 1e-6), np.float32), weights[..., 0] > 0)
    whole = stretched(coarse, np.arange(height), np.arange(width), (0.5, 0.5))
    return np.where(weight > 0, layers, whole)

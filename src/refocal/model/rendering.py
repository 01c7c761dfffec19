"""The rendering half of a lens model on photos of any size: small tiles in parallel, one per core.

A tile that stays in a core's cache is rendered faster, and where the model leaves out blurs that a tile has not, less
is rendered. Around what a tile gives it sees as much of the photo as its widest blur reaches: it gives exactly what
the whole photo would, so that tiles are laid beside each other, not blended.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refocal.images.image import Pixels, as_photo, like_input
from refocal.inference.session import Conventions, on_gpu, run
from refocal.render.tiles import reflected
from refocal.render.wide_blur import COARSE, enlarged, render_wide_blur
from refocal.resources import cores, in_threads

SIDE = 232  # px of a tile: on a CPU smaller ones pay for what lies around them, larger ones for memory
MARGINS = 8  # how many times as wide as the margin a tile is, at least
LEAST = 64  # px that a tile gives, whatever lies around it


class Part(NamedTuple):
    """One side of a tile, in pixels of the photo: where it starts, and what of it is used."""

    start: int
    first: int
    end: int


class Rendering:
    """The renderer.

    Parameters
    ----------
    session, conventions
        Of the half that renders; on a CPU with one thread.
    tile
        Pixels a side that a tile has at most, where that leaves something beside its margins.
    margin
        Pixels around what a tile gives, where the model does not say how far it looks.
    threads
        Tiles at once; 0: one a core.
    """

    def __init__(self, session: Any, conventions: Conventions, *, tile: int, margin: int, threads: int) -> None:
        self._session, self._conventions = session, conventions
        self._tile, self._margin, self._gpu = tile, margin, on_gpu(session)
        self._threads = 1 if self._gpu else threads or cores()

    def __call__(self, pixels: Pixels, disparity: NDArray[np.float32], focus: float, aperture: float) -> Pixels:
        """Refocus a picture as in `images.Image` whose disparity (H, W) is known; the aperture in pixels."""
        return render_wide_blur(
            pixels,
            disparity,
            aperture,
            widest=_widest(disparity, focus, aperture),
            limit=self._conventions.blur_limit,
            render=lambda part, given, size, half: self._by_tiles(part, given, focus, size, half),
            threads=self._threads,
        )

    def _by_tiles(
        self,
        pixels: Pixels,
        disparity: NDArray[np.float32],
        focus: float,
        aperture: float,
        half: NDArray[np.float32] | None,
    ) -> Pixels:
        margin, grid = self._reach(_widest(disparity, focus, aperture))
        side = self._tile if self._gpu else min(self._tile, max(SIDE, MARGINS * margin))
        multiple = self._conventions.size_multiple
        (down_parts, height), (across_parts, width) = (
            cut(length, side, margin=margin, grid=grid, multiple=multiple) for length in pixels.shape[:2]
        )
        down, across = (reflected(length, -(-length // multiple) * multiple) for length in pixels.shape[:2])
        out = np.empty_like(pixels)

        def render(place: tuple[Part, Part]) -> None:
            row, column = place
            near = disparity[np.ix_(down[row.start : row.start + height], across[column.start : column.start + width])]
            used = slice(row.first, row.end), slice(column.first, column.end)
            if half is not None and np.abs(focus - near).min() * aperture / 2 > COARSE:
                out[used] = like_input(enlarged(half, *used), pixels[used])
                return
            own = self._reach(_widest(near, focus, aperture))[0]  # often less than the widest blur of all asks for
            rows = _seen(row, height, own, multiple)
            columns = _seen(column, width, own, multiple)
            seen = np.ix_(down[rows], across[columns])
            made = run(self._session, as_photo(pixels[seen]), disparity=disparity[seen], focus=focus, aperture=aperture)
            made = made[row.first - rows.start :, column.first - columns.start :]
            out[used] = like_input(made[: row.end - row.first, : column.end - column.first], pixels[used])

        in_threads(render, product(down_parts, across_parts), self._threads)
        return out

    def _reach(self, widest: float) -> tuple[int, int]:
        """Return how far the model looks at blurs up to the widest, and the grid that its tiles must lie on."""
        reach = self._conventions.reach
        found = next((entry for entry in reach if widest <= entry[0]), reach[-1] if reach else None)
        return found[1:] if found else (self._margin, self._conventions.size_multiple)


def cut(length: int, side: int, *, margin: int, grid: int, multiple: int) -> tuple[list[Part], int]:
    """Cut a side of a photo into tiles.

    Parameters
    ----------
    length
        Of the photo's side, in pixels.
    side
        At most that of a tile, up to the next multiple, where what it gives is `LEAST` pixels then.
    margin
        Pixels around what a tile gives, where the photo has them.
    grid
        What the places where tiles start are multiples of.
    multiple
        What sizes are multiples of, itself a multiple of the grid.

    Returns
    -------
    parts
        They follow each other from 0 to `length`.
    size
        Of every tile, in pixels; the last may reach over the photo's end, up to the next multiple.
    """
    padded = -(-length // multiple) * multiple
    margin = -(-margin // grid) * grid
    count = -(-padded // max(side - 2 * margin, LEAST)) if padded > side else 1
    step = -(-padded // (count * grid)) * grid
    size = min(-(-(step + 2 * margin) // multiple) * multiple, padded)
    starts = range(0, length, step)
    return [Part(min(max(k - margin, 0), padded - size), k, min(k + step, length)) for k in starts], size


def _seen(part: Part, size: int, margin: int, multiple: int) -> slice:
    """Return what of a tile's side a margin of its own needs: multiples off the tile's start, and long."""
    start = part.start + max(part.first - margin - part.start, 0) // multiple * multiple
    return slice(start, min(start - (start - part.end - margin) // multiple * multiple, part.start + size))


def _widest(disparity: NDArray[np.float32], focus: float, aperture: float) -> float:
    """Return the widest blur diameter, in pixels."""
    return float(max(focus - disparity.min(), disparity.max() - focus)) / 2 * aperture

"""Photos of any size through a network that wants multiples of a size: reflected borders, blended tiles.

Everything is counted in blocks of the multiple, so every tile lies on the same grid as the whole photo would: a network
that halves its input six times sees the same pixels paired. Of an overlap the outer quarters are thrown away, where a
tile cannot see far enough, and the half between is blended with raised-cosine weights. A network that looks no further
than a quarter of the overlap gives exactly what it gives for the whole photo.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refocal.images.image import Pixels, as_photo, like_input


@dataclass(frozen=True)
class Axis:
    """How one side of a photo is cut.

    Attributes
    ----------
    index
        For each pixel of the side padded to the multiple, the pixel of the photo that stands there.
    starts
        First padded pixel of each tile, rising.
    size
        Pixels of a tile, a multiple of the multiple.
    weights
        (tiles, size): how much each pixel of each tile counts; they sum to 1 at every pixel.
    """

    index: NDArray[np.intp]
    starts: tuple[int, ...]
    size: int
    weights: NDArray[np.float32]


def cut(length: int, multiple: int, tile: int, overlap: int) -> Axis:
    """Cut a side of `length` pixels into tiles of at most `tile` (two multiples at least) that overlap by `overlap`."""
    blocks = -(-length // multiple)
    most = max(tile // multiple, 2)
    if length <= tile or blocks <= most:
        count, size = 1, blocks
    else:
        lap = min(-(-overlap // multiple), most // 2)
        count = -(-(blocks - lap) // (most - lap))
        size = -(-(blocks + (count - 1) * lap) // count)
    starts = np.rint(np.linspace(0, blocks - size, count)).astype(int) * multiple
    return Axis(
        index=reflected(length, blocks * multiple),
        starts=tuple(int(start) for start in starts),
        size=size * multiple,
        weights=_weights(starts, size * multiple, blocks * multiple),
    )


def reflected(length: int, padded: int) -> NDArray[np.intp]:
    """Return which pixel stands at 0 ... padded - 1 when `length` pixels are mirrored at the ends, again and again."""
    period = max(2 * (length - 1), 1)
    place = np.arange(padded) % period
    return np.minimum(place, period - place) if length > 1 else np.zeros(padded, np.intp)


def _weights(starts: NDArray[np.int_], size: int, padded: int) -> NDArray[np.float32]:
    weights = np.ones((len(starts), size))
    for k in range(1, len(starts)):
        lap = int(starts[k - 1] + size - starts[k])
        place = np.clip((np.arange(lap) + 0.5 - lap / 4) / (lap / 2), 0, 1)
        rise = (1 - np.cos(np.pi * place)) / 2
        weights[k, :lap] *= rise
        weights[k - 1, size - lap :] *= rise[::-1]
    total = np.zeros(padded)
    for k, start in enumerate(starts):
        total[start : start + size] += weights[k]
    return np.stack([weights[k] / total[start : start + size] for k, start in enumerate(starts)]).astype(np.float32)


def refocus_by_tiles(
    pixels: Pixels,
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    multiple: int,
    tile: int,
    overlap: int,
) -> Pixels:
    """Pass a picture through a network tile by tile, one row of tiles in memory at a time.

    Parameters
    ----------
    pixels
        A picture as in `images.Image`, any size.
    network
        (h, w, 3) float32 [0, 1] -> the same, for h and w multiples of `multiple`.
    multiple, tile, overlap
        In pixels.

    Returns
    -------
    As `pixels`. Memory beyond it: three bands as wide as the photo and as high as a tile, and what the network takes.
    """
    rows = cut(pixels.shape[0], multiple, tile, overlap)
    columns = cut(pixels.shape[1], multiple, tile, overlap)
    out = np.empty_like(pixels)
    carried = np.zeros((0, len(columns.index), 3), np.float32)  # what the tiles above gave to rows not finished yet
    ends = (*rows.starts[1:], pixels.shape[0])
    for i, (start, end) in enumerate(zip(rows.starts, ends, strict=True)):
        band = np.zeros((rows.size, len(columns.index), 3), np.float32)
        source = pixels[rows.index[start : start + rows.size]]
        for j, left in enumerate(columns.starts):
            columns_here = slice(left, left + columns.size)
            there = columns.index[columns_here]
            refocused = network(as_photo(source[:, there]))
            band[:, columns_here] += refocused * columns.weights[j][:, None]
        band *= rows.weights[i][:, None, None]
        band[: len(carried)] += carried
        done = slice(start, min(end, pixels.shape[0]))
        out[done] = like_input(band[: done.stop - start, : pixels.shape[1]], pixels[done])
        carried = band[end - start :].copy() if i + 1 < len(rows.starts) else carried
    return out

"""The sums of `views` in one Triton kernel: each pixel of a view is read once, from 8 bits.

A program makes a tile of one crop. For its views in turn it reads the tile's pixels, one row and column more than it
makes, decodes them by the table, and adds them to the four sums, which stay in registers; at the end the sums are
shifted by a pixel and added. What lies outside a view is not read. Imported only where Triton is.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

TILE, WARPS = (16, 64), 8  # rows and columns of pixels that a program reads, powers of 2; its warps
FACTS = 8  # numbers that describe a crop


@triton.jit
def _summed(t00, t01, t10, t11, below, behind):  # type: ignore[no-untyped-def]
    """Return the sum of four sums, shifted by one pixel to the left, up, and both."""
    return t00 + tl.gather(t01, behind, 1) + tl.gather(t10 + tl.gather(t11, behind, 1), below, 0)


@triton.jit
def _store(to, total, weight, linear, made):  # type: ignore[no-untyped-def]
    """Store a channel of the mean, in sRGB; NaN where there is no weight."""
    mean = tl.minimum(tl.maximum(total / weight, 0.0), 1.0)
    coded = 1.055 * tl.exp2(tl.log2(tl.maximum(mean, 0.0031308)) / 2.4) - 0.055
    coded = tl.where(mean <= 0.0031308, 12.92 * mean, coded)
    tl.store(to, tl.where(weight > 0, tl.where(linear != 0, coded, mean), float("nan")), mask=made)


@triton.jit  # type: ignore[untyped-decorator]
def _average(  # type: ignore[no-untyped-def]
    memory, tables, facts, whole, part, out, most, size, FACTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Average the views of one tile.

    memory      (pixels,) int32: R, G, B, 255
    tables      (2, 256) float32: values of a byte, in sRGB and in linear light
    facts       (N, FACTS) int64: first, views, height, width, top, left, side, linear
    whole       (N, most, 2) int32, part (N, most, 2) float32: of the shifts down and right
    out         (N, 3, size, size) float32; not written beyond a crop's own side

    Places within a view are 32-bit numbers that stay from view to view: the loop's arithmetic is what limits it.
    """
    n = tl.program_id(2)
    first, views = tl.load(facts + n * FACTS), tl.load(facts + n * FACTS + 1).to(tl.int32)
    height, width = tl.load(facts + n * FACTS + 2).to(tl.int32), tl.load(facts + n * FACTS + 3).to(tl.int32)
    top, left = tl.load(facts + n * FACTS + 4).to(tl.int32), tl.load(facts + n * FACTS + 5).to(tl.int32)
    side, linear = tl.load(facts + n * FACTS + 6).to(tl.int32), tl.load(facts + n * FACTS + 7).to(tl.int32)
    y = tl.program_id(1) * (ROWS - 1) + tl.arange(0, ROWS)[:, None]
    x = tl.program_id(0) * (COLUMNS - 1) + tl.arange(0, COLUMNS)[None, :]
    bottom, end = tl.where(y <= side, height, 0), tl.where(x <= side, width, 0)  # nothing is read beyond the crop
    offset = y * (width + 1) + x
    table = tables + linear * 256
    weight = tl.zeros((ROWS, COLUMNS), tl.float32)
    r00, r01, r10, r11 = weight, weight, weight, weight
    g00, g01, g10, g11 = weight, weight, weight, weight
    b00, b01, b10, b11 = weight, weight, weight, weight
    for p in range(views):
        place = (n * most + p) * 2
        low, start = top + tl.load(whole + place), left + tl.load(whole + place + 1)
        down, right = tl.load(part + place), tl.load(part + place + 1)
        row, column = y + low, x + start
        view = memory + (first + (1 + p * height + low).to(tl.int64) * (width + 1) + start)
        there = ((row >= 0) & (row < bottom)) & ((column >= 0) & (column < end))
        pixel = tl.load(view + offset, mask=there, other=0)
        red, green = tl.load(table + (pixel & 255)), tl.load(table + ((pixel >> 8) & 255))
        blue = tl.load(table + ((pixel >> 16) & 255))
        w00, w01, w10, w11 = (1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right
        r00, r01, r10, r11 = r00 + w00 * red, r01 + w01 * red, r10 + w10 * red, r11 + w11 * red
        g00, g01, g10, g11 = g00 + w00 * green, g01 + w01 * green, g10 + w10 * green, g11 + w11 * green
        b00, b01, b10, b11 = b00 + w00 * blue, b01 + w01 * blue, b10 + w10 * blue, b11 + w11 * blue
        rows = tl.where((row >= 0) & (row < height), 1 - down, 0.0)
        rows += tl.where((row >= -1) & (row < height - 1), down, 0.0)
        columns = tl.where((column >= 0) & (column < width), 1 - right, 0.0)
        columns += tl.where((column >= -1) & (column < width - 1), right, 0.0)
        weight += rows * columns
    below = tl.broadcast_to(tl.minimum(tl.arange(0, ROWS) + 1, ROWS - 1)[:, None], (ROWS, COLUMNS))
    behind = tl.broadcast_to(tl.minimum(tl.arange(0, COLUMNS) + 1, COLUMNS - 1)[None, :], (ROWS, COLUMNS))
    made = ((y < side) & (tl.arange(0, ROWS)[:, None] < ROWS - 1)) & (
        (x < side) & (tl.arange(0, COLUMNS)[None, :] < COLUMNS - 1)
    )
    to = out + ((n * 3).to(tl.int64) * size + y) * size + x
    _store(to, _summed(r00, r01, r10, r11, below, behind), weight, linear, made)
    _store(to + size * size, _summed(g00, g01, g10, g11, below, behind), weight, linear, made)
    _store(to + 2 * size * size, _summed(b00, b01, b10, b11, below, behind), weight, linear, made)


def average(memory: Tensor, tables: Tensor, plan: Sequence[NDArray[Any]], sides: Sequence[int]) -> list[Tensor]:
    """Return the means, (3, side, side) each, NaN where no view has a tap.

    Parameters
    ----------
    memory, tables : tensor
        Those of `LightFields`.
    plan : three arrays
        Facts (N, FACTS), and the whole (N, P, 2) and fractional (N, P, 2) parts of the shifts; see `LightFields.plan`.
    sides : sequence of int
        Side of each crop, in pixels.
    """
    facts, whole, part = (torch.from_numpy(array).to(memory.device) for array in plan)
    size = max(sides)
    out = torch.empty(len(sides), 3, size, size, device=memory.device)
    tiles: tuple[int, int, int] = (-(-size // (TILE[1] - 1)), -(-size // (TILE[0] - 1)), len(sides))
    launch: Any = _average[tiles]
    launch(memory, tables, facts, whole, part, out, whole.shape[1], size, FACTS, *TILE, num_warps=WARPS)
    return [made[:, :side, :side] for made, side in zip(out, sides, strict=True)]

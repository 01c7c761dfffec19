"""The sums of `on_the_fly` in one Triton kernel: of a batch of crops, each pixel of a view is read once, from 8 bits.

A program makes a tile of one crop. For its views in turn it reads the tile's pixels, one row and column more than it
makes, decodes them by the table, and adds them to the four sums, which stay in registers; at the end the sums are
shifted by a pixel and added. What lies outside a view is not read. Imported only where Triton is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from refocal.learning.on_the_fly import Cut, LightFields

TILE = (16, 32)  # rows and columns of pixels that a program reads; powers of 2
FACTS = 8


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
    """
    n = tl.program_id(2)
    first, views = tl.load(facts + n * FACTS), tl.load(facts + n * FACTS + 1)
    height, width = tl.load(facts + n * FACTS + 2), tl.load(facts + n * FACTS + 3)
    side, linear = tl.load(facts + n * FACTS + 6), tl.load(facts + n * FACTS + 7)
    y = tl.program_id(1) * (ROWS - 1) + tl.arange(0, ROWS)[:, None]
    x = tl.program_id(0) * (COLUMNS - 1) + tl.arange(0, COLUMNS)[None, :]
    wanted = (y <= side) & (x <= side)
    in_view_y, in_view_x = y + tl.load(facts + n * FACTS + 4), x + tl.load(facts + n * FACTS + 5)
    channel = tl.arange(0, 4)[None, None, :]
    t00 = tl.zeros((ROWS, COLUMNS, 4), tl.float32)
    t01 = tl.zeros((ROWS, COLUMNS, 4), tl.float32)
    t10 = tl.zeros((ROWS, COLUMNS, 4), tl.float32)
    t11 = tl.zeros((ROWS, COLUMNS, 4), tl.float32)
    for p in range(views):
        place = (n * most + p) * 2
        row, column = in_view_y + tl.load(whole + place), in_view_x + tl.load(whole + place + 1)
        down, right = tl.load(part + place), tl.load(part + place + 1)
        there = wanted & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixel = tl.load(memory + first + (1 + p * height + row) * (width + 1) + column, mask=there, other=0)
        light = tl.load(tables + linear * 256 + ((pixel[:, :, None] >> (8 * channel)) & 255))  # (ROWS, COLUMNS, 4)
        t00 += (1 - down) * (1 - right) * light
        t01 += (1 - down) * right * light
        t10 += down * (1 - right) * light
        t11 += down * right * light
    below = tl.minimum(tl.arange(0, ROWS) + 1, ROWS - 1)[:, None, None]
    behind = tl.minimum(tl.arange(0, COLUMNS) + 1, COLUMNS - 1)[None, :, None]
    below, behind = tl.broadcast_to(below, t00.shape), tl.broadcast_to(behind, t00.shape)
    total = t00 + tl.gather(t01, behind, 1) + tl.gather(t10 + tl.gather(t11, behind, 1), below, 0)
    weight = tl.sum(tl.where(channel == 3, total, 0.0), axis=2)[:, :, None]
    mean = tl.minimum(tl.maximum(total / weight, 0.0), 1.0)
    coded = 1.055 * tl.exp2(tl.log2(tl.maximum(mean, 0.0031308)) / 2.4) - 0.055
    coded = tl.where(mean <= 0.0031308, 12.92 * mean, coded)
    value = tl.where(weight > 0, tl.where(linear != 0, coded, mean), float("nan"))
    made = (y < side) & (tl.arange(0, ROWS)[:, None] < ROWS - 1) & (x < side)
    made &= tl.arange(0, COLUMNS)[None, :] < COLUMNS - 1
    to = out + ((n * 3 + channel) * size + y[:, :, None]) * size + x[:, :, None]
    tl.store(to, value, mask=made[:, :, None] & (channel < 3))


def average(fields: "LightFields", cuts: Sequence["Cut"]) -> list[Tensor]:
    """Return the means, (3, side, side) each, NaN where no view has a tap."""
    device, size = fields.memory.device, max(cut.side for cut in cuts)
    facts, whole, part = (torch.from_numpy(array).to(device) for array in plan(fields, cuts))
    out = torch.empty(len(cuts), 3, size, size, device=device)
    tiles: tuple[int, int, int] = (-(-size // (TILE[1] - 1)), -(-size // (TILE[0] - 1)), len(cuts))
    most = whole.shape[1]
    launch: Any = _average[tiles]
    launch(fields.memory, fields.tables, facts, whole, part, out, most, size, FACTS, *TILE, num_warps=8)
    return [made[:, : cut.side, : cut.side] for made, cut in zip(out, cuts, strict=True)]


def plan(fields: "LightFields", cuts: Sequence["Cut"]) -> tuple[Any, Any, Any]:
    """Return what the kernel takes of the cuts: facts, and the whole and fractional parts of the shifts."""
    most = max(fields.fields[cut.field].views for cut in cuts)
    facts = np.zeros((len(cuts), FACTS), np.int64)
    whole, part = np.zeros((len(cuts), most, 2), np.int32), np.zeros((len(cuts), most, 2), np.float32)
    for n, cut in enumerate(cuts):
        field = fields.fields[cut.field]
        facts[n] = (
            field.first,
            field.views,
            field.height,
            field.width,
            cut.top,
            cut.left,
            cut.side,
            field.linear,
        )
        whole[n, : field.views], part[n, : field.views] = field.shifts(cut.slope)
    return facts, whole, part

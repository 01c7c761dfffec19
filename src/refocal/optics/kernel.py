"""The bare kernel of shift-and-add. Nothing is checked here: `shiftadd` does that, and says what is computed.

Rows of pixels are flat runs of 3 W numbers. Light fields come as the flat memory that they lie in, with the place of
each view's first pixel in it, so that views of a mosaic, a mirrored grid or a part of one need no copy.
"""

import numpy as np
from numba import njit, prange

OPTIONS = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
ROWS = 32  # of the photo in a block: its accumulators and the pixels that they need stay in the cache of a core


@njit(parallel=True, **OPTIONS)
def average(memory, places, row_step, mask, slopes, size, decode, encode, scale, out):  # noqa: PLR0917
    """Average all slopes.

    memory      flat, uint8 or float32
    places      (U, V) int64: index in `memory` of each view's first pixel
    row_step    from one row of a view to the next
    mask        (U, V) bool: views that count
    slopes      (K,)
    size        H, W
    decode      table of what is averaged: for 0 … 255, or of another length for evenly spaced values of [0, 1]; empty:
                the values themselves are
    encode      table back from evenly spaced values of [0, 1]; or empty
    scale       of the mean, before it is encoded
    out         (K, H, 3 W) float32
    """
    height, width = size
    weights = column_weights(mask, slopes, width)
    blocks = (height + ROWS - 1) // ROWS
    for block in prange(blocks):
        top, bottom = block * ROWS, min(height, (block + 1) * ROWS)
        out[:, top:bottom] = 0
        total = np.empty(3 * width, np.float32)
        row = np.empty((mask.shape[1], 3 * width if decode.size else 0), np.float32)
        starts = np.zeros(mask.shape[1], np.int64)
        for u in range(mask.shape[0]):
            if not mask[u].any():
                continue
            first, last = rows_needed(u, mask.shape[0], slopes, top, bottom, height)
            for y in range(first, last):
                for v in range(mask.shape[1]):
                    start = places[u, v] + y * row_step
                    if decode.size and mask[u, v]:
                        look_up(memory[start : start + 3 * width], decode, decode.size == 256, row[v])
                    starts[v] = v * 3 * width if decode.size else start
                for k in range(slopes.size):
                    shift, part = split_shift(u, mask.shape[0], slopes[k])
                    here = y - shift  # gets 1 - part of this row, the one above gets part
                    if here < top or here - 1 >= bottom:
                        continue
                    if decode.size:
                        sum_along_x(row.reshape(-1), starts, mask[u], slopes[k], width, total)
                    else:
                        sum_along_x(memory, starts, mask[u], slopes[k], width, total)
                    if top < here < bottom:
                        add_to_both(out[k, here], out[k, here - 1], total, part)
                    elif here == top:
                        add(out[k, here], total, np.float32(1) - part)
                    else:
                        add(out[k, here - 1], total, part)
        for k in range(slopes.size):
            finish(out[k], top, bottom, height, slopes[k], weights[k], mask, encode, scale)


@njit(**OPTIONS)
def split_shift(index, count, slope):
    """Return the whole and the fractional part of the shift of a row or column of views."""
    shift = (index - (count - 1) / 2) * slope
    whole = np.floor(shift)
    return np.int64(whole), np.float32(shift - whole)


@njit(**OPTIONS)
def rows_needed(u, count, slopes, top, bottom, height):  # noqa: PLR0917
    """Return the rows of views u, first and behind the last, that a block has taps in at any slope."""
    first, last = height, 0
    for k in range(slopes.size):
        shift, _ = split_shift(u, count, slopes[k])
        first, last = min(first, top + shift), max(last, bottom + shift + 1)
    return max(first, 0), min(last, height)


@njit(**OPTIONS)
def column_weights(mask, slopes, width):
    """Return the weight of the taps that are there, (K, U, W), for each slope, row of views and column of pixels."""
    weights = np.zeros((slopes.size, mask.shape[0], width), np.float32)
    for k in range(slopes.size):
        for v in range(mask.shape[1]):
            shift, part = split_shift(v, mask.shape[1], slopes[k])
            for x in range(max(0, -shift - 1), min(width, width - shift)):
                weight = np.float32(0)
                if x + shift >= 0:
                    weight += np.float32(1) - part
                if x + shift + 1 < width:
                    weight += part
                for u in range(mask.shape[0]):
                    if mask[u, v]:
                        weights[k, u, x] += weight
    return weights


@njit(**OPTIONS)
def sum_along_x(memory, starts, mask, slope, width, total):  # noqa: PLR0917
    """Sum one row of pixels of the views of a row: two taps each. Four views at a time keep loads ahead of sums."""
    total[:] = 0
    count = mask.size
    group = np.empty(4, np.int64)
    filled = 0
    for v in range(count):
        if mask[v]:
            group[filled] = v
            filled += 1
        if filled == 4 or (v == count - 1 and filled):
            left, right = np.int64(0), np.int64(width)  # where all taps of the group are there
            for g in range(filled):
                shift, _ = split_shift(group[g], count, slope)
                left, right = max(left, -shift), min(right, width - 1 - shift)
            right = max(left, right)
            if left >= width:
                left = right = np.int64(width)
            if filled > 1 and right > left:
                for g in range(filled, 4):
                    group[g] = -1
                four(memory, starts, group, count, slope, left, right, total)
            for g in range(filled):
                shift, part = split_shift(group[g], count, slope)
                start = starts[group[g]]
                if filled == 1 and right > left:
                    one(memory, start + 3 * (left + shift), part, total[3 * left : 3 * right])
                edges(memory, start, shift, part, width, 0, left, total)
                edges(memory, start, shift, part, width, right, width, total)
            filled = 0


@njit(**OPTIONS)
def four(memory, starts, group, count, slope, left, right, total):  # noqa: PLR0917
    """Add two taps of each of up to four views, all of them there; -1 stands for no view and adds nothing."""
    n = 3 * (right - left)
    p0, a0, b0 = taps(starts, group[0], group[0], count, slope, left)
    p1, a1, b1 = taps(starts, group[1], group[0], count, slope, left)
    p2, a2, b2 = taps(starts, group[2], group[0], count, slope, left)
    p3, a3, b3 = taps(starts, group[3], group[0], count, slope, left)
    l0, r0 = memory[p0 : p0 + n], memory[p0 + 3 : p0 + 3 + n]
    l1, r1 = memory[p1 : p1 + n], memory[p1 + 3 : p1 + 3 + n]
    l2, r2 = memory[p2 : p2 + n], memory[p2 + 3 : p2 + 3 + n]
    l3, r3 = memory[p3 : p3 + n], memory[p3 + 3 : p3 + 3 + n]
    out = total[3 * left : 3 * right]
    for i in range(n):
        out[i] += ((a0 * l0[i] + b0 * r0[i]) + (a1 * l1[i] + b1 * r1[i])) + (
            (a2 * l2[i] + b2 * r2[i]) + (a3 * l3[i] + b3 * r3[i])
        )


@njit(**OPTIONS)
def taps(starts, v, instead, count, slope, left):  # noqa: PLR0917
    """Return where a view's first left tap lies, and the weights of left and right taps; 0 for no view."""
    shift, part = split_shift(v if v >= 0 else instead, count, slope)
    place = starts[v if v >= 0 else instead] + 3 * (left + shift)
    if v < 0:
        return place, np.float32(0), np.float32(0)
    return place, np.float32(1) - part, part


@njit(**OPTIONS)
def one(memory, start, part, out):
    """Add two taps of one view, all of them there."""
    left, right = memory[start : start + out.size], memory[start + 3 : start + 3 + out.size]
    rest = np.float32(1) - part
    for i in range(out.size):
        out[i] += rest * left[i] + part * right[i]


@njit(**OPTIONS)
def edges(memory, start, shift, part, width, first, last, total):  # noqa: PLR0917
    """Add the taps that are there, pixel by pixel, to the columns first … last - 1."""
    for x in range(max(first, -shift - 1), min(last, width - shift)):
        tap = start + 3 * (x + shift)
        if x + shift >= 0:
            for c in range(3):
                total[3 * x + c] += (np.float32(1) - part) * memory[tap + c]
        if x + shift + 1 < width:
            for c in range(3):
                total[3 * x + c] += part * memory[tap + 3 + c]


@njit(**OPTIONS)
def add(out, row, weight):
    """Add weight times a row to another."""
    for i in range(out.size):
        out[i] += weight * row[i]


@njit(**OPTIONS)
def add_to_both(here, above, row, part):
    """Spread a row over two: the one that it meets gets 1 - part of it, the one above gets part. One pass."""
    for i in range(row.size):
        here[i] += (np.float32(1) - part) * row[i]
        above[i] += part * row[i]


@njit(**OPTIONS)
def finish(out, top, bottom, height, slope, weights, mask, encode, scale):  # noqa: PLR0917
    """Divide the sums of a block's rows by the weights of the taps that were there, and encode."""
    inverse = np.empty(3 * weights.shape[1], np.float32)
    known = False  # inside, where all rows of views have both taps, it is the same for every row
    for y in range(top, bottom):
        inside = True
        for u in range(mask.shape[0]):
            shift, _ = split_shift(u, mask.shape[0], slope)
            inside = inside and 0 <= y + shift < height - 1
        if not (inside and known):
            invert_weights(y, height, slope, weights, scale, inverse)
        known = inside
        row = out[y]
        for i in range(row.size):
            row[i] *= inverse[i]
        if encode.size:
            look_up(row, encode, False, row)


@njit(**OPTIONS)
def invert_weights(y, height, slope, weights, scale, inverse):  # noqa: PLR0917
    """Set inverse to scale over the weights of the taps that are there for row y; 0 where there is none, see the shell."""
    weight = np.zeros(weights.shape[1], np.float32)
    for u in range(weights.shape[0]):
        shift, part = split_shift(u, weights.shape[0], slope)
        there = np.float32(0)
        if 0 <= y + shift < height:
            there += np.float32(1) - part
        if 0 <= y + shift + 1 < height:
            there += part
        if there > 0:
            add(weight, weights[u], there)
    for x in range(weight.size):
        share = scale / weight[x] if weight[x] > 0 else np.float32(0)
        inverse[3 * x] = inverse[3 * x + 1] = inverse[3 * x + 2] = share


@njit(**OPTIONS)
def look_up(values, table, whole, out):
    """Set out to table(values): whole numbers index it, those of [0, 1] are interpolated in it."""
    if whole:
        for i in range(out.size):
            out[i] = table[np.int64(values[i])]
    else:
        steps = np.float32(table.size - 1)
        for i in range(out.size):
            place = min(max(np.float32(values[i]), np.float32(0)), np.float32(1)) * steps
            index = min(np.int64(place), table.size - 2)
            part = place - np.float32(index)
            out[i] = table[index] + part * (table[index + 1] - table[index])

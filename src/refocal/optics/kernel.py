"""The bare kernel of shift-and-add. Nothing is checked here: `shiftadd` does that, and says what is computed.

Rows of pixels are flat runs of 3 W numbers. Light fields come as the flat memory that they lie in, with the place of
each view's first pixel in it, so that views of a mosaic, a mirrored grid or a part of one need no copy.
"""

import numpy as np
from numba import njit, prange

OPTIONS = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
ROWS = 32  # of the photo in a block: its accumulators and the pixels that they need stay in the cache of a core


@njit(parallel=True, **OPTIONS)
def average(memory, places, steps, mask, slopes, size, decode, encode, scale, out):
    """Average all slopes.

    memory      flat, uint8 or float32
    places      (U, V) int64: index in `memory` of each view's first number
    steps       from one row, pixel and channel of a view to the next; without a table the latter two are 3 and 1
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
        sums = np.empty((2, 3 * (width + 1)), np.float32)
        row = np.empty((mask.shape[1], 3 * width if decode.size else 0), np.float32)
        starts = np.zeros(mask.shape[1], np.int64)
        line = np.empty(3 * width if decode.size else 0, memory.dtype)
        spare = np.zeros(3 * width, np.float32)  # for what falls on rows of other blocks
        for u in range(mask.shape[0]):
            if not mask[u].any():
                continue
            first, last = rows_needed(u, mask.shape[0], slopes, top, bottom, height)
            for y in range(first, last):
                for v in range(mask.shape[1]):
                    start = places[u, v] + y * steps[0]
                    if decode.size and mask[u, v]:
                        if steps[1] == 3 and steps[2] == 1:
                            look_up(memory[start : start + 3 * width], decode, decode.size == 256, row[v])
                        else:
                            read_row(memory, start, steps, line)
                            look_up(line, decode, decode.size == 256, row[v])
                    starts[v] = v * 3 * width if decode.size else start
                for k in range(slopes.size):
                    shift, part = split_shift(u, mask.shape[0], slopes[k])
                    here = y - shift  # gets 1 - part of this row, the one above gets part
                    if here < top or here - 1 >= bottom:
                        continue
                    if decode.size:
                        sum_along_x(row.reshape(-1), starts, mask[u], slopes[k], width, sums)
                    else:
                        sum_along_x(memory, starts, mask[u], slopes[k], width, sums)
                    below = out[k, here] if here < bottom else spare
                    above = out[k, here - 1] if here > top else spare
                    add_to_both(below, above, sums, part)
        for k in range(slopes.size):
            finish(out[k], top, bottom, height, slopes[k], weights[k], mask, encode, scale)


@njit(**OPTIONS)
def split_shift(index, count, slope):
    """Return the whole and the fractional part of the shift of a row or column of views."""
    shift = (index - (count - 1) / 2) * slope
    whole = np.floor(shift)
    return np.int64(whole), np.float32(shift - whole)


@njit(**OPTIONS)
def rows_needed(u, count, slopes, top, bottom, height):
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
def sum_along_x(memory, starts, mask, slope, width, sums):
    """Sum one row of pixels over the views of a row, weighted for the left and for the right taps.

    sums is (2, 3 (W + 1)): at column x the sum over v of (1 - part) L[x + shift], and of part L[x + shift]. Column x of
    the photo gets the first at x and the second at x + 1; so each pixel is read and converted once. Four views at a
    time keep loads ahead of sums.
    """
    sums[:] = 0
    group = np.empty(4, np.int64)
    filled = 0
    for v in range(mask.size):
        if mask[v]:
            group[filled] = v
            filled += 1
        if filled == 4 or (v == mask.size - 1 and filled > 0):
            left, right = 0, width + 1  # where all views of the group are there
            for g in range(filled):
                shift, _ = split_shift(group[g], mask.size, slope)
                left, right = max(left, -shift), min(right, width - shift)
            if filled == 1 or right <= left:
                left = right = 0
            else:
                for g in range(filled, 4):
                    group[g] = -1
                add_four(memory, starts, group, mask.size, slope, left, right, sums)
            for g in range(filled):
                shift, part = split_shift(group[g], mask.size, slope)
                start = starts[group[g]] + 3 * shift
                add_one(memory, start, part, max(0, -shift), min(left, width - shift), sums)
                add_one(memory, start, part, max(right, -shift), min(width + 1, width - shift), sums)
            filled = 0


@njit(**OPTIONS)
def add_four(memory, starts, group, count, slope, left, right, sums):
    """Add columns left … right - 1 of up to four views; -1 stands for no view and adds nothing."""
    p0, a0, b0 = place(starts, group[0], group[0], count, slope, left)
    p1, a1, b1 = place(starts, group[1], group[0], count, slope, left)
    p2, a2, b2 = place(starts, group[2], group[0], count, slope, left)
    p3, a3, b3 = place(starts, group[3], group[0], count, slope, left)
    n = 3 * (right - left)
    l0, l1, l2, l3 = memory[p0 : p0 + n], memory[p1 : p1 + n], memory[p2 : p2 + n], memory[p3 : p3 + n]
    here, after = sums[0, 3 * left : 3 * right], sums[1, 3 * left : 3 * right]
    for i in range(n):
        x0, x1 = np.float32(l0[i]), np.float32(l1[i])
        x2, x3 = np.float32(l2[i]), np.float32(l3[i])
        here[i] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
        after[i] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)


@njit(**OPTIONS)
def place(starts, v, instead, count, slope, left):
    """Return where a view's pixel for column `left` lies, and the weights of left and right tap; 0 for no view."""
    shift, part = split_shift(v if v >= 0 else instead, count, slope)
    start = starts[v if v >= 0 else instead] + 3 * (left + shift)
    if v < 0:
        return start, np.float32(0), np.float32(0)
    return start, np.float32(1) - part, part


@njit(**OPTIONS)
def add_one(memory, start, part, left, right, sums):
    """Add columns left … right - 1 of one view."""
    for i in range(3 * left, 3 * right):
        value = np.float32(memory[start + i])
        sums[0, i] += (np.float32(1) - part) * value
        sums[1, i] += part * value


@njit(**OPTIONS)
def add_to_both(below, above, sums, part):
    """Spread a row of sums over two rows of the photo: `below` gets 1 - part of it, `above` gets part. One pass."""
    here, after = sums[0, : below.size], sums[1, 3 : 3 + below.size]
    for i in range(below.size):
        value = here[i] + after[i]
        below[i] += (np.float32(1) - part) * value
        above[i] += part * value


@njit(**OPTIONS)
def finish(out, top, bottom, height, slope, weights, mask, encode, scale):
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
def invert_weights(y, height, slope, weights, scale, inverse):
    """Set inverse to scale over the weight of the taps that are there for row y; 0 where there is none."""
    weight = np.zeros(weights.shape[1], np.float32)
    for u in range(weights.shape[0]):
        shift, part = split_shift(u, weights.shape[0], slope)
        there = np.float32(0)
        if 0 <= y + shift < height:
            there += np.float32(1) - part
        if 0 <= y + shift + 1 < height:
            there += part
        for x in range(weight.size):
            weight[x] += there * weights[u, x]
    for x in range(weight.size):
        share = scale / weight[x] if weight[x] > 0 else np.float32(0)
        inverse[3 * x] = inverse[3 * x + 1] = inverse[3 * x + 2] = share


@njit(**OPTIONS)
def read_row(memory, start, steps, line):
    """Set line to a row of pixels that do not lie side by side."""
    for x in range(line.size // 3):
        for c in range(3):
            line[3 * x + c] = memory[start + x * steps[1] + c * steps[2]]


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

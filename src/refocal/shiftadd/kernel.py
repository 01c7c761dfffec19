"""The kernel of shift-and-add for few slopes. `shift_and_add` checks its arguments and says what it computes.

Rows of pixels are flat runs of 3 W numbers. Light fields come as the flat memory that they lie in, with the place of
each view's first number in it, so that views of a mosaic, a mirrored grid or a part of one need no copy. Places are
unsigned where it is hot: numba tests no sign, LLVM makes vector loops. Shared memory is not sliced there: each slice
counts references, and cores would wait for each other's count. One file, since numba's cache sees changes of one only.
"""

import numpy as np
from numba import njit, prange

OPTIONS = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
ROWS = 32  # of the photo in a block: its accumulators and the pixels that they need stay in the cache of a core
GROUP = 7  # views summed in one pass: sums are read and written once for all of them, loads keep ahead


@njit(parallel=True, **OPTIONS)
def average(memory, places, steps, mask, slopes, decode, encode, scale, out):
    """Average all slopes.

    memory      flat, uint8 or float32
    places      (U, V) int64: index in `memory` of each view's first number
    steps       from one row, pixel and channel of a view to the next; without a table the latter two are 3 and 1
    mask        (U, V) bool: views that count
    slopes      (K,)
    decode      table of what is averaged, for 0 … 255 or evenly spaced values of [0, 1]; empty: the values themselves
    encode      table back from evenly spaced values of [0, 1]; or empty
    scale       of the mean, before it is encoded
    out         (K, H, 3 W) float32
    """
    height, width = out.shape[1], out.shape[2] // 3
    down, down_part = split_shifts(mask.shape[0], slopes)
    right, right_part = split_shifts(mask.shape[1], slopes)
    weights = column_weights(mask, right, right_part, width)
    for block in prange((height + ROWS - 1) // ROWS):
        top, bottom = block * ROWS, min(height, (block + 1) * ROWS)
        out[:, top:bottom] = 0
        sums = np.zeros((2, 3 * (width + 1)), np.float32)
        row = np.empty((mask.shape[1], 3 * width if decode.size else 0), np.float32)
        decoded = row.reshape(-1)
        starts, group = np.zeros(mask.shape[1], np.int64), np.empty(GROUP, np.int64)
        line = np.empty(3 * width if decode.size else 0, memory.dtype)
        spare = np.zeros(3 * width, np.float32)  # for what falls on rows of other blocks
        for u in range(mask.shape[0]):
            if not mask[u].any():
                continue
            first, last = max(top + down[:, u].min(), 0), min(bottom + down[:, u].max() + 1, height)
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
                    here = y - down[k, u]  # gets 1 - part of this row, the one above gets part
                    if here < top or here - 1 >= bottom:
                        continue
                    if decode.size:
                        sum_along_x(decoded, starts, mask, u, right[k], right_part[k], width, group, sums)
                    else:
                        sum_along_x(memory, starts, mask, u, right[k], right_part[k], width, group, sums)
                    below = out[k, here] if here < bottom else spare
                    above = out[k, here - 1] if here > top else spare
                    add_to_both(below, above, sums, down_part[k, u])
        for k in range(slopes.size):
            finish(out[k], top, bottom, height, down[k], down_part[k], weights[k], scale, encode)


@njit(**OPTIONS)
def split_shifts(count, slopes):
    """Return the whole and the fractional parts, (K, count), of the shifts of rows or columns of views."""
    shifts = np.outer(slopes, np.arange(count) - (count - 1) / 2)
    whole = np.floor(shifts)
    return whole.astype(np.int64), (shifts - whole).astype(np.float32)


@njit(**OPTIONS)
def there(place, count, part):
    """Return the weight of the taps at `place`, 1 - part, and behind it, part, that lie in 0 … count - 1."""
    return np.float32(0 <= place < count) * (np.float32(1) - part) + np.float32(0 <= place + 1 < count) * part


@njit(**OPTIONS)
def column_weights(mask, right, right_part, width):
    """Return the weight of the taps that are there, (K, U, W), for each slope, row of views and column of pixels."""
    weights = np.zeros((right.shape[0], mask.shape[0], width), np.float32)
    for k in range(right.shape[0]):
        for v in range(mask.shape[1]):
            shift, part = right[k, v], right_part[k, v]
            for x in range(width):
                weight = there(x + shift, width, part)
                for u in range(mask.shape[0]):
                    weights[k, u, x] += mask[u, v] * weight
    return weights


@njit(**OPTIONS)
def sum_along_x(memory, starts, mask, u, shifts, parts, width, group, sums):
    """Sum one row of pixels over the views of row u, weighted for the left and for the right taps.

    sums is (2, 3 (W + 1)): at column x the sum over v of (1 - part) L[x + shift], and of part L[x + shift]. Column x of
    the photo gets the first at x and the second at x + 1; so each pixel is read and converted once.
    """
    filled, keep = 0, np.float32(0)  # what was in sums before counts for nothing
    for v in range(mask.shape[1]):
        if mask[u, v]:
            group[filled] = v
            filled += 1
        if filled == GROUP or (v == mask.shape[1] - 1 and filled > 0):
            add_group(memory, starts, group[:filled], shifts, parts, width, keep, sums)
            filled, keep = 0, np.float32(1)


@njit(**OPTIONS)
def add_group(memory, starts, group, shifts, parts, width, keep, sums):
    """Add up to GROUP views to keep x sums: together where all of them are there, one by one at the edges."""
    left, right = 0, width + 1
    for v in group:
        left, right = max(left, -shifts[v]), min(right, width - shifts[v])
    if right <= left:
        left = right = 0
    if right > left:
        here, after = sums[0, 3 * left : 3 * right], sums[1, 3 * left : 3 * right]
        if group.size <= 4:
            add_four(memory, starts, group, shifts, parts, left, keep, here, after)
        else:
            add_seven(memory, starts, group, shifts, parts, left, keep, here, after)
    add_edge(memory, starts, group, shifts, parts, width, keep, 0, left, sums)
    add_edge(memory, starts, group, shifts, parts, width, keep, right, width + 1, sums)


@njit(**OPTIONS)
def place(starts, group, g, shifts, parts, left):
    """Return where view g of the group has its pixel for column `left`, and the weights of left and right tap."""
    v, counts = group[min(g, group.size - 1)], np.float32(g < group.size)  # behind the last view: weights 0
    return np.uint64(starts[v] + 3 * (left + shifts[v])), counts * (np.float32(1) - parts[v]), counts * parts[v]


@njit(**OPTIONS)
def add_four(memory, starts, group, shifts, parts, left, keep, here, after):
    """Add the columns from `left` on of up to four views."""
    p0, a0, b0 = place(starts, group, 0, shifts, parts, left)
    p1, a1, b1 = place(starts, group, 1, shifts, parts, left)
    p2, a2, b2 = place(starts, group, 2, shifts, parts, left)
    p3, a3, b3 = place(starts, group, 3, shifts, parts, left)
    for i in range(here.size):
        n = np.uint64(i)
        x0, x1 = np.float32(memory[p0 + n]), np.float32(memory[p1 + n])
        x2, x3 = np.float32(memory[p2 + n]), np.float32(memory[p3 + n])
        here[i] = keep * here[i] + (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
        after[i] = keep * after[i] + (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)


@njit(**OPTIONS)
def add_seven(memory, starts, group, shifts, parts, left, keep, here, after):
    """Add the columns from `left` on of up to seven views."""
    p0, a0, b0 = place(starts, group, 0, shifts, parts, left)
    p1, a1, b1 = place(starts, group, 1, shifts, parts, left)
    p2, a2, b2 = place(starts, group, 2, shifts, parts, left)
    p3, a3, b3 = place(starts, group, 3, shifts, parts, left)
    p4, a4, b4 = place(starts, group, 4, shifts, parts, left)
    p5, a5, b5 = place(starts, group, 5, shifts, parts, left)
    p6, a6, b6 = place(starts, group, 6, shifts, parts, left)
    for i in range(here.size):
        n = np.uint64(i)
        x0, x1 = np.float32(memory[p0 + n]), np.float32(memory[p1 + n])
        x2, x3 = np.float32(memory[p2 + n]), np.float32(memory[p3 + n])
        x4, x5, x6 = np.float32(memory[p4 + n]), np.float32(memory[p5 + n]), np.float32(memory[p6 + n])
        here[i] = keep * here[i] + (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3) + (a4 * x4 + a5 * x5) + a6 * x6
        after[i] = keep * after[i] + (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3) + (b4 * x4 + b5 * x5) + b6 * x6


@njit(**OPTIONS)
def add_edge(memory, starts, group, shifts, parts, width, keep, first, end, sums):
    """Add columns first … end - 1, where not all of the group's views are there."""
    for x in range(first, end):
        for c in range(3):
            here, after = keep * sums[0, 3 * x + c], keep * sums[1, 3 * x + c]
            for v in group:
                column = x + shifts[v]
                if 0 <= column < width:
                    value = np.float32(memory[np.uint64(starts[v] + 3 * column + c)])
                    here += (np.float32(1) - parts[v]) * value
                    after += parts[v] * value
            sums[0, 3 * x + c], sums[1, 3 * x + c] = here, after


@njit(**OPTIONS)
def add_to_both(below, above, sums, part):
    """Spread a row of sums over two rows of the photo: `below` gets 1 - part of it, `above` gets part. One pass."""
    here, after = sums[0, : below.size], sums[1, 3 : 3 + below.size]
    for i in range(below.size):
        value = here[i] + after[i]
        below[i] += (np.float32(1) - part) * value
        above[i] += part * value


@njit(**OPTIONS)
def finish(out, top, bottom, height, down, down_part, weights, scale, encode):
    """Divide the sums of a block's rows by the weights of the taps that were there, and encode."""
    inverse = np.empty(3 * weights.shape[1], np.float32)
    known = False  # inside, where all rows of views have both taps, it is the same for every row
    for y in range(top, bottom):
        inside = y + down.min() >= 0 and y + down.max() < height - 1
        if not (inside and known):
            invert_weights(y, height, down, down_part, weights, scale, inverse)
        known = inside
        for i in range(inverse.size):
            out[y, i] *= inverse[i]
        if encode.size:
            look_up(out[y], encode, False, out[y])


@njit(**OPTIONS)
def invert_weights(y, height, down, down_part, weights, scale, inverse):
    """Set inverse to scale over the weight of the taps that are there for row y; 0 where there is none."""
    weight = np.zeros(weights.shape[1], np.float32)
    for u in range(down.size):
        rows = there(y + down[u], height, down_part[u])
        for x in range(weight.size):
            weight[x] += rows * weights[u, x]
    for x in range(weight.size):
        inverse[3 * x : 3 * x + 3] = scale / weight[x] if weight[x] > 0 else np.float32(0)


@njit(**OPTIONS)
def read_row(memory, start, steps, line):
    """Set line to a row of pixels that do not lie side by side."""
    for i in range(line.size):
        line[i] = memory[start + i // 3 * steps[1] + i % 3 * steps[2]]


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

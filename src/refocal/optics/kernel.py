"""The bare kernel of shift-and-add. Nothing is checked here: `shiftadd` does that, and says what is computed.

Between two slopes at which some view's shift passes a whole number, the taps of all views stay where they are and their
weights are linear in the slope: the sum over the views is a polynomial of degree 2 in it, of degree 1 by each of the
two directions. Such a span of slopes costs one pass over the views, whatever the number of slopes in it.

With r the slope less that of the middle of the span, view v's pixel x counts (1 - p - r d) for column x - f of the photo
and p + r d for the one before (f the whole shift, d how far v is from the middle of the grid). So three sums over the
views of a row of the grid are enough: of L, of p L and of d L. Their differences along x are spread over two rows of
the polynomial's coefficients likewise. Taps outside a view are zero; what is there is divided by at the end.

Tiles of the photo go to the cores; a tile's decoded rows and its coefficients lie in the cache. Light fields come as the
flat memory that they lie in, with the place of each view's first number in it, so that views of a mosaic, a mirrored grid
or a part of one need no copy. Places are unsigned where it is hot: numba tests no sign, LLVM makes vector loops. One
file, since numba's cache sees changes of one only.
"""

import numpy as np
from numba import njit, prange

OPTIONS = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
ROWS, COLUMNS = 32, 540  # of the photo in a tile
SPANS = 2  # taken at a time: their coefficients have to stay in the cache
GROUP = 7  # views summed in one pass: sums are read and written once for all of them


@njit(parallel=True, **OPTIONS)
def average(memory, places, steps, mask, spans, middles, slopes, order, decode, encode, scale, out):
    """Average all slopes.

    memory      flat, uint8 or float32
    places      (U, V) int64: index in `memory` of each view's first number
    steps       from one row, pixel and channel of a view to the next
    mask        (U, V) bool: views that count
    spans       (S + 1,): slopes[spans[s]] … slopes[spans[s + 1] - 1] lie in one span
    middles     (S,) slope in the middle of each span
    slopes      (K,) rising
    order       (K,) the place in `out` of each
    decode      table of what is averaged, for 0 … 255 or evenly spaced values of [0, 1]; empty: the values themselves
    encode      table back from evenly spaced values of [0, 1]; or empty
    scale       of the mean, before it is encoded
    out         (K, H, 3 W) float32
    """
    height, width = out.shape[1], out.shape[2] // 3
    down, right = whole_shifts(mask.shape[0], middles), whole_shifts(mask.shape[1], middles)
    tall, wide = (height + ROWS - 1) // ROWS, (width + COLUMNS - 1) // COLUMNS
    turns = (middles.size + SPANS - 1) // SPANS
    for job in prange(turns * tall * wide):
        turn, top, left = job // (tall * wide), job // wide % tall * ROWS, job % wide * COLUMNS
        first, last = turn * middles.size // turns, (turn + 1) * middles.size // turns
        bottom, end = min(top + ROWS, height), min(left + COLUMNS, width)
        tile = (top, bottom, left, end)
        some = slice(first, last)
        sums = sum_views(
            memory, places, steps, mask, middles[some], down[some], right[some], decode, tile, height, width
        )
        for s in range(first, last):
            combine(sums[s - first], bottom - top)
            for k in range(spans[s], spans[s + 1]):
                finish(sums[s - first], slopes[k], middles[s], mask, down[s], right[s], tile, scale, encode, out[order[k]])


@njit(**OPTIONS)
def whole_shifts(count, slopes):
    """Return the whole parts, (S, count), of the shifts of rows or columns of views."""
    return np.floor(np.outer(slopes, np.arange(count) - (count - 1) / 2)).astype(np.int64)


@njit(**OPTIONS)
def sum_views(memory, places, steps, mask, middles, down, right, decode, tile, height, width):
    """Return the sums over all views, (S, 5, ROWS + 1, 3 COLUMNS), of which `combine` makes coefficients.

    With E + r F what a row of the grid has, summed, at a row of the photo, q its weight there and d its place, they are
    those of (1 - q) E, q E, (1 - q) F - d E, q F + d E and d F.
    """
    top, bottom, left, end = tile
    leftmost, most = right.min(), right.max() - right.min() + end - left + 1
    sums = np.zeros((middles.size, 5, ROWS + 1, 3 * COLUMNS), np.float32)
    views, rows = np.zeros(mask.shape[1] * 3 * most, np.float32), np.zeros((3, 3 * (COLUMNS + 1)), np.float32)
    group = np.empty(GROUP, np.int64)
    for u in range(mask.shape[0]):
        if not mask[u].any():
            continue
        away = u - (mask.shape[0] - 1) / 2
        for y in range(max(top + down[:, u].min(), 0), min(bottom + down[:, u].max() + 1, height)):
            for v in range(mask.shape[1]):
                if mask[u, v]:
                    line = views[v * 3 * most : (v + 1) * 3 * most]
                    read(memory, places[u, v] + y * steps[0], steps, left + leftmost, width, decode, line)
            for s in range(middles.size):
                here = y - down[s, u] - top
                if 0 <= here <= bottom - top:
                    sum_along_x(views, most, mask, u, middles[s], right[s], leftmost, end - left + 1, group, rows)
                    part = np.float32(middles[s] * away - down[s, u])
                    add_row(rows, part, np.float32(away), 3 * (end - left), sums[s], here)
    return sums


@njit(**OPTIONS)
def read(memory, start, steps, first, width, decode, line):
    """Set line to a view's pixels from column `first` on, as they are averaged; 0 outside the view."""
    count = line.size // 3
    begin, end = min(max(-first, 0), count), min(max(width - first, 0), count)
    line[: 3 * begin] = 0
    line[3 * end :] = 0
    inner = line[3 * begin : 3 * end]
    at = start + (first + begin) * steps[1]
    if steps[1] == 3 and steps[2] == 1:
        copy(memory, np.uint64(at), inner)
    else:
        for i in range(inner.size):
            inner[i] = memory[at + i // 3 * steps[1] + i % 3 * steps[2]]
    if decode.size:
        look_up(inner, decode, decode.size == 256, inner)


@njit(**OPTIONS)
def copy(memory, start, line):
    """Set line to what lies in memory from start on."""
    for i in range(line.size):
        line[i] = memory[start + np.uint64(i)]


@njit(**OPTIONS)
def sum_along_x(views, most, mask, u, middle, shifts, leftmost, columns, group, rows):
    """Set rows to the sums over the views of row u of the grid of L, p L and d L, for so many columns."""
    filled, keep = 0, np.float32(0)  # what was in rows before counts for nothing
    for v in range(mask.shape[1]):
        if mask[u, v]:
            group[filled] = v
            filled += 1
        if filled == GROUP or (v == mask.shape[1] - 1 and filled > 0):
            away = mask.shape[1] / 2 - 0.5
            if filled <= 4:
                add_four(views, most, group[:filled], middle, shifts, leftmost, away, 3 * columns, keep, rows)
            else:
                add_seven(views, most, group[:filled], middle, shifts, leftmost, away, 3 * columns, keep, rows)
            filled, keep = 0, np.float32(1)


@njit(**OPTIONS)
def place(most, group, g, middle, shifts, leftmost, away):
    """Return where view g of the group has its first number, and its weights: whether it counts, p and d."""
    v, counts = group[min(g, group.size - 1)], np.float32(g < group.size)  # behind the last view: weights 0
    d = v - away
    start = np.uint64(3 * (v * most + shifts[v] - leftmost))
    return start, counts, counts * np.float32(middle * d - shifts[v]), counts * np.float32(d)


@njit(**OPTIONS)
def add_four(views, most, group, middle, shifts, leftmost, away, count, keep, rows):
    """Add up to four views to keep x rows."""
    i0, c0, p0, d0 = place(most, group, 0, middle, shifts, leftmost, away)
    i1, c1, p1, d1 = place(most, group, 1, middle, shifts, leftmost, away)
    i2, c2, p2, d2 = place(most, group, 2, middle, shifts, leftmost, away)
    i3, c3, p3, d3 = place(most, group, 3, middle, shifts, leftmost, away)
    whole, parts, slants = rows[0], rows[1], rows[2]
    for i in range(count):
        n = np.uint64(i)
        x0, x1, x2, x3 = views[i0 + n], views[i1 + n], views[i2 + n], views[i3 + n]
        whole[i] = keep * whole[i] + (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3)
        parts[i] = keep * parts[i] + (p0 * x0 + p1 * x1) + (p2 * x2 + p3 * x3)
        slants[i] = keep * slants[i] + (d0 * x0 + d1 * x1) + (d2 * x2 + d3 * x3)


@njit(**OPTIONS)
def add_seven(views, most, group, middle, shifts, leftmost, away, count, keep, rows):
    """Add up to seven views to keep x rows."""
    i0, c0, p0, d0 = place(most, group, 0, middle, shifts, leftmost, away)
    i1, c1, p1, d1 = place(most, group, 1, middle, shifts, leftmost, away)
    i2, c2, p2, d2 = place(most, group, 2, middle, shifts, leftmost, away)
    i3, c3, p3, d3 = place(most, group, 3, middle, shifts, leftmost, away)
    i4, c4, p4, d4 = place(most, group, 4, middle, shifts, leftmost, away)
    i5, c5, p5, d5 = place(most, group, 5, middle, shifts, leftmost, away)
    i6, c6, p6, d6 = place(most, group, 6, middle, shifts, leftmost, away)
    whole, parts, slants = rows[0], rows[1], rows[2]
    for i in range(count):
        n = np.uint64(i)
        x0, x1, x2, x3 = views[i0 + n], views[i1 + n], views[i2 + n], views[i3 + n]
        x4, x5, x6 = views[i4 + n], views[i5 + n], views[i6 + n]
        whole[i] = keep * whole[i] + (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3) + (c4 * x4 + c5 * x5) + c6 * x6
        parts[i] = keep * parts[i] + (p0 * x0 + p1 * x1) + (p2 * x2 + p3 * x3) + (p4 * x4 + p5 * x5) + p6 * x6
        slants[i] = keep * slants[i] + (d0 * x0 + d1 * x1) + (d2 * x2 + d3 * x3) + (d4 * x4 + d5 * x5) + d6 * x6


@njit(**OPTIONS)
def add_row(rows, part, away, count, sums, here):
    """Add what a row of the grid has at one of its rows of pixels to the sums."""
    whole, parts, slants = rows[0], rows[1], rows[2]
    even0, odd0, even1, odd1, square = sums[0, here], sums[1, here], sums[2, here], sums[3, here], sums[4, here]
    rest = np.float32(1) - part
    for i in range(count):
        e = whole[i] - parts[i] + parts[i + 3]
        f = slants[i + 3] - slants[i]
        even0[i] += rest * e
        odd0[i] += part * e
        even1[i] += rest * f - away * e
        odd1[i] += part * f + away * e
        square[i] += away * f


@njit(**OPTIONS)
def combine(sums, rows):
    """Make the sums of a span, in place, coefficients: of 1 in sums[0], of r in sums[2], of r^2 in sums[4]."""
    for y in range(rows):
        for i in range(sums.shape[2]):
            sums[0, y, i] += sums[1, y + 1, i]
            sums[2, y, i] += sums[3, y + 1, i]
            sums[4, y, i] = sums[4, y + 1, i] - sums[4, y, i]


@njit(**OPTIONS)
def finish(sums, slope, middle, mask, down, right, tile, scale, encode, out):
    """Evaluate the polynomial, divide by the weights of the taps that were there, and encode."""
    top, bottom, left, end = tile
    height, width = out.shape[0], out.shape[1] // 3
    r, inverse = np.float32(slope - middle), np.empty(3 * (end - left), np.float32)
    inside = top + down.min() >= 0 and bottom + down.max() < height and left + right.min() >= 0
    inside = inside and end + right.max() < width
    weights = np.empty((0, 0), np.float32)
    if inside:
        inverse[:] = scale / np.float32(mask.sum())
    else:
        weights = column_weights(mask, slope, right, left, end, width)
    for y in range(top, bottom):
        if not inside:
            invert_weights(y, height, slope, down, weights, scale, inverse)
        line = out[y, 3 * left : 3 * end]
        c0, c1, c2 = sums[0, y - top], sums[2, y - top], sums[4, y - top]
        for i in range(line.size):
            line[i] = (c0[i] + r * (c1[i] + r * c2[i])) * inverse[i]
        if encode.size:
            look_up(line, encode, False, line)


@njit(**OPTIONS)
def there(place, count, part):
    """Return the weight of the taps at `place`, 1 - part, and behind it, part, that lie in 0 … count - 1."""
    return np.float32(0 <= place < count) * (np.float32(1) - part) + np.float32(0 <= place + 1 < count) * part


@njit(**OPTIONS)
def column_weights(mask, slope, right, left, end, width):
    """Return the weight of the taps that are there, (U, columns), for each row of views and column of pixels."""
    weights = np.zeros((mask.shape[0], end - left), np.float32)
    for v in range(mask.shape[1]):
        part = np.float32(slope * (v - (mask.shape[1] - 1) / 2) - right[v])
        for x in range(left, end):
            weight = there(x + right[v], width, part)
            for u in range(mask.shape[0]):
                weights[u, x - left] += mask[u, v] * weight
    return weights


@njit(**OPTIONS)
def invert_weights(y, height, slope, down, weights, scale, inverse):
    """Set inverse to scale over the weight of the taps that are there for row y; 0 where there is none."""
    weight = np.zeros(weights.shape[1], np.float32)
    for u in range(down.size):
        part = np.float32(slope * (u - (down.size - 1) / 2) - down[u])
        rows = there(y + down[u], height, part)
        for x in range(weight.size):
            weight[x] += rows * weights[u, x]
    for x in range(weight.size):
        inverse[3 * x : 3 * x + 3] = scale / weight[x] if weight[x] > 0 else np.float32(0)


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

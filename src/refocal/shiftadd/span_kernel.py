"""The kernel of shift-and-add for many slopes close together; `kernel` is the one for few.

Between two slopes at which some view's shift passes a whole number, the taps of all views stay where they are and their
weights are linear in the slope: the sum over the views is a polynomial of degree 2 in it, of degree 1 by each of the
two directions. Such a span of slopes costs one pass over the views, whatever the number of slopes in it.

With r the slope less that of the middle of the span, view v's pixel x counts (1 - p - r d) for column x - f of the
photo and p + r d for the one before (f the whole shift, d how far v is from the middle). So three sums over the views
of a row of the grid are enough: of L, of p L and of d L. Their differences along x are spread over two rows of the
polynomial's coefficients likewise. Taps outside a view are zero; what is there is divided by at the end.

Tiles of the photo go to the cores; what the views have there, as it is averaged, lies in the cache. How light fields
come, and why places are unsigned: see `kernel`, whose helpers are written here again, since numba's cache sees changes
of one file only.
"""

import numpy as np
from numba import njit, prange

OPTIONS = {"cache": True, "fastmath": True, "error_model": "numpy", "nogil": True}
COLUMNS = 1024  # at a time: what the views have there stays in the cache
SPANS = 10  # taken at a time: their coefficients have to stay in the cache
GROUP = 7  # views summed in one pass: sums are read and written once for all of them


@njit(parallel=True, **OPTIONS)
def average(
    memory, places, steps, mask, spans, middles, slopes, order, row_weights, column_weights, inverses, decode, encode,
    height, out,
):  # fmt: skip
    """Average all slopes.

    memory      flat, uint8 or float32
    places      (U, V) int64: index in `memory` of each view's first number
    steps       from one row, pixel and channel of a view to the next
    mask        (U, V) bool: views that count
    spans       (S + 1,): slopes[spans[s]] … slopes[spans[s + 1] - 1] lie in one span
    middles     (S,) slope in the middle of each span
    slopes      (K,) rising
    order       (K,) their places in `out`
    …weights, inverses: as `shiftadd` makes them
    decode      table of what is averaged, for 0 … 255 or evenly spaced values of [0, 1]; empty: the values themselves
    encode      table back from evenly spaced values of [0, 1]; or empty
    height      of the photo that a core takes at a time; the first rows cost more
    out         (K, H, 3 W) float32
    """
    width = out.shape[2] // 3
    down, right = whole_shifts(mask.shape[0], middles), whole_shifts(mask.shape[1], middles)
    tall, wide = (out.shape[1] + height - 1) // height, (width + COLUMNS - 1) // COLUMNS
    turns = (middles.size + SPANS - 1) // SPANS
    for job in prange(turns * tall * wide):
        turn, top, left = job // (tall * wide), job // wide % tall * height, job % wide * COLUMNS
        window = (top, min(top + height, out.shape[1]), left, min(left + COLUMNS, width))
        first, last = turn * middles.size // turns, (turn + 1) * middles.size // turns
        average_tile(
            memory, places, steps, mask, spans, middles, slopes, order, row_weights, column_weights, inverses, decode,
            encode, out, first, last, window, down, right,
        )  # fmt: skip


@njit(**OPTIONS)
def whole_shifts(count, slopes):
    """Return the whole parts, (S, count), of the shifts of rows or columns of views."""
    return np.floor(np.outer(slopes, np.arange(count) - (count - 1) / 2)).astype(np.int64)


@njit(**OPTIONS)
def average_tile(
    memory, places, steps, mask, spans, middles, slopes, order, row_weights, column_weights, inverses, decode,
    encode, out, first, last, window, down, right,
):  # fmt: skip
    """Average the slopes of the spans first … last - 1 for the rows and columns of a window.

    Row by row of the photo: what the views have at the rows that any span wants is kept, as it is averaged, in a ring.
    """
    top, bottom, left, end = window
    height, width, grid = out.shape[1], out.shape[2] // 3, mask.shape
    leftmost, count = left + right[first:last].min(), end - left
    line = 3 * (right[first:last].max() - right[first:last].min() + count + 1)
    depth = 1
    for u in range(grid[0]):
        depth = max(depth, down[first:last, u].max() - down[first:last, u].min() + 1)
    nothing = grid[0] * depth * grid[1] * line  # behind the ring: a line of zeros, in place of views that don't count
    ring = np.zeros(nothing + line, np.float32)
    along, group = np.zeros((3, 3 * (count + 1)), np.float32), np.empty(GROUP, np.int64)
    sums = np.zeros((last - first, 2, 5, 3 * count), np.float32)
    own = np.empty(3 * count, np.float32)
    for h in range(top, bottom + 1):
        for u in range(grid[0]):
            newest = h + down[first:last, u].max()
            oldest = newest if h > top else h + down[first:last, u].min()
            for y in range(oldest, newest + 1):
                for v in range(grid[1]):
                    if mask[u, v]:
                        at = ((u * depth + y % depth) * grid[1] + v) * line
                        if 0 <= y < height:
                            read(memory, places[u, v] + y * steps[0], steps, leftmost, width, decode, ring, at, line)
                        else:
                            ring[at : at + line] = 0
        for s in range(first, last):
            now = sums[s - first, h % 2]
            now[:] = 0
            for u in range(grid[0]):
                at = (u * depth + (h + down[s, u]) % depth) * grid[1] * line
                if sum_along_x(ring, at, line, nothing, mask, u, middles[s], right[s], leftmost - left, group, along):
                    away = u - (grid[0] - 1) / 2
                    add_row(along, np.float32(middles[s] * away - down[s, u]), np.float32(away), now)
            if h > top:
                before = sums[s - first, 1 - h % 2]
                combine(before, now)
                for k in range(spans[s], spans[s + 1]):
                    inverse = inverses[k, 3 * left : 3 * end]
                    if row_weights[k, :, h - 1].min() < 1:  # a view does not reach that row
                        invert(row_weights[k, :, h - 1], column_weights[k, :, left:end], own)
                        inverse = own
                    finish(before, np.float32(slopes[k] - middles[s]), inverse, encode, out, order[k], h - 1, left)


@njit(**OPTIONS)
def read(memory, start, steps, first, width, decode, ring, at, size):
    """Set a line of the ring to a view's pixels from column `first` on, as they are averaged; 0 outside the view."""
    count = size // 3
    begin = min(max(-first, 0), count)
    end = max(min(width - first, count), begin)
    ring[at : at + 3 * begin] = 0
    ring[at + 3 * end : at + size] = 0
    inner = ring[at + 3 * begin : at + 3 * end]
    start += (first + begin) * steps[1]
    if steps[1] == 3 and steps[2] == 1:
        if decode.size == 256:
            for i in range(inner.size):
                inner[i] = decode[np.int64(memory[np.uint64(start) + np.uint64(i)])]
            return
        for i in range(inner.size):
            inner[i] = memory[np.uint64(start) + np.uint64(i)]
    else:
        for i in range(inner.size):
            inner[i] = memory[start + i // 3 * steps[1] + i % 3 * steps[2]]
    if decode.size:
        look_up(inner, decode, decode.size == 256, inner)


@njit(**OPTIONS)
def sum_along_x(ring, at, line, nothing, mask, u, middle, shifts, leftmost, group, along):
    """Set along to the sums over the views of row u of the grid of L, p L and d L; return whether there are any."""
    filled, keep = 0, np.float32(0)  # what was there before counts for nothing
    away = (mask.shape[1] - 1) / 2
    for v in range(mask.shape[1]):
        if mask[u, v]:
            group[filled] = v
            filled += 1
        if filled == GROUP or (v == mask.shape[1] - 1 and filled > 0):
            add_seven(ring, at, line, nothing, group[:filled], middle, shifts, leftmost, away, keep, along)
            filled, keep = 0, np.float32(1)
    return keep > 0


@njit(**OPTIONS)
def place(at, line, nothing, group, g, middle, shifts, leftmost, away):
    """Return where view g of the group has its first number, and its p and d."""
    if g >= group.size:
        return np.uint64(nothing), np.float32(0), np.float32(0)
    v = group[g]
    start = np.uint64(at + v * line + 3 * (shifts[v] - leftmost))
    return start, np.float32(middle * (v - away) - shifts[v]), np.float32(v - away)


@njit(**OPTIONS)
def add_seven(ring, at, line, nothing, group, middle, shifts, leftmost, away, keep, along):
    """Add up to seven views to keep x along."""
    i0, p0, d0 = place(at, line, nothing, group, 0, middle, shifts, leftmost, away)
    i1, p1, d1 = place(at, line, nothing, group, 1, middle, shifts, leftmost, away)
    i2, p2, d2 = place(at, line, nothing, group, 2, middle, shifts, leftmost, away)
    i3, p3, d3 = place(at, line, nothing, group, 3, middle, shifts, leftmost, away)
    i4, p4, d4 = place(at, line, nothing, group, 4, middle, shifts, leftmost, away)
    i5, p5, d5 = place(at, line, nothing, group, 5, middle, shifts, leftmost, away)
    i6, p6, d6 = place(at, line, nothing, group, 6, middle, shifts, leftmost, away)
    whole, parts, slants = along[0], along[1], along[2]
    for i in range(whole.size):
        n = np.uint64(i)
        x0, x1, x2, x3 = ring[i0 + n], ring[i1 + n], ring[i2 + n], ring[i3 + n]
        x4, x5, x6 = ring[i4 + n], ring[i5 + n], ring[i6 + n]
        whole[i] = keep * whole[i] + (x0 + x1) + (x2 + x3) + (x4 + x5) + x6
        parts[i] = keep * parts[i] + (p0 * x0 + p1 * x1) + (p2 * x2 + p3 * x3) + (p4 * x4 + p5 * x5) + p6 * x6
        slants[i] = keep * slants[i] + (d0 * x0 + d1 * x1) + (d2 * x2 + d3 * x3) + (d4 * x4 + d5 * x5) + d6 * x6


@njit(**OPTIONS)
def add_row(along, part, away, sums):
    """Add what a row of the grid has at one of its rows of pixels to the sums.

    With E + r F what it has there at columns x, they are those of (1 - q) E, q E, (1 - q) F - d E, q F + d E and d F.
    """
    whole, parts, slants = along[0], along[1], along[2]
    even0, odd0, even1, odd1, square = sums[0], sums[1], sums[2], sums[3], sums[4]
    rest = np.float32(1) - part
    for i in range(square.size):
        e = whole[i] - parts[i] + parts[i + 3]
        f = slants[i + 3] - slants[i]
        even0[i] += rest * e
        odd0[i] += part * e
        even1[i] += rest * f - away * e
        odd1[i] += part * f + away * e
        square[i] += away * f


@njit(**OPTIONS)
def combine(sums, after):
    """Make the sums of a row, in place, of the next ones, coefficients: of 1, r and r^2 in sums[0], [2], [4]."""
    for i in range(sums.shape[1]):
        sums[0, i] += after[1, i]
        sums[2, i] += after[3, i]
        sums[4, i] = after[4, i] - sums[4, i]


@njit(**OPTIONS)
def finish(sums, r, inverse, encode, out, k, y, left):
    """Evaluate the polynomial for row y, divide by the weights of the taps that were there, and encode."""
    line = out[k, y, 3 * left : 3 * left + inverse.size]
    c0, c1, c2 = sums[0], sums[2], sums[4]
    for i in range(line.size):
        line[i] = (c0[i] + r * (c1[i] + r * c2[i])) * inverse[i]
    if encode.size:
        look_up(line, encode, False, line)


@njit(**OPTIONS)
def invert(rows, columns, inverse):
    """Set inverse to 1 over the weight of the taps that are there, from those of rows and columns; 0 without any."""
    for x in range(columns.shape[1]):
        weight = np.float32(0)
        for u in range(rows.size):
            weight += rows[u] * columns[u, x]
        inverse[3 * x : 3 * x + 3] = 1 / weight if weight > 0 else np.float32(0)


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

"""What a plane sweep adds up is what a slow, obvious reference adds up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered_scene import layered
from numpy.typing import NDArray

from refocal.depth.from_views.matching_cost import CUT, LUMA, cost_volume, detail_of, reference_view


def reference(
    views: NDArray[Any], mask: NDArray[np.bool_], middle: tuple[int, int], slope: float
) -> NDArray[np.float64]:
    """Pixel by pixel: the mean over views of the difference, cut off; the cut where one of four taps is missing."""
    rows, columns, height, width, _ = views.shape
    detail = {(u, v): detail_of(views[u, v]).detail.astype(np.float64) for u, v in np.ndindex(rows, columns)}
    others = [(u, v) for u, v in np.ndindex(rows, columns) if mask[u, v] and (u, v) != middle]
    cost = np.zeros((height, width))
    for u, v in others:
        for y, x in np.ndindex(height, width):
            there_y, there_x = y + (u - middle[0]) * slope, x + (v - middle[1]) * slope
            top, left = int(np.floor(there_y)), int(np.floor(there_x))
            if not (0 <= top < height - 1 and 0 <= left < width - 1):
                cost[y, x] += CUT
                continue
            taps = [(i, j) for i in (top, top + 1) for j in (left, left + 1)]
            there = sum((1 - abs(there_y - i)) * (1 - abs(there_x - j)) * detail[u, v][i, j] for i, j in taps)
            cost[y, x] += min(abs(there - detail[middle][y, x]), CUT)
    return cost / len(others)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 3), st.integers(2, 9), st.integers(2, 9)),
    slope=st.one_of(st.integers(-3, 3).map(float), st.integers(-800, 800).map(lambda n: n / 64)),  # exact in float32
    seed=st.integers(0, 999),
    deep=st.booleans(),
)
def test_costs_equal_the_slow_reference_for_any_shape_slope_and_mask(
    shape: tuple[int, int, int, int], slope: float, seed: int, deep: bool
) -> None:
    random = np.random.default_rng(seed)
    views: NDArray[Any] = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    if deep:
        views = (views / 255).astype(np.float32)
    mask = random.random(shape[:2]) < 0.7
    mask.flat[:2] = True
    middle = reference_view(views, mask)
    slopes = np.array([slope, 0.0, -slope])
    cost = cost_volume(views, mask, detail_of(views[middle]), slopes)
    assert cost.dtype == np.float32
    assert cost.shape == (3, *shape[2:])
    for plane, s in zip(cost, slopes, strict=True):
        np.testing.assert_allclose(plane, reference(views, mask, middle, s), rtol=0, atol=2e-5)


def test_without_a_mask_every_view_counts() -> None:
    views = layered(0)[0][1:4, 1:4, :30, :40]
    middle, slopes = detail_of(views[1, 1]), np.array([-1.0, 0.3])
    np.testing.assert_array_equal(
        cost_volume(views, None, middle, slopes), cost_volume(views, np.ones((3, 3), bool), middle, slopes)
    )


def test_the_cost_is_lowest_at_the_disparity_that_is_there() -> None:
    views, truth = layered(0)
    slopes = np.arange(-2.0, 2.5, 0.5)
    cost = cost_volume(views, None, detail_of(views[2, 2]), slopes)
    found = slopes[np.argmin(cost, axis=0)]
    inside = np.zeros(truth.shape, bool)
    for left in (8, 40, 72):  # the thirds without their edges, which some views do not see
        inside[8:-8, left : left + 16] = True
    assert (found == truth)[inside].mean() > 0.98
    there = cost[:, 8:-8, 72:88].mean(axis=(1, 2))
    assert there[slopes == 1.0] < 0.1 * there[abs(slopes - 1) >= 1].min()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_the_reference_is_the_valid_view_next_to_the_middle(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.5
    views = np.zeros((rows, columns, 1, 1, 3), np.uint8)
    if mask.sum() < 2:
        with pytest.raises(ValueError, match=rf"needs two valid views or more, {mask.sum()} of {rows} x {columns} are"):
            reference_view(views, mask)
        return
    found = reference_view(views, mask)
    away = {(u, v): np.hypot(u - rows // 2, v - columns // 2) for u, v in np.argwhere(mask).tolist()}
    assert away[found] == min(away.values())
    if rows * columns > 1:
        assert reference_view(views, None) == (rows // 2, columns // 2)


def test_a_single_view_cannot_be_swept() -> None:
    with pytest.raises(ValueError, match="needs two valid views or more, 1 of 1 x 1 are"):
        reference_view(np.zeros((1, 1, 4, 4, 3), np.uint8), None)


def test_detail_is_free_of_depth_and_brightness_and_none_where_it_is_flat() -> None:
    view = layered(3)[0][2, 2]
    whole = detail_of(view)
    np.testing.assert_allclose(whole.grey, view @ LUMA / 255, atol=1e-6)
    assert whole.detail.dtype == whole.grey.dtype == np.float32
    same = detail_of((view / 255).astype(np.float32))
    np.testing.assert_allclose(same.detail, whole.detail, atol=1e-4)
    vignetted = detail_of((view / 255 * 0.65).astype(np.float32))
    assert np.abs(vignetted.detail - whole.detail).mean() < 0.1 * np.abs(whole.detail).mean()
    assert np.abs(detail_of(np.full((20, 30, 3), 180, np.uint8)).detail).max() < 1e-3
    assert 0.5 < whole.detail.std() < 1.5  # over how much the surroundings vary

"""A light field becomes a photo with disparity whose edges stand where the photo's do."""

import numpy as np
import pytest
from layered_scene import layered
from scipy.ndimage import gaussian_filter

from refocal import find_depth
from refocal.depth.from_views.light_field import filled
from refocal.depth.from_views.matching_cost import planes_between
from refocal.depth.from_views.plane_sweep import plane_sweep
from refocal.lightfields.lightfield import LightField
from refocal.shiftadd.slopes import FocusRange


def sparse(step: float) -> tuple[LightField, np.ndarray]:
    """Return 3 x 3 views of a square before a wall, 2 `step` px apart a view, and which pixels are the square."""
    random = np.random.default_rng(5)
    noise = gaussian_filter(random.normal(size=(2, 80, 96, 3)), (0, 1, 1, 0))
    contrast = np.array([0.04, 0.15]).reshape(2, 1, 1, 1)  # a plain wall: what is near seems fat before it
    wall, card = (0.5 + contrast * noise / noise.std()).astype(np.float32).clip(0, 1)
    square = np.zeros((80, 96), bool)
    square[24:56, 32:64] = True
    views = np.empty((3, 3, 80, 96, 3), np.float32)
    for u, v in np.ndindex(3, 3):
        by = round((u - 1) * step), round((v - 1) * step)
        views[u, v] = np.roll(wall, (-by[0], -by[1]), (0, 1))
        views[u, v][np.roll(square, by, (0, 1))] = np.roll(card, by, (0, 1))[np.roll(square, by, (0, 1))]
    return LightField(views, np.ones((3, 3), bool), "square"), square


def test_layers_get_their_disparity_and_the_aperture_is_the_lens_s() -> None:
    views, truth = layered(0)
    depth = find_depth(LightField(views, np.ones((5, 5), bool), "layers"), FocusRange(-1, 1))
    assert depth.aperture == 10  # of the lens: 5 pieces of a pupil, 2 px each
    assert depth.source == "plane sweep of 25 views"
    np.testing.assert_array_equal(depth.photo, views[2, 2])
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(depth.disparity - truth)[inner].mean() < 0.05
    assert np.abs(depth.disparity).max() <= 1


def test_a_near_thing_is_not_fatter_than_it_is() -> None:
    """The second sweep finds the edges that the first, by its windows, puts outside the thing."""
    field, square = sparse(4)
    ends = FocusRange(-4, 4)
    found = find_depth(field, ends).disparity > 0
    slopes = planes_between(ends.far, ends.near, field.grid)
    fat = plane_sweep(field.views, slopes, mask=field.mask)[0] > 0
    inner = np.s_[10:-10, 10:-10]
    wrong, before = ((one ^ square)[inner].sum() for one in (found, fat))
    assert wrong < 0.7 * before
    assert wrong < 0.06 * square.sum()


def test_vignetted_views_change_little() -> None:
    field, square = sparse(4)
    views = 0.75 * field.views
    views[1, 1] = field.views[1, 1]
    found = find_depth(LightField(views, field.mask, "dim corner"), FocusRange(-4, 4)).disparity > 0
    assert (found ^ square)[10:-10, 10:-10].mean() < 0.03


def test_a_row_of_views_is_enough_and_a_masked_view_is_never_looked_at() -> None:
    field, square = sparse(4)
    assert ((find_depth(LightField(field.views[1:2], np.ones((1, 3), bool), "row"), FocusRange(-4, 4)).disparity > 0)
            ^ square)[10:-10, 10:-10].mean() < 0.06  # fmt: skip
    views, mask = field.views.copy(), field.mask.copy()
    views[2, 2], mask[2, 2] = np.nan, False
    depth = find_depth(LightField(views, mask, "hole"), FocusRange(-4, 4))
    assert np.isfinite(depth.disparity).all()
    assert depth.source == "plane sweep of 8 views"


def test_what_is_unsure_gets_the_disparity_around_it_up_to_the_next_edge() -> None:
    photo = np.zeros((60, 60, 3), np.float32)
    photo[:, 30:] = 1
    disparity = np.repeat(np.where(np.arange(60) < 30, -1.0, 1.0)[None], 60, axis=0).astype(np.float32)
    confidence = np.ones((60, 60), np.float32)
    confidence[20:40, 20:40] = 0
    truth = disparity.copy()
    disparity[20:40, 20:40] = 5
    np.testing.assert_allclose(filled(disparity, confidence, photo, 0.2, 0.5), truth, atol=0.05)


def test_planes_lie_half_a_pixel_apart_in_the_outermost_view() -> None:
    slopes = planes_between(-4, 4, (3, 3))
    assert (slopes[0], slopes[-1], len(slopes)) == (-4, 4, 17)
    assert len(planes_between(-4, 4, (7, 9))) == 65
    assert len(planes_between(-100, 100, (9, 9))) == 129


def test_one_view_is_no_light_field() -> None:
    field, _ = sparse(4)
    with pytest.raises(ValueError, match="needs two valid views"):
        find_depth(LightField(field.views[1:2, 1:2], np.ones((1, 1), bool), "one"), FocusRange(-1, 1))

"""Views of one photo: what is near moves more and covers, what lay hidden is filled, and averaged they refocus."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from refocal.render.reference import render
from refocal.render.views import ViewRenderer, check_grid
from refocal.shiftadd.shift_and_add import shift_and_add

Photo = NDArray[np.float32]


def texture(height: int, width: int, seed: int = 0) -> Photo:
    """Return a smooth pattern in [0.1, 0.9]."""
    noise = gaussian_filter(np.random.default_rng(seed).random((height, width, 3)), (1.5, 1.5, 0))
    low, high = noise.min(), noise.max()
    return np.asarray(0.1 + 0.8 * (noise - low) / (high - low), np.float32)


def squares(near: float = 1, far: float = -1) -> tuple[Photo, Photo]:
    """Return a bright square before a dark ground, and the disparity."""
    photo, disparity = texture(60, 80) * 0.4, np.full((60, 80), far, np.float32)
    photo[20:40, 30:50] = 0.6 + 0.4 * texture(20, 20, 1)
    disparity[20:40, 30:50] = near
    return photo, disparity


@settings(deadline=None, max_examples=20)
@given(st.floats(-2, 2), st.floats(-3, 3), st.floats(-3, 3))
def test_a_plane_moves_by_its_slope(slope: float, down: float, right: float) -> None:
    photo = texture(40, 50)
    renderer = ViewRenderer(photo, np.zeros((40, 50), np.float32), (slope - 1, slope + 1), 3)
    made = renderer(down, right)
    rows, columns = np.mgrid[:40, :50]
    places = [rows - down * slope, columns - right * slope]
    wanted = np.stack([map_coordinates(photo[..., c], places, order=3, mode="nearest") for c in range(3)], -1)
    np.testing.assert_allclose(made[7:-7, 7:-7], wanted[7:-7, 7:-7], atol=0.02)


def test_what_is_near_covers_and_what_it_uncovers_is_ground() -> None:
    photo, disparity = squares()
    made = ViewRenderer(photo, disparity, (0, 4), 1)(0, 1)
    np.testing.assert_allclose(made[22:38, 36:52], photo[22:38, 32:48], atol=0.01)  # the square, 4 px to the right
    ground = made[22:38, 30:33]  # where it stood
    assert ground.max() < 0.45
    np.testing.assert_array_equal(made[:18], photo[:18])
    np.testing.assert_array_equal(made[22:38, 60:], photo[22:38, 60:])


def test_what_is_far_goes_behind_what_is_near() -> None:
    photo, disparity = squares(near=-1, far=1)  # a hole in a near wall
    made = ViewRenderer(photo, disparity, (0, 4), 1)(0, 1)
    np.testing.assert_allclose(made[22:38, 35:48], photo[22:38, 35:48], atol=0.01)
    np.testing.assert_allclose(made[22:38, 30:33], photo[22:38, 26:29], atol=0.01)  # the wall has come over it


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_the_middle_view_is_the_photo_and_others_are_of_its_kind(kind: type, channels: int) -> None:
    values = np.random.default_rng(0).random((20, 30, channels) if channels else (20, 30))
    photo = (values * (1 if kind is np.float32 else np.iinfo(kind).max)).astype(kind)
    views = list(ViewRenderer(photo, np.zeros((20, 30)), (-1, 1), 1).grid(3, 3))
    assert len(views) == 9
    np.testing.assert_array_equal(views[4], photo)
    assert {(view.dtype, view.shape) for view in views} == {(photo.dtype, photo.shape)}


def test_views_come_in_canonical_order() -> None:
    """Row by row, from above and from the left: what is near comes from the upper left."""
    photo, disparity = squares()
    renderer = ViewRenderer(photo, disparity, (0, 3), 1)
    for number, view in enumerate(renderer.grid(3, 3)):
        down, right = number // 3 - 1, number % 3 - 1
        rows, columns, _ = np.nonzero(view[10:50, 20:60] > 0.5)
        np.testing.assert_allclose([rows.mean() - 19.5, columns.mean() - 19.5], [3 * down, 3 * right], atol=0.6)


def test_an_even_grid_has_its_middle_between_two_views() -> None:
    renderer = ViewRenderer(texture(20, 30), np.zeros((20, 30)), (-1, 3), 0.5)  # all at slope 1
    left, right = renderer.grid(1, 2)
    np.testing.assert_allclose(left[5:-5, 5:-6], right[5:-5, 6:-5], atol=0.03)


@pytest.mark.parametrize("focus", [-1.0, 0.3, 1.0])
def test_averaged_along_a_slope_they_are_what_the_renderer_makes(focus: float) -> None:
    """Of a scene without edges in depth, which the renderer of the same views handles exactly."""
    photo = texture(80, 100)
    disparity = np.asarray(np.sin(np.mgrid[:80, :100][1] / 30), np.float32)
    far, near = -0.6, 0.8
    views = np.stack(list(ViewRenderer(photo, disparity, (far, near), 2).grid(5, 5))).reshape(5, 5, 80, 100, 3)
    made = shift_and_add(views, far + (focus + 1) / 2 * (near - far))
    wanted = render(photo, disparity, focus, 4 * (near - far), grid=(5, 5))
    error = np.mean((made[6:-6, 6:-6] - wanted[6:-6, 6:-6]) ** 2)
    assert -10 * np.log10(error) > 38


def test_a_round_trip_ends_where_it_began_and_is_as_wide_as_the_grid() -> None:
    photo, disparity = squares()
    renderer = ViewRenderer(photo, disparity, (0, 2), 2)
    around = list(renderer.round_trip(4))
    for view, place in zip(around, [(0, 2), (2, 0), (0, -2), (-2, 0)], strict=True):
        np.testing.assert_allclose(view, renderer(*place), atol=1e-4)


def test_a_reduced_renderer_shows_the_same_parallax_in_fewer_pixels() -> None:
    photo, disparity = np.kron(squares()[0], np.ones((2, 2, 1), np.float32)), np.kron(squares()[1], np.ones((2, 2)))
    small = ViewRenderer(photo, disparity, (0, 4), 1).reduced(80)
    assert (small.pixels.dtype, small.pixels.shape, small.slopes) == (np.uint8, (60, 80, 3), (0, 2))
    large = ViewRenderer(photo, disparity, (0, 4), 1)(0, 1)
    np.testing.assert_allclose(small(0, 1)[25:35, 34:50] / 255, large[50:70:2, 68:100:2], atol=0.03)


@pytest.mark.parametrize(
    ("grid", "slopes"),
    [((0, 5), (0, 1)), ((5,), (0, 1)), ((3, 102), (0, 1)), ((3, 3), (1, 1)), ((3, 3), (0, float("nan")))],
)
def test_a_grid_or_slopes_that_are_none_are_refused(grid: tuple[int, int], slopes: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"^(grid|slopes) must be two numbers"):
        check_grid(grid, slopes)

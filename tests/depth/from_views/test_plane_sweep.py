"""The sign of focus, on rendered and on real scenes; disparity and range as they were rendered; views the wrong way."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layered_scene import layered
from numpy.typing import NDArray

from refocal.depth.from_views.plane_sweep import check_orientation, find_disparity, find_range, plane_sweep
from refocal.lightfields.lightfield import LightField
from refocal.scenes.synthetic.light_field import Arrangement, Layer, render_light_field
from refocal.scenes.synthetic.mattes import Matte, card
from refocal.scenes.synthetic.textures import material
from refocal.shiftadd.shift_and_add import shift_and_add
from refocal.shiftadd.slopes import FocusRange, aperture_of

slopes = st.floats(-8, 8)
Rendered = tuple[NDArray[np.uint8], NDArray[np.float32]]


def sharpness(photo: NDArray[np.float32], box: tuple[slice, slice]) -> float:
    part = photo[box].mean(axis=-1)
    return float((np.diff(part, axis=0) ** 2).mean() + (np.diff(part, axis=1) ** 2).mean())


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    """Give a slanted wall of disparity -0.9 to -0.1, a card of 1.1 before it, and their disparity."""
    placement = np.array([[1.0, 0, 8], [0, 1.0, 8], [0, 0, 1.0]])
    textures = [material("stone", np.random.default_rng(seed), 120, 130) for seed in (0, 1)]
    wall = Layer(textures[0], placement, (-0.5, 0, 0.8 / 95))
    board = Layer(textures[1], placement, (1.1, 0, 0), Matte(card(36.5, 36.5, 0), (41.5, 47.5)))
    return render_light_field(Arrangement((wall, board), (5, 5), (84, 96)))


@given(slopes, slopes, st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_focus_and_slope_are_each_others_inverse(one: float, other: float, focus: list[float]) -> None:
    assume(abs(one - other) > 1e-3)
    scale = FocusRange(min(one, other), max(one, other))
    np.testing.assert_allclose(scale.focus(scale.slope(focus)), focus, atol=1e-9)
    assert np.isscalar(float(scale.slope(focus[0])))


@given(slopes, slopes)
def test_the_nearest_is_focus_plus_one_and_has_the_larger_slope(one: float, other: float) -> None:
    """Slope is linear in focus: -1 far, 0 in the middle, +1 near, and so on beyond."""
    assume(abs(one - other) > 1e-3)
    far, near = min(one, other), max(one, other)
    got = FocusRange(far, near).slope([-1, 0, 1, 3])
    np.testing.assert_allclose(got, [far, (far + near) / 2, near, 2 * near - far], atol=1e-12)


@pytest.mark.parametrize(
    ("far", "near"), [(1.0, -1.0), (0.5, 0.5), (float("nan"), 1.0), (0.0, float("inf")), (-np.inf, 0.0)]
)
def test_a_range_whose_ends_are_swapped_or_not_finite_is_refused(far: float, near: float) -> None:
    with pytest.raises(ValueError, match=rf"needs finite slopes, far below near, got far {far}, near {near}"):
        FocusRange(far, near)


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3))
def test_the_aperture_is_the_blur_of_a_point_one_full_range_out_of_focus(
    rows: int, columns: int, disparity: int
) -> None:
    """A point at the far end, seen with the focus on the near one, spreads over so many pixels; the formula too."""
    views = np.zeros((rows, columns, 61, 61, 3), np.float32)
    for u, v in np.ndindex(rows, columns):
        views[u, v, 30 - disparity * u, 30 - disparity * v] = 1
    scale = FocusRange(-float(disparity), disparity / 2)
    aperture = aperture_of((rows, columns), scale)
    assert aperture == pytest.approx((max(rows, columns) - 1) * 1.5 * disparity)
    lit = np.argwhere(shift_and_add(views, scale.near, pupil="square", linear=False)[..., 0] > 1e-4)
    assert 0 <= np.ptp(lit, axis=0).max() - aperture < 2  # what the two taps at its ends add


@pytest.mark.parametrize("near", [None, "negative", "positive"])
def test_focus_plus_one_sharpens_what_is_near_in_a_rendered_light_field(
    tmp_path: Path, near: Literal["negative", "positive"] | None
) -> None:
    views, _ = layered(0)
    np.save(tmp_path / "a.npy", views if near == "positive" else views[::-1, ::-1])
    opened = LightField.open(tmp_path / "a.npy", near=near)
    scale = find_range(opened.views, mask=opened.mask)
    assert (scale.far, scale.near) == pytest.approx((-1, 1), abs=0.1)
    there, here = (np.s_[8:-8, 8:24], np.s_[8:-8, 72:88])
    for focus, sharp, soft in ((1, here, there), (-1, there, here)):
        photo = shift_and_add(opened.views, float(scale.slope(focus)), mask=opened.mask)
        assert sharpness(photo, sharp) > 3 * sharpness(photo, soft)


REAL = {  # what is near and what is far, looked at by eye: rows, columns
    "stanford_general_11": ({}, np.s_[165:240, 52:128], np.s_[10:80, 0:300]),  # salt shaker; rail on the wall
    "jaramillo_flowers/LF/Frames/IMG_0001": ({"order": "column"}, np.s_[80:165, 100:220], np.s_[5:110, 5:55]),
    "legoknights_3x3": ({"crop_grid": 3}, np.s_[960:1010, 100:900], np.s_[20:400, 20:1000]),  # floor; wall
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_focus_plus_one_sharpens_what_is_near_in_a_real_light_field(real_data: Path, name: str) -> None:
    """Opened by the default sign: shaker, flower and floor are near; wall and grass are far."""
    options, here, there = REAL[name]
    if not (real_data / "lightfields" / name).is_dir():
        pytest.skip(f"{name} is not here")
    opened = LightField.open(real_data / "lightfields" / name, **options)
    assert check_orientation(opened.views[:5, :5], opened.mask[:5, :5]) == []
    step = 2 if max(opened.size) > 800 else 1
    scale = find_range(opened.views[:, :, ::step, ::step], mask=opened.mask)
    near, far = (
        shift_and_add(opened.views, step * float(scale.slope(focus)), mask=opened.mask) for focus in (0.9, -0.9)
    )
    assert sharpness(near, here) > 1.03 * sharpness(far, here)  # of the flowers, whose aperture is 0.8 px; else 2 to 6
    assert sharpness(far, there) > 1.03 * sharpness(near, there)


@pytest.mark.real
def test_real_views_in_the_wrong_order_are_warned_of(real_data: Path) -> None:
    path = real_data / "lightfields" / "jaramillo_flowers" / "LF" / "Frames" / "IMG_0002"
    if not path.is_dir():
        pytest.skip("no flowers here")
    for order, warned in (("row", True), ("column", False)):
        opened = LightField.open(path, order=order, crop_grid=5)  # type: ignore[arg-type]
        warning = " ".join(check_orientation(opened.views, opened.mask))
        assert ("rows and columns of the views look swapped: set order = column" in warning) == warned


@pytest.mark.parametrize("deep", [False, True])
def test_disparity_is_what_was_rendered(rendered: Rendered, deep: bool) -> None:
    """To a tenth of a pixel a view step, for 95 of 100 pixels off the edges of the card, sub-pixel slant included."""
    views, truth = rendered
    seen: NDArray[Any] = (views / 255).astype(np.float32) if deep else views
    found, confidence = plane_sweep(seen, np.linspace(-1.5, 1.5, 16))
    assert found.shape == confidence.shape == truth.shape
    assert found.dtype == confidence.dtype == np.float32
    assert 0 <= confidence.min() <= confidence.max() <= 1
    error = np.abs(found - truth)
    inside = np.zeros(truth.shape, bool)
    inside[6:-6, 6:-6] = True
    for shift in np.ndindex(9, 9):  # 4 px around the card's edges
        inside &= np.abs(np.roll(truth, np.array(shift) - 4, (0, 1)) - truth) < 0.3
    assert (error[inside] < 0.1).mean() > 0.95
    assert error[inside].mean() < 0.03
    assert np.median(error) < 0.02  # planes are 0.2 apart: without a parabola between them it is 0.04


def test_a_range_is_that_of_the_disparity_rendered(rendered: Rendered) -> None:
    views, truth = rendered
    found = find_range(views)
    assert (found.far, found.near) == pytest.approx((truth.min(), truth.max()), abs=0.2)
    within = find_range(views, limits=(-1.2, 0.2))
    assert -1.2 - 1e-6 <= within.far < within.near <= 0.2 + 1e-6


def test_range_and_disparity_are_found_together(rendered: Rendered) -> None:
    views, truth = rendered
    found, disparity, confidence = find_disparity(views)
    assert found == find_range(views)
    assert (disparity.min(), disparity.max()) == pytest.approx((found.far, found.near))
    assert confidence.shape == disparity.shape == truth.shape
    assert np.median(np.abs(disparity - truth)) < 0.03
    assert np.abs(disparity - truth)[6:-6, 6:-6].mean() < 0.08


def test_invalid_views_are_not_looked_at(rendered: Rendered) -> None:
    views, _ = rendered
    spoilt, mask = views.copy(), np.ones((5, 5), bool)
    spoilt[::2, ::2] = np.random.default_rng(0).integers(0, 256, spoilt[::2, ::2].shape)
    mask[::2, ::2] = False
    planes = np.linspace(-1.5, 1.5, 13)
    masked = views.copy()
    masked[~mask] = 0
    for one, other in zip(plane_sweep(spoilt, planes, mask=mask), plane_sweep(masked, planes, mask=mask), strict=True):
        np.testing.assert_array_equal(one, other)
    assert find_range(spoilt, mask=mask) == find_range(masked, mask=mask)


def test_where_there_is_no_texture_confidence_is_low_and_the_surroundings_decide() -> None:
    views, _ = layered(4)
    plane = np.broadcast_to(views[2, 2], views.shape).copy()  # all of it at disparity 0
    flat = plane[:, :, 16:56, 28:68]
    flat[:] = 128 + np.random.default_rng(0).integers(-2, 3, flat.shape)  # noise: other in each view
    found, confidence = plane_sweep(plane, np.linspace(-1, 1, 9))
    assert confidence[30:42, 42:54].max() < 0.25
    assert np.median(confidence[8:14, 8:-8]) > 0.9
    assert np.abs(found[16:56, 28:68]).mean() < 0.08  # twice as much where noise decides


def test_a_flat_scene_still_has_a_range() -> None:
    views = np.broadcast_to(layered(4)[0][2, 2], (3, 3, 72, 96, 3))
    found = find_range(views)
    assert found.near - found.far == pytest.approx(0.05, abs=0.02)
    assert (found.near + found.far) / 2 == pytest.approx(0, abs=0.05)


def turned(views: NDArray[Any], how: str) -> NDArray[Any]:
    views = views.swapaxes(0, 1) if "swapped" in how else views
    return views[::-1] if "rows" in how else views[:, ::-1] if "columns" in how else views


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("", None),
        ("mirrored rows", "one axis of the views looks mirrored: set flip_rows"),
        ("mirrored columns", "one axis of the views looks mirrored: set flip_rows"),
        ("swapped", "rows and columns of the views look swapped: set order = column"),
        ("swapped rows", "rows and columns of the views look swapped and one axis mirrored: set order = column"),
    ],
)
def test_views_the_wrong_way_round_are_told_and_right_ones_are_not(how: str, words: str | None, seed: int) -> None:
    views = turned(layered(seed)[0], how)
    mask = np.ones((5, 5), bool)
    mask[:2] = False  # where a mirror or a swap puts views that count
    spoilt = views.copy()
    spoilt[~mask] = np.random.default_rng(0).integers(0, 256, spoilt[~mask].shape)
    for seen, valid in ((views, None), (views[::-1, ::-1], None), (spoilt, mask)):  # no picture tells the sign
        told = check_orientation(seen, valid)
        assert len(told) == (words is not None)
        assert words is None or told[0].startswith(words)


@pytest.mark.parametrize("seed", range(4))
def test_views_that_fit_together_no_way_are_not_warned_of(seed: int) -> None:
    views = np.random.default_rng(seed).integers(0, 256, (3, 3, 40, 40, 3), dtype=np.uint8)
    assert check_orientation(views) == []


def test_of_grids_that_are_not_square_only_a_mirror_is_looked_for(rendered: Rendered) -> None:
    views, _ = rendered
    assert check_orientation(views) == check_orientation(views[1:4]) == check_orientation(views[2:3]) == []
    assert "looks mirrored" in check_orientation(views[1:4, ::-1])[0]


@pytest.mark.parametrize(
    ("planes", "words"),
    [
        ([0.0, 1.0], "slopes must be 3 or more, evenly spaced, got"),
        ([0.0, 1.0, 3.0], "slopes must be 3 or more, evenly spaced, got"),
        ([1.0, 0.0, -1.0], "slopes must rise, got 1 before 0"),
        ([1.0, 1.0, 1.0], "slopes must rise, got 1 before 1"),
    ],
)
def test_slopes_that_cannot_be_swept_are_named(planes: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plane_sweep(np.zeros((2, 2, 8, 8, 3), np.uint8), planes)


def test_views_that_tell_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="too little texture"):
        find_range(np.full((3, 3, 40, 50, 3), 128, np.uint8))
    with pytest.raises(ValueError, match="two valid views or more, 1 of 1 x 1 are"):
        find_range(np.zeros((1, 1, 40, 50, 3), np.uint8))

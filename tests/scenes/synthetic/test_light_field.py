"""Rendered light fields: disparity means what the notation says, occlusion is right, sharp where and only where due."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from refocal.scenes.synthetic.mattes import Matte, Outline, below, blob, card, disc, ring, sticks
from refocal.shiftadd.shift_and_add import shift_and_add
from refocal.scenes.synthetic.still_life import arrange
from refocal.scenes.synthetic.light_field import Arrangement, Layer, render_light_field
from refocal.scenes.synthetic.textures import GROUPS, MATERIALS, material, photograph
from refocal.images.colour import to_linear

SIZE = (56, 64)


def textured(seed: int, plane: tuple[float, float, float], matte: Matte | None = None) -> Layer:
    texture = material("stone", np.random.default_rng(seed), 80, 90)
    placement = np.array([[1.0, 0, 12], [0, 1.0, 13], [0, 0, 1.0]])
    return Layer(texture, placement, plane, matte)


def sharpness(photo: NDArray[np.float32]) -> float:
    """Return the energy of differences between neighbours, in linear light."""
    light = to_linear(photo).mean(axis=-1)
    return float((np.diff(light, axis=0) ** 2).mean() + (np.diff(light, axis=1) ** 2).mean())


@settings(deadline=None, max_examples=8)
@given(d=st.floats(-1.5, 1.5))
def test_a_plane_is_as_sharp_as_the_photo_at_its_own_slope(d: float) -> None:
    views, disparity = render_light_field(Arrangement((textured(0, (d, 0, 0)),), (5, 5), SIZE))
    np.testing.assert_allclose(disparity, d, atol=1e-6)
    inside = np.s_[4:-4, 4:-4]
    focused, centre = shift_and_add(views, d)[inside], views[2, 2].astype(np.float32)[inside] / 255
    # Two-tap interpolation between pixels softens, most at half pixels; wrong focus softens far more.
    assert np.abs(focused - centre).mean() < 0.012
    for wrong in (d - 1, d + 1):
        assert sharpness(shift_and_add(views, wrong)[inside]) < 0.5 * sharpness(focused)


def test_content_of_positive_disparity_moves_with_the_view_step() -> None:
    """A point (y, x) stands in view (u, v) at (y + (u - uc) d, x + (v - vc) d): checked at whole pixels."""
    views, _ = render_light_field(Arrangement((textured(1, (2.0, 0, 0)),), (3, 3), SIZE))
    np.testing.assert_array_equal(views[2, 1, 4:-4, 4:-4], views[1, 1, 2:-6, 4:-4])
    np.testing.assert_array_equal(views[1, 0, 4:-4, 4:-4], views[1, 1, 4:-4, 6:-2])


def test_a_slanted_plane_is_sharp_along_the_line_where_its_disparity_is_the_slope() -> None:
    """Brought back by the known disparity, every view shows the centre view's content."""
    plane = (0.2, 0.04, -0.06)
    views, disparity = render_light_field(Arrangement((textured(2, plane),), (3, 5), SIZE))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    wanted = plane[0] + plane[1] * (y - 27.5) + plane[2] * (x - 31.5)
    np.testing.assert_allclose(disparity, wanted, atol=1e-5)
    for u, v in ((0, 0), (2, 4), (1, 0)):
        places = (y + (u - 1) * disparity, x + (v - 2) * disparity)
        back = map_coordinates(views[u, v, ..., 1].astype(float), places, order=3, mode="nearest")
        assert np.abs(back - views[1, 2, ..., 1])[10:-10, 10:-10].mean() < 0.5  # of 255: cubic, and rounding twice


def test_what_is_near_hides_and_uncovers_what_is_behind() -> None:
    far, near = (0.0, 0, 0), (2.0, 0, 0)
    square = Matte(card(20.5, 20.5, 0.1), (27.5, 31.5))
    arrangement = Arrangement((textured(3, far), textured(4, near, square)), (3, 3), SIZE)
    views, disparity = render_light_field(arrangement)
    alone, _ = render_light_field(Arrangement((textured(3, far),), (3, 3), SIZE))
    assert set(np.unique(disparity)) == {0.0, 2.0}
    assert disparity[27, 31] == 2.0
    assert disparity[2, 2] == 0.0
    # left view (v = 0): the square stands 2 px to the left; what it uncovers at its right edge is the far plane
    np.testing.assert_array_equal(views[1, 0, 20:34, 41:43], alone[1, 1, 20:34, 41:43])
    assert (views[1, 1, 20:34, 40] != alone[1, 1, 20:34, 40]).any()


def test_mattes_are_composited_in_linear_light() -> None:
    black, white = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    half = Matte(disc(100), (0, 0), opacity=0.5)
    layers = (Layer(black, np.eye(3), (0, 0, 0)), Layer(white, np.eye(3), (0, 0, 0), half))
    views, disparity = render_light_field(Arrangement(layers, (1, 1), (8, 8)))
    assert (views == 188).all()  # sRGB of half the light
    assert (disparity == 0).all()


def test_haze_lies_over_what_is_far_alone() -> None:
    black = np.zeros((4, 4, 3), np.float32)
    for d, light in ((-1.0, 0.5), (1.0, 0.0), (0.0, 0.25)):
        layer = Layer(black, np.eye(3), (d, 0, 0))
        views, _ = render_light_field(Arrangement((layer,), (1, 1), (8, 8), haze=(1, 1, 1), haze_share=0.5))
        np.testing.assert_allclose(to_linear(views.astype(np.float32) / 255), light, atol=0.004)


@pytest.mark.parametrize(
    ("outline", "inside", "outside", "distance"),
    [
        (disc(5), (0, 0), (0, 8), 3),
        (ring(5, 2), (5, 0), (0, 0), 4),
        (card(10, 6, 1), (4, 0), (0, 7), 4),
        (below(), (2, 9), (-3, 9), 3),
        (sticks(((-5, 0, 5, 0),), 2), (4, 0.5), (9, 0), 3),
        (blob(5, ()), (1, 2), (0, 8), 3),
    ],
)
def test_an_outline_is_the_signed_distance_from_its_edge(
    outline: Outline, inside: tuple[float, float], outside: tuple[float, float], distance: float
) -> None:
    assert outline(np.array([float(inside[0])]), np.array([float(inside[1])]))[0] < 0
    found = outline(np.array([float(outside[0])]), np.array([float(outside[1])]))[0]
    assert found == pytest.approx(distance)


def test_every_photograph_loads_offline_and_belongs_to_one_group() -> None:
    files = [file for group in GROUPS.values() for file in group]
    assert len(set(files)) == len(files)
    assert len(GROUPS) >= 5
    for file in files:
        texture = photograph(file, np.random.default_rng(0), 100, 120)
        assert texture.shape == (100, 120, 3)
        assert 0 <= texture.min() < texture.max() <= 1


@pytest.mark.parametrize("kind", MATERIALS)
def test_a_material_is_textured_and_follows_from_its_seed(kind: str) -> None:
    first, again, other = (material(kind, np.random.default_rng(seed), 40, 50) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
    assert first.std(axis=(0, 1)).max() > 0.01
    assert 0 <= first.min() < first.max() <= 1


def test_an_unknown_material_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of wood, cloth, stone, pebbles, got 'silk'"):
        material("silk", np.random.default_rng(0), 8, 8)


@pytest.mark.parametrize("seed", range(6))
def test_arrangements_have_depth_with_what_is_nearest_at_the_front(seed: int) -> None:
    arrangement = arrange("cat", np.random.default_rng(seed), grid=(1, 1), size=(96, 104))
    _, disparity = render_light_field(arrangement)
    far, near = arrangement.haze_range
    assert 1.0 <= near - far <= 2.4
    assert disparity.min() == pytest.approx(far, abs=0.1)
    assert disparity.max() == pytest.approx(near, abs=0.15)


def test_a_first_layer_with_holes_is_refused() -> None:
    with pytest.raises(ValueError, match="first must fill the view"):
        render_light_field(Arrangement((textured(0, (0, 0, 0), Matte(disc(3), (0, 0))),), (1, 1), (8, 8)))

"""The reference renderer does what shift-and-add does, where the disparity is known."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from refocal.images.colour import to_linear, to_srgb
from refocal.render.reference import render
from refocal.shiftadd.shift_and_add import Pupil, shift_and_add

GRID, HEIGHT, WIDTH = (5, 7), 72, 90
FAR, NEAR = -1.0, 1.4  # px/view
APERTURE = (max(GRID) - 1) * (NEAR - FAR)


def texture(seed: int = 0, smooth: float = 2.0) -> NDArray[np.float32]:
    """Return a band-limited texture, (H, W, 3) in [0, 1]: bilinear taps of it lose little."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3))
    noise = ndimage.gaussian_filter(noise, (smooth, smooth, 0), mode="wrap")
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def views_of(photo: NDArray[np.float32], disparity: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the light field of a surface without occlusion, (U, V, H, W, 3): L(u, v, q + a d(q)) = photo(q)."""
    ys, xs = np.indices((HEIGHT, WIDTH)).astype(float)
    light = to_linear(photo)
    views = np.empty((*GRID, HEIGHT, WIDTH, 3), np.float32)
    for u, v in np.ndindex(*GRID):
        a, b = u - (GRID[0] - 1) / 2, v - (GRID[1] - 1) / 2
        y, x = ys, xs
        for _ in range(30):
            d = ndimage.map_coordinates(disparity, (y, x), order=1, mode="nearest")
            y, x = ys - a * d, xs - b * d
        for c in range(3):
            views[u, v, ..., c] = ndimage.map_coordinates(light[..., c], (y, x), order=3, mode="grid-wrap")
    return to_srgb(views.clip(0, 1))


def psnr(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    inside = slice(16, -16)
    return float(-10 * np.log10(np.mean((one - other)[inside, inside] ** 2)))


def slope(focus: float) -> float:
    return (FAR + NEAR) / 2 + focus * (NEAR - FAR) / 2


@pytest.mark.parametrize("pupil", ["circular", "square"])
@pytest.mark.parametrize("disparity", [0.5, -0.8])
def test_over_the_grid_of_views_it_is_shift_and_add_of_a_plane(disparity: float, pupil: Pupil) -> None:
    photo = texture()
    views = views_of(photo, np.full((HEIGHT, WIDTH), slope(disparity)))
    plane = np.full((HEIGHT, WIDTH), disparity, np.float32)
    for focus in (-1.0, -0.3, 0.45, 1.0):
        ours = render(photo, plane, focus, APERTURE, grid=GRID, pupil=pupil)
        wanted = shift_and_add(views, slope(focus), pupil=pupil)
        assert psnr(ours, wanted) > 42
        assert psnr(ours, wanted) > psnr(photo, wanted) + 6 or abs(focus - disparity) < 0.3


def test_over_the_grid_of_views_it_is_shift_and_add_of_a_curved_surface() -> None:
    photo = texture(1)
    ys, xs = np.indices((HEIGHT, WIDTH))
    focus_units = 0.7 * np.sin(ys / 6) * np.cos(xs / 8)
    views = views_of(photo, slope(1) * focus_units + slope(0) * (1 - focus_units))
    for focus in (-1.0, 0.0, 1.0):
        wanted = shift_and_add(views, slope(focus))
        ours = render(photo, focus_units, focus, APERTURE, grid=GRID)
        inside_out = render(photo, -focus_units, focus, APERTURE, grid=GRID)
        assert psnr(ours, wanted) > 52  # 44 where g(p) is taken for g(q)
        assert psnr(ours, wanted) > psnr(inside_out, wanted) + 10 or focus == 0


@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 9), st.integers(1, 9), st.floats(-1, 1), st.floats(0, 30), st.sampled_from([None, (1, 3), (2, 2)])
)
def test_a_grey_card_stays_as_it_is(
    height: int, width: int, focus: float, aperture: float, grid: tuple[int, int] | None
) -> None:
    """Nothing leaks in from outside the photo, whatever its size and the depth."""
    disparity = np.random.default_rng(height).uniform(-1, 1, (height, width))
    for linear in (True, False):
        card = np.full((height, width, 3), 0.4, np.float32)
        np.testing.assert_allclose(render(card, disparity, focus, aperture, grid=grid, linear=linear), card, atol=1e-5)


def test_without_aperture_and_at_the_focus_the_photo_is_as_it_was() -> None:
    photo = texture(2)
    everywhere = np.random.default_rng(0).uniform(-1, 1, photo.shape[:2])
    plane = np.full(photo.shape[:2], 0.3, np.float32)
    for grid in (None, GRID):
        np.testing.assert_allclose(render(photo, everywhere, 0.5, 0, grid=grid), photo, atol=1e-5)
        np.testing.assert_allclose(render(photo, plane, np.float32(0.3), 20, grid=grid), photo, atol=1e-5)


def test_blur_grows_with_the_distance_from_the_focus_and_is_the_same_on_both_sides() -> None:
    photo = texture(3, smooth=1)
    plane = np.full(photo.shape[:2], 0.25, np.float32)
    spread = [float(render(photo, plane, 0.25 + off, 16)[16:-16, 16:-16].std()) for off in (0, 0.2, 0.4, 0.7, 1.1)]
    assert all(sharper > 1.05 * softer for sharper, softer in pairwise(spread))
    np.testing.assert_allclose(render(photo, plane, 0.75, 16), render(photo, plane, -0.25, 16), atol=1e-5)


@pytest.mark.parametrize(("pupil", "area"), [("circular", np.pi / 4), ("square", 1.0)])
def test_a_point_becomes_the_pupil(pupil: Pupil, area: float) -> None:
    """A white point of 3 x 3, one range of focus away, spreads over a disk or square of the aperture's diameter."""
    photo = np.zeros((61, 61, 3), np.float32)
    photo[29:32, 29:32] = 1
    light = render(photo, np.ones((61, 61), np.float32), -1.0, 20.0, pupil=pupil, linear=False)[..., 0]
    assert light.sum() == pytest.approx(9, rel=1e-3)
    assert light[30, 30] == pytest.approx(9 / (area * 20**2), rel=0.1)
    assert light[30, :18].max() == light[:18, 30].max() == 0
    assert light[30, 21] > 0.5 * light[30, 30]
    assert (light[20, 20] > 0) == (pupil == "square")


def test_light_is_averaged_not_its_code() -> None:
    stripes = np.zeros((40, 40, 3), np.float32)
    stripes[:, ::2] = 1
    plane = np.ones((40, 40), np.float32)
    assert render(stripes, plane, -1.0, 24.0)[20, 20, 0] * 255 == pytest.approx(187.5, abs=4)
    assert render(stripes, plane, -1.0, 24.0, linear=False)[20, 20, 0] * 255 == pytest.approx(127.5, abs=4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"photo": np.zeros((4, 4, 3), np.uint8)}, r"photo must be float32 \(H, W, 3\), got uint8"),
        ({"photo": np.full((4, 4, 3), np.nan, np.float32)}, r"photo must lie in \[0, 1\], got nan"),
        ({"disparity": np.zeros((4, 5), np.float32)}, r"disparity must be float \(4, 4\), got float32 \(4, 5\)"),
        ({"disparity": np.zeros((4, 4), np.int64)}, "disparity must be float"),
        ({"disparity": np.full((4, 4), np.inf)}, "disparity must be finite"),
        ({"focus": float("nan")}, "focus must be finite, got nan"),
        ({"aperture": -1.0}, "aperture must be a finite number of pixels from 0 on, got -1.0"),
        ({"grid": (0, 3)}, r"grid must be two numbers of views from 1 on, got \(0, 3\)"),
        ({"pupil": "round"}, "pupil must be 'circular' or 'square', got 'round'"),
    ],
)
def test_bad_input_is_named_in_one_line(change: dict[str, Any], words: str) -> None:
    call: dict[str, Any] = {
        "photo": np.zeros((4, 4, 3), np.float32),
        "disparity": np.zeros((4, 4), np.float32),
        "focus": 0.0,
        "aperture": 3.0,
    }
    with pytest.raises(ValueError, match=words) as raised:
        render(**(call | change))
    assert "\n" not in str(raised.value)

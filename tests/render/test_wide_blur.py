"""Blurs wider than the renderer's widest are as wide as they should be, and what is sharp stays sharp."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from tiny_model import PROPS, write_lens_models

from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import as_photo, like_input
from refocal.model.refocuser import Refocuser
from refocal.render.reference import render
from refocal.render.wide_blur import render_wide_blur

LIMIT = 48.0


def disk(diameter: float) -> NDArray[np.float64]:
    half = int(np.ceil(diameter / 2))
    fine = (np.arange((2 * half + 1) * 8) + 0.5) / 8 - half - 0.5
    inside = (fine[:, None] ** 2 + fine**2 <= (max(diameter, 1) / 2) ** 2).astype(float)
    kernel = inside.reshape(2 * half + 1, 8, 2 * half + 1, 8).mean((1, 3))
    return kernel / kernel.sum()


def blurred(light: NDArray[np.float32], diameter: float) -> NDArray[np.float32]:
    """Blur light, (H, W, C), with a disk; what lies outside counts for nothing."""
    kernel = disk(diameter)
    ones = fftconvolve(np.ones(light.shape[:2]), kernel, mode="same")
    return np.stack([fftconvolve(c, kernel, mode="same") / ones for c in np.moveaxis(light, 2, 0)], -1).clip(0, 1)


def limited(pixels: NDArray, disparity: NDArray[np.float32], aperture: float, _half: object = None) -> NDArray:
    """Render at focus -1 what is flat, or a near card (1) over what is in focus, with disks of 48 px at most."""
    width = min(aperture, LIMIT)
    light = to_linear(as_photo(pixels))
    near = (disparity > 0).astype(np.float32)[..., None]
    layer = blurred(np.concatenate([light * near, near], -1), width)
    made = layer[..., :3] + light * (1 - near) * (1 - layer[..., 3:]) if near.min() < 1 else blurred(light, width)
    return like_input(to_srgb(made.clip(0, 1)).astype(np.float32), pixels)


def scene(kind: str) -> NDArray[np.float32]:
    photo = np.full((181, 240, 3), 0.1, np.float32)
    if kind == "light":
        photo[86:95, 116:125] = 1
    elif kind == "step":
        photo[:, 120:] = 0.9
    else:
        noise = gaussian_filter(np.random.default_rng(0).normal(size=photo.shape), (1, 1, 0))
        photo = np.clip(0.5 + 0.2 * noise / noise.std(), 0, 1).astype(np.float32)
    return photo


@pytest.mark.parametrize(("kind", "aperture"), [("light", 150.0), ("step", 150.0), ("noise", 150.0), ("step", 60.0)])
def test_a_wide_blur_is_that_of_the_reference_renderer(kind: str, aperture: float) -> None:
    """Within 1 % of white on average and 4 % anywhere; 48 px alone are several times further off."""
    photo, disparity = scene(kind), np.ones((181, 240), np.float32)
    truth = render(photo, disparity, -1, aperture)
    made = render_wide_blur(photo, disparity, aperture, widest=aperture, limit=LIMIT, render=limited)
    inner = np.s_[20:-20, 20:-20]
    error = np.abs(made - truth)[inner]
    alone = np.abs(limited(photo, disparity, aperture) - truth)[inner]
    assert error.mean() < 0.01
    assert error.max() < 0.04
    if kind != "noise" and aperture > 100:
        assert error.mean() < 0.25 * alone.mean()


def test_a_near_blur_veils_what_is_sharp_around_it_which_keeps_its_details() -> None:
    photo, disparity = scene("noise"), np.full((181, 240), -1, np.float32)
    disparity[:, 120:] = 1
    photo[:, 120:] = 0.9
    made = render_wide_blur(photo, disparity, 150, widest=150, limit=LIMIT, render=limited)
    light, near = to_linear(photo), (disparity > 0).astype(np.float32)[..., None]
    cover = blurred(np.concatenate([light * near, near], -1), 150)
    truth = to_srgb(cover[..., :3] + light * (1 - near) * (1 - cover[..., 3:]))
    veil = np.s_[20:-20, 60:115]
    alone = limited(photo, disparity, 150)
    soft = [gaussian_filter(one, (4, 4, 0))[veil] for one in (made, truth, alone)]
    assert np.abs(soft[0] - soft[1]).mean() < 0.25 * np.abs(soft[2] - soft[1]).mean()
    far = np.s_[20:-20, 4:40]
    np.testing.assert_allclose(made[far], photo[far], atol=0.004)


def test_what_comes_from_half_the_size_stays_in_its_place() -> None:
    """A ramp of light that is blurred wide stays the same ramp: half a pixel off, it would be brighter or darker."""
    height, width = 64, 96
    rows, columns = np.mgrid[:height, :width] / 300
    photo = np.repeat(to_srgb((0.2 + rows + columns).astype(np.float32))[..., None], 3, 2)

    def grey_at_full_size(pixels: NDArray, *_: object) -> NDArray:
        """Blur all details away at full size; halves stay as they are."""
        return np.full_like(pixels, 0.5) if pixels.shape[:2] == (height, width) else pixels.copy()

    def changed_by_half(pixels: NDArray, *_: object) -> NDArray:
        return pixels.copy() if pixels.shape[:2] == (height, width) else np.full_like(pixels, 0.5)

    flat = np.zeros((height, width), np.float32)
    inner = np.s_[4:-4, 4:-4]
    made = render_wide_blur(photo, flat, 60, widest=60, limit=LIMIT, render=grey_at_full_size)
    np.testing.assert_allclose(made[inner], photo[inner], atol=2e-4)  # half a pixel is 1e-3 and more
    made = render_wide_blur(photo, flat, 60, widest=60, limit=LIMIT, render=changed_by_half)
    np.testing.assert_allclose(made[inner], 0.5, atol=2e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(33, 47), (33, 47, 3), (64, 50, 4)])
def test_where_nothing_is_blurred_a_picture_of_any_kind_stays_to_the_bit(kind: type, shape: tuple[int, ...]) -> None:
    """Odd sides, grey, alpha; floats to rounding."""
    values = np.random.default_rng(1).random(shape)
    pixels = (values * (1 if kind is np.float32 else np.iinfo(kind).max)).astype(kind)
    made = render_wide_blur(
        pixels, np.zeros(shape[:2], np.float32), 9e9, widest=9e9, limit=LIMIT, render=lambda part, *_: part.copy()
    )
    assert made.dtype == kind
    np.testing.assert_allclose(made, pixels, atol=1e-6 if kind is np.float32 else 0)


def test_within_the_limit_the_renderer_is_asked_once_for_the_whole() -> None:
    photo, asked = scene("noise"), []

    def once(pixels: NDArray, _: NDArray, aperture: float, half: NDArray | None) -> NDArray:
        assert (half is None) == (len(asked) < 2)
        asked.append((pixels.shape, aperture))
        return pixels.copy()

    made = render_wide_blur(photo, np.zeros((181, 240), np.float32), 40, widest=LIMIT, limit=LIMIT, render=once)
    assert asked == [((181, 240, 3), 40)]
    np.testing.assert_array_equal(made, photo)
    render_wide_blur(photo, np.zeros((181, 240), np.float32), 150, widest=150, limit=LIMIT, render=once)
    assert asked[1:] == [((46, 60, 3), 37.5), ((91, 120, 3), 75), ((181, 240, 3), 150)]


def test_a_model_tells_its_limit_and_the_widest_blur_in_the_picture_counts(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = PROPS | {"blur_limit": "30"}
    seen: list[dict] = []

    def spy(pixels: NDArray, *_: object, **options: object) -> NDArray:
        seen.append(options)
        return pixels

    monkeypatch.setattr("refocal.model.rendering.render_wide_blur", spy)
    photo = np.zeros((20, 30, 3), np.uint8)
    disparity = np.zeros((20, 30), np.float32)
    disparity[3, 4] = -0.5
    for props in (told, PROPS):
        Refocuser(write_lens_models(tmp_path / "lens.onnx", props), threads=1).render(photo, disparity, 0.5, 100)
    assert [(one["widest"], one["limit"]) for one in seen] == [(pytest.approx(50), 30), (pytest.approx(50), 48)]

"""Two slices tell the aperture, the depth, and what is sharp in neither of them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from refocal.depth.from_focus import two_slices
from refocal.depth.from_focus.two_slices import depth_from_defocus
from refocal.render.reference import render

INSIDE = (slice(12, -12), slice(12, -12))


def scene(slope: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a textured photo of a table, and its disparity, which rises downwards."""
    noise = np.random.default_rng(0).normal(size=(2, 120, 150, 3))
    fine, coarse = (gaussian_filter(n, (s, s, 0)) for n, s in zip(noise, (0.8, 4), strict=True))
    photo = (0.5 + 0.1 * fine / fine.std() + 0.1 * coarse / coarse.std()).clip(0, 1).astype(np.float32)
    depth = np.repeat(slope * np.linspace(-1, 1, 120, dtype=np.float32)[:, None], 150, axis=1)
    return photo, depth


def slices(slope: float, aperture: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the near and the far slice in 8 bits, as cameras write them."""
    near, far = (np.rint(render(*scene(slope), focus, aperture) * 255) / 255 for focus in (1, -1))
    return near.astype(np.float32), far.astype(np.float32)


def psnr(one: NDArray[np.float32], other: NDArray[np.float32], where: tuple[slice, slice] = INSIDE) -> float:
    return float(-10 * np.log10(np.mean((one - other)[where] ** 2)))


@pytest.mark.parametrize("aperture", [4.0, 8.0, 14.0])
def test_aperture_and_depth_are_found_from_two_slices_alone(aperture: float) -> None:
    found = depth_from_defocus(*slices(1, aperture))
    assert found.aperture == pytest.approx(aperture, rel=0.15)
    assert np.abs(found.disparity - scene()[1])[INSIDE].mean() < 0.1
    assert np.abs(found.disparity).max() <= 1
    assert 0 <= found.confidence.min() <= found.confidence.max() <= 1


def test_what_is_blurred_in_both_slices_gets_sharp() -> None:
    photo, _ = scene()
    near, far = slices(1, 8)
    found = depth_from_defocus(near, far)
    middle = np.s_[50:70, 12:-12]
    assert psnr(found.photo, photo, middle) > max(psnr(near, photo, middle), psnr(far, photo, middle)) + 2
    assert psnr(found.photo, photo) > 28.5


def test_depths_that_do_not_reach_the_slices_keep_their_order_and_their_middle() -> None:
    """Their scale is uncertain: less disparity with more aperture is blurred much the same."""
    found, truth = depth_from_defocus(*slices(0.4, 10)), scene(0.4)[1]
    assert np.corrcoef(found.disparity[INSIDE].ravel(), truth[INSIDE].ravel())[0, 1] > 0.95
    assert abs(found.disparity[INSIDE].mean()) < 0.1


def test_slices_that_are_alike_stay_as_they_are() -> None:
    photo, _ = scene()
    found = depth_from_defocus(photo, photo)
    np.testing.assert_array_equal(found.photo, photo)
    assert not found.disparity.any()
    assert not found.confidence.any()


def test_nothing_gets_brighter_or_darker_than_both_slices_are_around() -> None:
    """A bright thing before a dark wall that is sharp in one slice alone: filters ring along its edge."""
    photo = np.full((120, 150, 3), 0.03, np.float32)
    photo[30:90, 40:110] = 0.8 + 0.1 * np.random.default_rng(0).random((60, 70, 3), dtype=np.float32)
    disparity = np.full((120, 150), -1, np.float32)
    disparity[30:90, 40:110] = 0.3
    near, far = (render(photo, disparity, focus, 14.0) for focus in (1, -1))
    found = depth_from_defocus(near, far).photo
    size = (9, 9, 1)
    assert (found <= maximum_filter(np.maximum(near, far), size) + 1e-6).all()
    assert (found >= minimum_filter(np.minimum(near, far), size) - 1e-6).all()
    wall = np.s_[:20, 12:-12]
    assert np.abs(found - photo)[wall].max() < 0.02


def test_what_one_slice_shows_sharp_is_taken_as_it_is() -> None:
    photo, disparity = scene()
    disparity = np.where(np.arange(120)[:, None] < 60, np.float32(-1), np.float32(1)) * np.ones_like(disparity)
    near, far = (render(photo, disparity, focus, 14.0) for focus in (1, -1))
    found = depth_from_defocus(near, far).photo
    for there, one in ((np.s_[12:40, 12:-12], far), (np.s_[80:-12, 12:-12], near)):
        assert psnr(found, one, there) > 45


def test_a_photo_larger_than_depth_is_looked_for_at_keeps_its_size_and_aperture_in_its_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_slices, "SIDE", 80)
    found = depth_from_defocus(*slices(1, 12))
    assert found.photo.shape == (120, 150, 3)
    assert found.disparity.shape == (120, 150)
    assert found.aperture == pytest.approx(12, rel=0.2)
    assert np.abs(found.disparity - scene()[1])[INSIDE].mean() < 0.15

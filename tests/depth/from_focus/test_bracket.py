"""A focus bracket gives back the sharp photo and the depth that it was taken of, and what lies between its slices."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from refocal.depth.from_focus.alignment import find_poses
from refocal.depth.from_focus.bracket import Bracket, fit_aperture, fuse_bracket
from refocal.depth.from_focus.pose import Pose, warped
from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import read_image
from refocal.render.reference import render

HEIGHT, WIDTH, APERTURE = 120, 150, 12.0
INSIDE = (slice(10, -10), slice(10, -10))


def scene(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a textured photo, and a disparity that rises to the bottom as a table does."""
    noise = np.random.default_rng(seed).normal(size=(2, HEIGHT, WIDTH, 3))
    fine, coarse = (ndimage.gaussian_filter(n, (s, s, 0)) for n, s in zip(noise, (0.7, 4), strict=True))
    photo = 0.5 + 0.1 * fine / fine.std() + 0.1 * coarse / coarse.std()
    depth = np.linspace(-1, 1, HEIGHT)[:, None] + 0.3 * np.sin(np.arange(WIDTH) / 20)
    return photo.clip(0, 1).astype(np.float32), depth.clip(-1, 1).astype(np.float32)


def slices_of(photo: NDArray[np.float32], depth: NDArray[np.float32], levels: Any) -> list[NDArray[np.uint8]]:
    return [np.rint(render(photo, depth, float(level), APERTURE) * 255).astype(np.uint8) for level in levels]


def psnr(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((one - other)[INSIDE] ** 2)))


@pytest.fixture(scope="module")
def taken() -> tuple[list[NDArray[np.uint8]], Bracket]:
    slices = slices_of(*scene(), np.linspace(1, -1, 7))
    return slices, fuse_bracket(slices)


def test_the_fused_photo_is_the_sharp_one(taken: tuple[list[NDArray[np.uint8]], Bracket]) -> None:
    slices, fused = taken
    photo, _ = scene()
    assert fused.photo.dtype == fused.disparity.dtype == fused.confidence.dtype == np.float32
    assert psnr(fused.photo, photo) > 30
    assert psnr(fused.photo, photo) > max(psnr(one / np.float32(255), photo) for one in slices) + 6


def test_disparity_is_that_of_the_scene_and_near_is_near(taken: tuple[list[NDArray[np.uint8]], Bracket]) -> None:
    _, fused = taken
    _, depth = scene()
    assert np.corrcoef(fused.disparity[INSIDE].ravel(), depth[INSIDE].ravel())[0, 1] > 0.98
    assert np.abs(fused.disparity - depth)[INSIDE].mean() < 0.1
    assert fused.disparity[-20:].mean() > 0.7 > -0.7 > fused.disparity[:20].mean()
    assert fused.focus == pytest.approx(np.linspace(1, -1, 7))


def test_of_large_slices_sharpness_is_measured_at_a_part_of_the_size(
    taken: tuple[list[NDArray[np.uint8]], Bracket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes that are no multiple of the part, too; the photo is as sharp."""
    monkeypatch.setattr("refocal.depth.from_focus.focus_measure.SIDE", WIDTH // 2)
    slices = [one[:-1, :-1] for one in taken[0]]
    photo, depth = (one[:-1, :-1] for one in scene())
    fused = fuse_bracket(slices)
    assert fused.photo.shape == photo.shape
    assert fused.disparity.shape == fused.confidence.shape == depth.shape
    assert psnr(fused.photo, photo) > 29
    assert np.abs(fused.disparity - depth)[INSIDE].mean() < 0.12


def test_the_aperture_is_found_again(taken: tuple[list[NDArray[np.uint8]], Bracket]) -> None:
    slices, fused = taken
    assert fit_aperture(fused, slices) == pytest.approx(APERTURE, rel=0.15)


def test_the_aperture_of_a_scene_known_exactly_is_found_exactly() -> None:
    """A grid of 7 x 7 views stands for the whole pupil: 6/7 of it lie between the outer ones."""
    photo, depth = scene()
    known = Bracket(photo, depth, np.ones_like(depth), (1.0, -1.0), (Pose(), Pose()))
    assert fit_aperture(known, slices_of(photo, depth, (1, -1))) == pytest.approx(APERTURE, rel=0.07)


def test_a_slice_is_seen_where_its_pose_says_and_as_bright() -> None:
    photo, _ = scene()
    moved, inside = warped(photo, Pose(shift=(3 + 2j) / WIDTH, gain=(1.2, 1.0, 0.8)))
    np.testing.assert_array_equal(inside[:-2, :-3], True)
    assert not inside[-2:].any()
    assert not inside[:, -3:].any()
    wanted = to_srgb((to_linear(photo[2:, 3:]) * np.array([1.2, 1, 0.8], np.float32)).clip(0, 1))
    np.testing.assert_allclose(moved[:-2, :-3], wanted, atol=1e-3)
    turned = warped(photo, Pose(turn=1.02 * np.exp(0.02j)))[0]
    back = warped(turned, Pose(turn=1 / (1.02 * np.exp(0.02j))))[0]
    assert psnr(back, photo) > 33
    same, everywhere = warped(photo, Pose(shift=0.01 / WIDTH, gain=(1.001, 1, 1)))
    assert same is photo
    assert everywhere.all()


def test_of_two_slices_what_one_does_not_reach_is_not_sure() -> None:
    near, far = slices_of(*scene(), (1, -1))
    seen, inside = warped(near / np.float32(255), Pose(shift=0.05))
    fused = fuse_bracket([seen, far / np.float32(255)])
    beyond = np.s_[:, :5]
    assert not inside.all()
    assert fused.confidence[beyond].max() == 0 < fused.confidence[10:-10, 20:-20].min()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_slice_that_was_not_given_is_closer_than_the_nearest_given_one(count: int) -> None:
    photo, depth = scene(1)
    levels = np.linspace(1, -1, count)
    given = slices_of(photo, depth, levels)
    fused = fuse_bracket(given)
    aperture = fit_aperture(fused, given)
    for between in (levels[:-1] + levels[1:]) / 2:
        wanted = render(photo, depth, float(between), APERTURE)
        nearest = max(psnr(one / np.float32(255), wanted) for one in given)
        assert psnr(render(fused.photo, fused.disparity, float(between), aperture), wanted) > nearest + 2


def test_of_two_slices_disparity_rises_with_the_scene() -> None:
    photo, depth = scene(2)
    fused = fuse_bracket(slices_of(photo, depth, (1, -1)))
    assert np.corrcoef(fused.disparity[INSIDE].ravel(), depth[INSIDE].ravel())[0, 1] > 0.97
    assert fused.disparity[INSIDE].max() > 0.7
    assert fused.disparity[INSIDE].min() < -0.7


def test_breathing_and_exposure_are_taken_out() -> None:
    """4 % of scale, a shift, half a degree and 10 % of light between the ends are found to a fifth of a pixel."""
    photo, depth = scene(3)
    levels = np.linspace(1, -1, 5)
    true = [
        Pose(
            (1 + 0.02 * f) * np.exp(0.004j * f) if f else 1,
            complex(0.01 * f, -0.006 * f),
            (1 + 0.05 * float(f),) * 3,
        )
        for f in levels
    ]
    breathing = [
        warped(one / np.float32(255), pose)[0] for one, pose in zip(slices_of(photo, depth, levels), true, strict=True)
    ]
    poses = find_poses(breathing)
    long = max(HEIGHT, WIDTH)
    for found, pose in zip(poses, true, strict=True):  # there and back again is nowhere
        assert abs(found.turn * pose.turn - 1) * long / 2 < 0.2
        assert abs(pose.turn * found.shift + pose.shift) * long < 0.2
        assert found.gain == pytest.approx([1 / pose.gain[0]] * 3, rel=0.02)
    assert poses[2] == Pose()
    fused, loose = fuse_bracket(breathing), fuse_bracket(breathing, register=False)
    assert psnr(fused.photo, photo) > psnr(loose.photo, photo) + 4
    assert np.corrcoef(fused.disparity[INSIDE].ravel(), depth[INSIDE].ravel())[0, 1] > 0.95


def test_focus_may_be_given_unevenly() -> None:
    photo, depth = scene(4)
    levels = (1.0, 0.6, 0.1, -0.2, -0.8)
    fused = fuse_bracket(slices_of(photo, depth, levels), focus=levels, register=False)
    assert fused.focus == levels
    assert np.abs(fused.disparity - depth.clip(-0.8, 1))[INSIDE].mean() < 0.12


def test_what_has_no_texture_gets_the_disparity_of_its_surroundings() -> None:
    photo, _ = scene(5)
    photo[40:80, 50:100] = (0.7, 0.3, 0.2)
    plane = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    fused = fuse_bracket(slices_of(photo, plane, np.linspace(1, -1, 5)), register=False)
    assert np.mean(np.abs(fused.disparity - 0.5)[INSIDE] < 0.15) > 0.99
    assert fused.confidence[50:70, 65:85].mean() < 0.3 < fused.confidence[10:30].mean()


def test_grey_and_alike_slices_are_no_trouble() -> None:
    card = np.full((20, 24), 128, np.uint8)
    fused = fuse_bracket([card, card])
    np.testing.assert_allclose(fused.photo, 128 / 255, atol=2e-3)
    assert np.isfinite(fused.disparity).all()
    assert np.abs(fused.disparity).max() <= 1
    assert fused.confidence.max() == 0


CARD = np.zeros((20, 24, 3), np.uint8)
BARS = np.repeat(np.uint8(99) * (np.indices((64, 64))[0] // 16 % 2)[..., None].astype(np.uint8), 3, axis=2)


@pytest.mark.parametrize(
    ("slices", "focus", "words"),
    [
        ([], None, "a bracket needs 2 slices or more, got 0"),
        ([CARD], None, "a bracket needs 2 slices or more, got 1"),
        ([CARD, CARD[:, :20]], None, r"one size, got \(20, 24\) for slice 0 and \(20, 20\) for slice 1"),
        ([CARD, CARD.astype(np.float64)], None, "slice 1 must be uint8, uint16 or float32 in .* got float64"),
        ([np.full((20, 24, 3), np.nan, np.float32), CARD], None, "slice 0 of float32 must lie in"),
        ([CARD[:8], CARD[:8]], None, r"16 pixels or more a side, slice 0 has \(8, 24\)"),
        ([BARS, BARS.transpose(1, 0, 2)], None, "slice 0 shows another scene than slice 1: they correlate by -?0.[01]"),
        ([CARD, CARD], (1.0,), r"focus must be 2 falling numbers within \[-1, 1\], got \[1.0\]"),
        ([CARD, CARD], (-1.0, 1.0), "focus must be 2 falling numbers"),
        ([CARD, CARD], (2.0, 1.0), "focus must be 2 falling numbers"),
    ],
)
def test_bad_input_is_named_in_one_line(slices: Any, focus: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        fuse_bracket(slices, focus=focus)
    assert "\n" not in str(raised.value)


@pytest.mark.real
def test_the_first_slice_of_real_brackets_is_the_near_one(real_data: Any) -> None:
    """Scene 5 of lfsd: a flower before grass; it is nearer, in the bracket as in the scene."""
    files = sorted((real_data / "stacks" / "lfsd").glob("5__refocus_*.jpg"))
    if not files:
        pytest.skip("no lfsd here")
    slices = [np.ascontiguousarray(read_image(file).pixels[::3, ::3]) for file in (files[0], files[5], files[-1])]
    fused = fuse_bracket(slices)
    flower, grass = fused.disparity[140:200, 160:240], fused.disparity[300:, :100]
    assert np.median(flower) > 0.3 > np.median(grass) + 0.3

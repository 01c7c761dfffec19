"""Scores: their fixed points, and that they tell a refocused picture from a copied, blurred or wrongly focused one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered_scene import write_layered_scenes
from numpy.typing import NDArray
from scipy.signal import convolve2d

from refocal.evaluation import metrics
from refocal.evaluation.baselines import Oracle, blur, crop, fit_gaussian, identity
from refocal.evaluation.scores import SceneScores
from refocal.evaluation.scoring import score_scene
from refocal.scenes.scene import Scene


def picture(seed: int = 0, size: tuple[int, int] = (64, 72)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_layered_scenes(tmp_path_factory.mktemp("scenes"), {"layers": "train"})[0]


@pytest.fixture(scope="module")
def scores(scene: Scene) -> SceneScores:
    """Return what the evaluation itself says of right and wrong methods on a scene whose truth is known."""
    oracle = Oracle()
    methods = {
        "truth": lambda s, focus: np.array(s.stack()[s.focus.index(focus)]),
        "oracle": oracle,
        "wrong focus": lambda s, focus: oracle(s, -focus),
        "gaussian": fit_gaussian([scene]),
        "identity": identity,
    }
    return score_scene(scene, methods)


def test_a_wrong_focus_scores_clearly_worse(scores: SceneScores) -> None:
    """The same renderer, told the opposite focus: every score says so."""
    right, wrong = scores.seen("oracle"), scores.seen("wrong focus")
    margins = {
        "psnr": 5,
        "ssim": 0.1,
        "defocus_r": 0.5,
        "control_r": 0.8,
        "focus_accuracy": 0.5,
        "near_far_accuracy": 1,
    }
    for name, margin in margins.items():
        assert right[name] - wrong[name] >= margin, name
    assert (right["near_far_accuracy"], wrong["near_far_accuracy"]) == (1, 0)
    assert scores.unseen("oracle")["defocus_r"] - scores.unseen("wrong focus")["defocus_r"] > 0.5


def test_a_blind_blur_lies_between_a_copy_and_the_depth(scores: SceneScores) -> None:
    for name, margin in {"psnr": 0.5, "ssim": 0.02}.items():
        copy, blind, depth = (scores.seen(method)[name] for method in ("identity", "gaussian", "oracle"))
        assert copy + margin < blind < depth - margin, name
    assert scores.seen("gaussian")["defocus_r"] < 0.6
    assert scores.seen("oracle")["defocus_r"] > 0.9


def test_a_copy_of_the_photo_has_no_sign_of_focus(scores: SceneScores) -> None:
    own = scores.seen("identity")
    assert own["defocus_r"] == own["control_r"] == 0
    assert own["focus_accuracy"] == pytest.approx(1 / 3)
    assert own["near_far_accuracy"] == 0.5
    assert own["in_focus_psnr"] > own["out_of_focus_psnr"] + 5


def test_the_truth_has_full_marks(scores: SceneScores) -> None:
    own = scores.seen("truth")
    assert own["psnr"] == own["in_focus_psnr"] == own["out_of_focus_psnr"] == pytest.approx(58.92, abs=0.01)
    assert own["ssim"] == own["defocus_r"] == pytest.approx(1)
    assert own["focus_accuracy"] == own["near_far_accuracy"] == 1
    assert own["control_r"] > 0.9


def test_psnr_is_that_of_8_bit_values_and_finite() -> None:
    image = picture() // 2
    assert metrics.psnr(image, image + 1) == pytest.approx(20 * np.log10(255), abs=1e-4)
    assert metrics.psnr(image, image) == pytest.approx(10 * np.log10(12 * 255**2), abs=1e-4)
    half = np.zeros(image.shape[:2], bool)
    half[:10] = True
    other = image.copy()
    other[10:] += 100
    assert metrics.psnr(image, other, half) > 58
    assert metrics.psnr(image, other, ~half) < 20


def test_ssim_is_that_of_the_paper() -> None:
    """Wang et al. 2004, eq. 13, written out: an 11 x 11 Gaussian window, sigma 1.5, wherever it fits the picture."""
    a, b = picture(1), blur(picture(1), 1.0)
    window = np.exp(-np.add.outer(np.arange(-5, 6) ** 2, np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([convolve2d(x[..., c], window, mode="valid") for c in range(3)], axis=-1)

    x, y = a / 255, b / 255
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    wanted = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert metrics.ssim(a, b) == pytest.approx(wanted.mean(), abs=1e-4)
    assert metrics.ssim(a, a) == pytest.approx(1)


def test_ms_ssim_is_not_computed_of_small_pictures() -> None:
    large, small = picture(2, (176, 180)), picture(2, (175, 300))
    assert metrics.ms_ssim(small, small) is None
    assert metrics.ms_ssim(large, large) == pytest.approx(1)
    assert 0 < metrics.ms_ssim(large, blur(large, 1.0)) < 0.99
    assert 0 <= metrics.ms_ssim(large, 255 - large) < 0.1


def test_sml_of_a_white_point_is_eight_over_its_surroundings() -> None:
    """|2| + |2| at the point and |1| at its four neighbours, spread by a Gaussian of sigma 4 that loses nothing."""
    image = np.zeros((81, 81, 3), np.uint8)
    image[40, 40] = 255
    found = metrics.sml(image)
    assert found.sum() == pytest.approx(8, rel=1e-5)
    rows, _ = np.indices(found.shape)
    assert np.sqrt((found * (rows - 40) ** 2).sum() / 8) == pytest.approx(np.sqrt(16 + 2 / 8), rel=0.01)
    assert metrics.sml(np.full((40, 40, 3), 77, np.uint8)).max() == 0


def test_rounding_noise_of_a_flat_picture_hardly_moves_the_log() -> None:
    """Without the floor it would go from minus infinity to that of a texture."""
    noisy = 128 + np.random.default_rng(0).integers(0, 2, picture().shape).astype(np.uint8)
    flat = np.full_like(noisy, 128)
    change = metrics.log_sharpness(noisy) - metrics.log_sharpness(flat)
    assert 0 < change.mean() < 1.2
    assert np.mean(metrics.log_sharpness(picture()) - metrics.log_sharpness(flat)) > 4


def test_defocus_r_cancels_the_photos_own_texture() -> None:
    """Where the photo is busy and where it is plain, blurring in the wrong half scores -1 and in the right one +1."""
    photo = picture(3)
    photo[:, 20:50] //= 8
    photo_map = metrics.log_sharpness(photo)
    left, right = photo.copy(), photo.copy()
    left[:, :36], right[:, 36:] = blur(photo, 2.0)[:, :36], blur(photo, 2.0)[:, 36:]
    left_map, right_map = metrics.log_sharpness(left), metrics.log_sharpness(right)
    assert metrics.defocus_r(left_map, left_map, photo_map) == pytest.approx(1)
    assert metrics.defocus_r(right_map, left_map, photo_map) < -0.8


def test_focus_accuracy_counts_the_levels_that_are_hit() -> None:
    truths = [blur(picture(4), sigma) for sigma in (0.0, 1.0, 2.0, 3.0)]
    assert metrics.focus_accuracy(truths, truths) == 1
    assert metrics.focus_accuracy(truths[::-1], truths) == 0
    assert metrics.focus_accuracy([truths[0]] * 4, truths) == 0.25
    with pytest.raises(ValueError, match="got 1, 1"):
        metrics.focus_accuracy(truths[:1], truths[:1])


def test_control_r_needs_texture_and_levels(scene: Scene) -> None:
    photo = metrics.log_sharpness(crop(scene.photo(), scene.border))
    disparity = crop(scene.disparity(), scene.border)
    stack = [metrics.log_sharpness(crop(truth, scene.border)) for truth in scene.stack()]
    assert metrics.control_r(stack, scene.focus, photo, disparity) > 0.9
    assert metrics.control_r(stack[::-1], scene.focus, photo, disparity) < 0
    assert metrics.control_r(stack[:2], scene.focus[:2], photo, disparity) is None
    assert metrics.control_r(stack, scene.focus, np.full_like(photo, np.log(metrics.STEP)), disparity) is None


def test_regions_follow_the_disparity_and_leave_the_unknown_out() -> None:
    disparity = np.repeat(np.array([-1.0, 0.3, 1.0, np.nan, 1.2]), 20)[None].repeat(50, axis=0)
    found = metrics.regions(np.zeros(disparity.shape), disparity)
    assert [np.unique(np.argwhere(mask)[:, 1] // 20).tolist() for mask in found] == [[0], [1], [2]]


def test_thirds_are_those_of_the_change() -> None:
    photo = np.zeros((3, 10))
    truth = -np.arange(30.0).reshape(3, 10)
    sharp, blurred = metrics.split_by_focus(truth, photo)
    assert sharp[0].all()
    assert blurred[2].all()
    assert sharp.sum() == blurred.sum() == 10


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(-5, 5), st.floats(0.1, 10))
def test_pearson_is_that_of_numpy_and_knows_no_scale(seed: int, shift: float, scale: float) -> None:
    x, y = np.random.default_rng(seed).normal(size=(2, 30))
    assert metrics.pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    assert metrics.pearson(scale * x + shift, y) == pytest.approx(metrics.pearson(x, y), abs=1e-6)
    assert metrics.pearson(np.full(30, shift), y) == 0


def test_other_than_8_bit_pictures_of_one_size_are_refused() -> None:
    with pytest.raises(ValueError, match="got float64"):
        metrics.psnr(picture() / 255, picture())
    with pytest.raises(ValueError, match="one size"):
        metrics.ssim(picture(), picture()[:-1])
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, got 72 x 8"):
        metrics.ssim(picture()[:8], picture()[:8])

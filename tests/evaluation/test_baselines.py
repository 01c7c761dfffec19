"""Baselines: the Gaussian finds the blur that was there, the oracle the picture, and the copy copies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layered_scene import write_layered_scenes

from refocal.evaluation import baselines
from refocal.evaluation.baselines import KNOTS, Gaussian, Oracle, blur, crop, fit_gaussian, identity
from refocal.evaluation.metrics import psnr
from refocal.scenes.scene import Scene, read_scenes, write_manifest, write_scene

FOCUS, FRACTIONS = (-1.0, 0.0, 1.0), (0.2, 0.0, 0.071)


@pytest.fixture(scope="module")
def blurred(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    """Return scenes of different aperture whose slices are their photo, blurred by FRACTIONS of the lens's."""
    root = tmp_path_factory.mktemp("blurred")
    for number, aperture in enumerate((6.0, 14.0)):
        photo = np.random.default_rng(number).integers(0, 256, (60, 64, 3), np.uint8)
        write_scene(
            root,
            f"scene{number}",
            photo=photo,
            stack=np.stack([blur(photo, fraction * aperture * 5 / 4) for fraction in FRACTIONS]),
            disparity=np.zeros((60, 64)),
            focus=FOCUS,
            trained=(True, True, True),
            aperture=aperture,
            slope_range=(-0.5, 0.5),
            grid=(5, 5),
        )
    write_manifest(root, {}, {"scene0": "train", "scene1": "train"})
    return read_scenes(root)


def test_the_fit_finds_the_blur_whatever_the_aperture(blurred: list[Scene]) -> None:
    for scenes in (blurred, blurred[:1], blurred[1:]):
        fitted = fit_gaussian(scenes)
        assert fitted.focus == FOCUS
        assert fitted.fraction == pytest.approx(FRACTIONS, abs=0.006)


def test_the_gaussian_blurs_by_its_level_and_in_between_by_interpolation(blurred: list[Scene]) -> None:
    gaussian = Gaussian((-1.0, 0.0, 1.0), (0.2, 0.0, 0.1))
    photo, aperture = blurred[1].photo(), 14.0 * 5 / 4
    for focus, fraction in ((-1.0, 0.2), (-0.5, 0.1), (0.0, 0.0), (0.5, 0.05), (1.0, 0.1)):
        assert np.array_equal(gaussian(blurred[1], focus), blur(photo, fraction * aperture))


def test_of_many_scenes_a_part_is_taken_evenly(blurred: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    errors = np.ones((len(FOCUS), len(baselines.FRACTIONS)))
    monkeypatch.setattr(baselines, "_log_errors", lambda scene: taken.append(scene.name) or errors)
    fit_gaussian([replace(blurred[0], name=str(number)) for number in range(21)], at_most=3)
    assert taken == ["0", "10", "20"]


def test_scenes_to_fit_on_must_be_there() -> None:
    with pytest.raises(ValueError, match="got none"):
        fit_gaussian([])


def test_scenes_of_other_levels_are_fitted_at_even_ones(blurred: list[Scene]) -> None:
    """As focal stacks have: what the levels next to a knot tell is shared."""
    alike = fit_gaussian(blurred)
    moved = tuple(focus * 0.999 for focus in blurred[1].focus)
    mixed = fit_gaussian([blurred[0], replace(blurred[1], focus=moved)])
    assert mixed.focus == KNOTS
    own = [KNOTS.index(focus) for focus in alike.focus]  # at the others, neighbours are mixed
    assert np.abs(np.array(mixed.fraction)[own] - alike.fraction).max() < 0.01


def test_blur_averages_light_and_not_its_code() -> None:
    """A fine black and white board gives sRGB 188, the code of half the light, and not 128."""
    board = np.indices((40, 40)).sum(axis=0) % 2 * 255
    found = blur(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), 3.0)
    assert np.abs(found[10:30, 10:30].astype(int) - 188).max() <= 1


def test_identity_is_the_photo_and_the_oracle_nearly_the_truth(tmp_path: Path) -> None:
    scene = write_layered_scenes(tmp_path, {"layers": "test"})[0]
    assert np.array_equal(identity(scene, 1.0), scene.photo())
    for focus, truth in zip(scene.focus, scene.stack(), strict=True):
        found = [
            psnr(crop(made, scene.border), crop(truth, scene.border))
            for made in (Oracle()(scene, focus), identity(scene, 0))
        ]
        assert found[0] > found[1] + 10
    assert not np.array_equal(Oracle()(scene, 1.0), Oracle(linear=False)(scene, 1.0))
    assert not np.array_equal(Oracle()(scene, 1.0), Oracle(pupil="square")(scene, 1.0))


def test_the_border_is_cut_off_each_side_but_not_everything() -> None:
    picture = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    assert crop(picture, 4)[0, 0] == picture[4, 4]
    assert crop(picture, 4).shape == (32, 42)
    assert crop(picture, 0).shape == (40, 50)
    with pytest.raises(ValueError, match="cropping 5 pixels leaves less than 32 of a picture of 50 x 40"):
        crop(picture, 5)

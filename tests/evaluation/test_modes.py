"""Each way in is told what it may know and no more, and the aperture of the lens; the disparity found is scored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layered_scene import write_layered_scenes
from numpy.typing import NDArray
from tiny_model import PROPS, write_lens_models, write_model

from refocal.depth.from_focus.bracket import fuse_bracket
from refocal.evaluation.modes import BRACKET, GIVEN, depth_scores, evaluation_modes
from refocal.model.refocuser import Refocuser
from refocal.scenes.scene import Scene, read_scenes, write_manifest, write_scene

WEIGHTS = PROPS | {"weights": "abc", "blur_limit": "1000"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return three layers whose slices lie at -1 to 1."""
    return write_layered_scenes(tmp_path_factory.mktemp("scenes"), {"a": "test"})[0]


@pytest.fixture
def refocuser(tmp_path: Path) -> Refocuser:
    """Return a model that finds red to be near, and adds (focus - disparity) aperture / 1000."""
    return Refocuser(write_lens_models(tmp_path / "lens.onnx", WEIGHTS), threads=1)


def disparity_of(made: NDArray[np.uint8], photo: NDArray[np.uint8], focus: float, aperture: float) -> NDArray:
    """Return the disparity that the tiny model rendered with, NaN where a channel was clipped."""
    change = (made.astype(float) - photo) / 255
    disparity = focus - change * 1000 / aperture
    return np.where((made > 0) & (made < 255), disparity, np.nan)


def test_the_photo_alone_is_rendered_with_what_the_model_finds(scene: Scene, refocuser: Refocuser) -> None:
    made = evaluation_modes(refocuser)["refocal"](scene, 0.5)
    np.testing.assert_array_equal(made, refocuser(scene.photo(), 0.5, scene.lens_aperture))


def test_every_way_blurs_by_the_lens_that_the_views_stand_for(scene: Scene, refocuser: Refocuser) -> None:
    """8 px from the middle of the first view to that of the last of 5 are a lens of 10."""
    assert scene.lens_aperture == pytest.approx(1.25 * scene.aperture)
    for way in evaluation_modes(refocuser).values():
        wide = replace(scene, aperture=400.0)  # so wide that rounding to 8 bits hides nothing
        same = replace(scene, aperture=500.0, grid=(1, 1))  # a lens of the same 500 px, told as one
        np.testing.assert_array_equal(way(wide, 0.5), way(same, 0.5))
        assert not np.array_equal(way(wide, 0.5), way(replace(wide, grid=(1, 1)), 0.5))


def test_a_model_without_disparity_has_one_way_and_the_lens_s_aperture(scene: Scene, tmp_path: Path) -> None:
    model = Refocuser(write_model(tmp_path / "plain.onnx", PROPS | {"aperture_range": "0 900"}), threads=1)
    (name, way), *others = evaluation_modes(model).items()
    assert (name, others) == ("refocal", [])
    np.testing.assert_array_equal(way(scene, 0.5), model(scene.photo(), 0.5, scene.lens_aperture))
    assert not np.array_equal(way(scene, 0.5), model(scene.photo(), 0.5, 3 * scene.lens_aperture))


def test_a_given_disparity_is_the_scene_s_own_and_what_it_lacks_is_filled(
    scene: Scene, refocuser: Refocuser, tmp_path: Path
) -> None:
    way, wide = evaluation_modes(refocuser)[GIVEN], replace(scene, aperture=200.0)
    truth = np.array(scene.disparity(), np.float32)
    found = disparity_of(way(wide, 0.0), scene.photo(), 0.0, 250)
    assert np.nanmax(np.abs(found - truth[..., None])) < 0.01
    holes = truth.copy()
    holes[10:20, 40:50] = np.nan  # inside the middle layer
    facts = {"focus": scene.focus, "trained": scene.trained, "slope_range": (-1.0, 1.0), "grid": (5, 5)}
    pictures = {"photo": np.array(scene.photo()), "stack": np.array(scene.stack())}
    write_scene(tmp_path, "a", disparity=holes, aperture=200.0, **pictures, **facts)
    write_manifest(tmp_path, {}, {"a": "test"})
    np.testing.assert_array_equal(way(read_scenes(tmp_path)[0], 0.0), way(wide, 0.0))


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-0.5, 0.5), (-1.0, 0.5)])
def test_a_bracket_s_disparity_lies_where_its_slices_are_focused(
    scene: Scene, refocuser: Refocuser, ends: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sharp in its farthest slice has the focus of that slice, which need not be the scene's farthest."""
    kept = [scene.focus.index(end) for end in ends]
    stack = np.array(scene.stack()[kept])
    monkeypatch.setattr(Scene, "stack", lambda _: stack)
    part = replace(scene, focus=ends, trained=(True, True), aperture=200.0)
    bracket = fuse_bracket([stack[1], stack[0]], register=False)
    photo = np.rint(bracket.photo * 255).astype(np.uint8)
    found = disparity_of(evaluation_modes(refocuser)[BRACKET](part, 0.0), photo, 0.0, 250)
    wanted = np.interp(bracket.disparity, (-1, 1), ends)
    assert np.nanmax(np.abs(found - wanted[..., None])) < 0.01


def test_a_bracket_sees_its_ends_and_nothing_else(
    scene: Scene, refocuser: Refocuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = evaluation_modes(refocuser)[BRACKET]
    made = way(scene, 0.5)
    changed = np.array(scene.stack())
    changed[1:-1] = 7
    monkeypatch.setattr(Scene, "stack", lambda _: changed)
    np.testing.assert_array_equal(evaluation_modes(refocuser)[BRACKET](scene, 0.5), made)
    changed = changed.copy()
    changed[0] = 7
    assert not np.array_equal(evaluation_modes(refocuser)[BRACKET](scene, 0.5), made)


def test_depth_is_scored_by_its_correlation_with_what_is_known(refocuser: Refocuser, tmp_path: Path) -> None:
    """Red rises to the right: a scene that does so too scores 1, one that falls -1, a flat one 0."""
    ramp = np.tile(np.linspace(-1, 1, 48), (40, 1))
    photo = np.zeros((40, 48, 3), np.uint8)
    photo[..., 0] = np.rint((ramp + 1) / 2 * 255)
    unknown = np.where(np.arange(40)[:, None] < 9, np.nan, ramp)
    truths = {"falls": -ramp, "flat": 0 * ramp, "rises": unknown}
    for name, disparity in truths.items():
        facts = {"focus": (), "trained": (), "slope_range": (-1.0, 1.0), "grid": (1, 1), "aperture": 1.0}
        stack = np.empty((0, *photo.shape), np.uint8)
        write_scene(tmp_path, name, photo=photo, stack=stack, disparity=disparity, kind="rgbd", **facts)
    write_manifest(tmp_path, {}, dict.fromkeys(truths, "test"))
    scenes = read_scenes(tmp_path)
    means = [depth_scores(refocuser, [scene])["mean"] for scene in scenes]
    assert means == pytest.approx([-1, 0, 1], abs=1e-3)
    assert depth_scores(refocuser, scenes) == {"n": 3.0, "mean": pytest.approx(0, abs=1e-3)}
    assert depth_scores(refocuser, []) == {}
    assert depth_scores(Refocuser(write_model(tmp_path / "plain.onnx", PROPS), threads=1), scenes) == {}

"""Crops are what their index says: the same place of photo and target, of training scenes and trained levels only."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_scenes import FOCUS, TRAINED, write_masks, write_pairs, write_tiny_scenes
from tiny_training import assert_equal
from torch.utils.data import DataLoader

from refocal.learning.data.crops import Crops, centre_crops, digest
from refocal.learning.data.sampling import IndexBatches, trained_pairs
from refocal.learning.examples import RENDERED_APERTURE
from refocal.scenes.scene import Scene

SPLITS = {"a": "train", "b": "train", "c": "validation", "d": "test"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_tiny_scenes(tmp_path_factory.mktemp("scenes"), SPLITS)


def test_an_epoch_visits_every_trained_level_of_every_training_scene_equally_often(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, seed=0, crops_per_pair=3)
    assert len(crops) == 2 * sum(TRAINED) * 3
    for epoch in (0, 1, 5):
        seen = [tuple(crops[epoch * len(crops) + i].sigma.tolist()) for i in range(len(crops))]
        levels = [focus for focus, trained in zip(FOCUS, TRAINED, strict=True) if trained]
        wanted = [(focus, scene.lens_aperture) for scene in scenes[:2] for focus in levels] * 3
        assert sorted(seen) == sorted(wanted)


def test_epochs_differ_in_order(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, seed=0, crops_per_pair=8)
    first, second = ([crops[e * len(crops) + i].sigma.tolist() for i in range(len(crops))] for e in (0, 1))
    assert first != second


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 10**9), seed=st.integers(0, 2**32), crop=st.integers(1, 40))
def test_photo_and_target_are_one_place_turned_one_way(scenes: list[Scene], index: int, seed: int, crop: int) -> None:
    photo, target, sigma, disparity, real, _ = Crops(scenes, crop=crop, seed=seed)[index]
    assert photo.shape == target.shape == (3, crop, crop)
    assert disparity.shape == (1, crop, crop)
    assert photo.dtype == target.dtype == sigma.dtype == disparity.dtype == torch.float32
    assert real
    assert 0 <= photo.min() <= photo.max() <= 1
    wanted = (photo * 255).round() * (0.75 - 0.25 * sigma[0])
    assert torch.equal(wanted.byte(), (target * 255).round().byte())


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 10**6))
def test_an_item_depends_on_seed_and_index_alone(scenes: list[Scene], index: int) -> None:
    used = Crops(scenes, crop=16, seed=3)
    for other in (0, index + 1, 17):
        used[other]
    fresh = Crops(list(reversed(scenes)), crop=16, seed=3)
    assert_equal(tuple(used[index]), tuple(fresh[index]))


def test_crops_move_and_flip(scenes: list[Scene]) -> None:
    """A crop as wide as the photo is the photo itself or mirrored; smaller ones reach every corner."""
    photo = torch.from_numpy(np.array(scenes[0].photo())).permute(2, 0, 1).float() / 255
    crops = Crops(scenes[:1], crop=40, seed=0)
    found = {
        (left, flip)
        for index in range(120)
        for left in range(9)
        for flip in (False, True)
        if torch.equal(crops[index].photo, (photo.flip(2) if flip else photo)[:, :, left : left + 40])
    }
    assert found == {(left, flip) for left in range(9) for flip in (False, True)}


def test_other_seeds_take_other_crops(scenes: list[Scene]) -> None:
    one, two = (Crops(scenes, crop=16, seed=seed) for seed in (0, 1))
    assert not all(torch.equal(one[i].photo, two[i].photo) for i in range(8))


def test_a_scene_smaller_than_the_crop_is_named(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match=r"scene a is 40 x 48 pixels, smaller than crop = 64: at most crop = 40"):
        Crops(scenes, crop=64, seed=0)


def test_no_training_scene_is_an_error(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Crops(scenes[2:], crop=16, seed=0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # torch's threads are not Python's
def test_workers_read_what_the_process_itself_reads(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, seed=0, crops_per_pair=2)
    batches = IndexBatches(first=1, steps=6, size=4)
    alone, helped = ([tuple(b) for b in DataLoader(crops, batch_sampler=batches, num_workers=n)] for n in (0, 2))
    assert_equal(alone, helped)


def test_centre_crops_are_the_middle(scenes: list[Scene]) -> None:
    pairs = trained_pairs(scenes, "validation")
    photos, targets, sigmas, disparities, real, _ = centre_crops(pairs, 16)
    assert torch.equal(disparities, torch.zeros(sum(TRAINED), 1, 16, 16))
    assert real.all()
    assert photos.shape == targets.shape == (sum(TRAINED), 3, 16, 16)
    assert sigmas.tolist() == [[-1, 7.5], [0, 7.5], [1, 7.5]]  # the lens of 5 x 5 views
    middle = np.array(scenes[2].stack())[2, 12:28, 16:32].transpose(2, 0, 1)
    assert torch.equal((targets[1] * 255).round().byte(), torch.from_numpy(middle.copy()))


def test_the_digest_tells_other_pixels_apart(scenes: list[Scene], tmp_path: Path) -> None:
    assert digest(scenes) == digest(list(reversed(scenes)))
    assert digest(write_tiny_scenes(tmp_path / "same", SPLITS)) == digest(scenes)
    assert digest(write_tiny_scenes(tmp_path / "other", SPLITS, seed=1)) != digest(scenes)


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 10**6))
def test_zoomed_crops_are_resized_and_so_is_their_blur(scenes: list[Scene], index: int) -> None:
    """A square of half to all of the short side, 40 px, becomes 16 px: the aperture in pixels shrinks with it."""
    crop = Crops(scenes[:1], crop=16, seed=0, zoom=0.5)[index]
    assert crop.photo.shape == crop.target.shape == (3, 16, 16)
    assert scenes[0].lens_aperture * 16 / 40 <= crop.sigma[1] <= scenes[0].lens_aperture * 16 / 20
    assert torch.allclose(crop.target, crop.photo * (0.75 - 0.25 * crop.sigma[0]), atol=1 / 255)


def test_a_zoom_takes_scenes_that_are_smaller_than_the_crop(scenes: list[Scene]) -> None:
    assert Crops(scenes, crop=64, seed=0, zoom=0.9)[0].photo.shape == (3, 64, 64)


def test_a_pair_is_its_own_target_with_a_focus_to_be_rendered(tmp_path: Path) -> None:
    """Photo, disparity and what is unknown of it are one place, turned one way."""
    scenes = write_pairs(tmp_path, {"a": "train"})
    crops = Crops(scenes, crop=16, seed=0, crops_per_pair=3)
    assert len(crops) == 3
    photo, disparity = scenes[0].photo(), scenes[0].disparity()
    shown = [crops[index] for index in range(60)]
    for crop in shown:
        assert not crop.real
        assert torch.equal(crop.photo, crop.target)
        assert -1 <= crop.sigma[0] <= 1
        assert RENDERED_APERTURE[0] * 16 <= crop.sigma[1] <= RENDERED_APERTURE[1] * 16
        corner = (crop.photo[:, 0, [0, -1]] * 255).round().byte().numpy()
        for side, pixel in zip((0, -1), corner.T, strict=True):
            ((top, left),) = np.argwhere((photo == pixel).all(axis=2))
            np.testing.assert_equal(crop.disparity[0, 0, side].numpy(), disparity[top, left].astype(np.float32))
    assert {bool(crop.disparity.isnan().any()) for crop in shown} == {True, False}


def test_a_mask_is_turned_with_its_photo_and_asks_for_no_blur(tmp_path: Path) -> None:
    """At aperture 0 its photo is its own target; only the mask is left to learn from."""
    scenes = write_masks(tmp_path, {"a": "train"})
    crops = Crops(scenes, crop=24, seed=0)
    for index in range(6):
        placement, crop = crops.placement(index), crops[index]
        assert (bool(crop.real), float(crop.sigma[1])) == (True, 0)
        assert torch.equal(crop.photo, crop.target)
        place = slice(placement.top, placement.top + 24), slice(placement.left, placement.left + 24)
        mask = np.array(scenes[0].mask()[place], np.float32)
        assert torch.equal(crop.front[0], torch.from_numpy(mask[:, ::-1].copy() if placement.mirrored else mask))
        assert bool(crop.disparity.isnan().all())


def test_jitter_changes_photo_and_target_alike_and_stays_in_range(scenes: list[Scene]) -> None:
    plain, varied = (Crops(scenes, crop=16, seed=0, jitter=jitter) for jitter in (0, 0.4))
    for index in range(12):
        before, after = plain[index], varied[index]
        assert not torch.allclose(after.photo, before.photo, atol=1e-2)
        assert 0 <= after.photo.min() <= after.photo.max() <= 1
        assert torch.equal(after.sigma, before.sigma)
        same = (before.photo - before.target).abs().amax(0) == 0  # what is one colour in both stays one colour
        assert torch.equal(after.photo[:, same], after.target[:, same])


def test_centre_crops_may_be_the_whole_made_smaller(scenes: list[Scene]) -> None:
    photos, targets, sigmas, *_ = centre_crops(trained_pairs(scenes, "validation"), 20, whole=True)
    assert photos.shape == targets.shape == (sum(TRAINED), 3, 20, 20)
    assert sigmas.tolist() == [[-1, 3.75], [0, 3.75], [1, 3.75]]  # 7.5 px of 40
    middle = scenes[2].photo()[:, 4:44].astype(float).reshape(20, 2, 20, 2, 3).mean((1, 3)) / 255
    assert np.abs(photos[0].permute(1, 2, 0).numpy() - middle)[2:-2, 2:-2].mean() < 0.08  # noise of 0.2


def test_the_digest_tells_other_masks_apart(tmp_path: Path) -> None:
    scenes = write_masks(tmp_path, {"a": "train"})
    before = digest(scenes)
    mask = np.array(scenes[0].mask())
    np.save(scenes[0].path / "mask.npy", 1 - mask)
    assert digest(scenes) != before


def test_the_digest_tells_other_disparities_apart(tmp_path: Path) -> None:
    scenes = write_pairs(tmp_path, {"a": "train"})
    before = digest(scenes)
    path = scenes[0].path / "disparity.npy"
    np.save(path, np.load(path) / 2)
    assert digest(scenes) != before

"""Crops are what their index says: the same place of photo and target, of training scenes and trained levels only."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from refocal.learning.dataset import Crops, IndexBatches, centre_crops, digest, trained_pairs
from refocal.optics.scenes import Scene
from tiny_scenes import FOCUS, TRAINED, write_tiny_scenes

SPLITS = {"a": "train", "b": "train", "c": "validation", "d": "test"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_tiny_scenes(tmp_path_factory.mktemp("scenes"), SPLITS)


def test_an_epoch_visits_every_trained_level_of_every_training_scene_equally_often(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, crops_per_pair=3)
    assert len(crops) == 2 * sum(TRAINED) * 3
    for epoch in (0, 1, 5):
        seen = [tuple(crops[epoch * len(crops) + i][2].tolist()) for i in range(len(crops))]
        wanted = [(focus, s.aperture) for s in scenes[:2] for focus, t in zip(FOCUS, TRAINED, strict=True) if t] * 3
        assert sorted(seen) == sorted(wanted)


def test_epochs_differ_in_order(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, crops_per_pair=8)
    first, second = ([crops[e * len(crops) + i][2].tolist() for i in range(len(crops))] for e in (0, 1))
    assert first != second


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 10**9), seed=st.integers(0, 2**32), crop=st.integers(1, 40))
def test_photo_and_target_are_one_place_turned_one_way(scenes: list[Scene], index: int, seed: int, crop: int) -> None:
    photo, target, sigma = Crops(scenes, crop=crop, seed=seed)[index]
    assert photo.shape == target.shape == (3, crop, crop)
    assert photo.dtype == target.dtype == sigma.dtype == torch.float32
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
    assert all(torch.equal(a, b) for a, b in zip(used[index], fresh[index], strict=True))


def test_crops_move_and_flip(scenes: list[Scene]) -> None:
    """A crop as wide as the photo is the photo itself or mirrored; smaller ones reach every corner."""
    photo = torch.from_numpy(np.array(scenes[0].photo())).permute(2, 0, 1).float() / 255
    crops = Crops(scenes[:1], crop=40)
    found = {
        (left, flip)
        for index in range(120)
        for left in range(9)
        for flip in (False, True)
        if torch.equal(crops[index][0], (photo.flip(2) if flip else photo)[:, :, left : left + 40])
    }
    assert found == {(left, flip) for left in range(9) for flip in (False, True)}


def test_other_seeds_take_other_crops(scenes: list[Scene]) -> None:
    one, two = (Crops(scenes, crop=16, seed=seed) for seed in (0, 1))
    assert not all(torch.equal(one[i][0], two[i][0]) for i in range(8))


def test_a_scene_smaller_than_the_crop_is_named(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match=r"scene a is 40 x 48 pixels, smaller than crop = 64: at most crop = 40"):
        Crops(scenes, crop=64)


def test_no_training_scene_is_an_error(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        Crops(scenes[2:], crop=16)


def test_batches_go_on_where_a_run_stopped() -> None:
    whole = list(IndexBatches(first=0, steps=7, size=3))
    assert list(IndexBatches(first=4, steps=7, size=3)) == whole[4:]
    assert len(IndexBatches(first=4, steps=7, size=3)) == 3
    assert [i for batch in whole for i in batch] == list(range(21))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # torch's threads are not Python's
def test_workers_read_what_the_process_itself_reads(scenes: list[Scene]) -> None:
    crops = Crops(scenes, crop=16, crops_per_pair=2)
    batches = IndexBatches(first=1, steps=6, size=4)
    alone, helped = (list(DataLoader(crops, batch_sampler=batches, num_workers=n)) for n in (0, 2))
    assert all(torch.equal(a, b) for x, y in zip(alone, helped, strict=True) for a, b in zip(x, y, strict=True))


def test_centre_crops_are_the_middle(scenes: list[Scene]) -> None:
    pairs = trained_pairs(scenes, "validation")
    photos, targets, sigmas = centre_crops(pairs, 16)
    assert photos.shape == targets.shape == (sum(TRAINED), 3, 16, 16)
    assert sigmas.tolist() == [[-1, 6], [0, 6], [1, 6]]
    middle = np.array(scenes[2].stack())[2, 12:28, 16:32].transpose(2, 0, 1)
    assert torch.equal((targets[1] * 255).round().byte(), torch.from_numpy(middle.copy()))


def test_the_digest_tells_other_pixels_apart(scenes: list[Scene], tmp_path: Path) -> None:
    assert digest(scenes) == digest(list(reversed(scenes)))
    assert digest(write_tiny_scenes(tmp_path / "same", SPLITS)) == digest(scenes)
    assert digest(write_tiny_scenes(tmp_path / "other", SPLITS, seed=1)) != digest(scenes)

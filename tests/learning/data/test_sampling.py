"""Epochs visit scenes as often as is asked for, and batches go on where a run stopped."""

from collections import Counter
from pathlib import Path

import pytest
from tiny_scenes import TRAINED, write_pairs, write_tiny_scenes

from refocal.learning.data.sampling import IndexBatches, epoch_entries, order, trained_pairs
from refocal.scenes.scene import Scene


@pytest.fixture
def mixed(tmp_path: Path) -> list[Scene]:
    """Return two light fields, named after their own files, and two pairs of the collection kinect."""
    fields = write_tiny_scenes(tmp_path / "fields", {"a": "train", "b": "train"})
    return [*fields, *write_pairs(tmp_path / "pairs", {"c": "train", "d": "train"})]


def test_batches_go_on_where_a_run_stopped() -> None:
    whole = list(IndexBatches(first=0, steps=7, size=3))
    assert list(IndexBatches(first=4, steps=7, size=3)) == whole[4:]
    assert len(IndexBatches(first=4, steps=7, size=3)) == 3
    assert [i for batch in whole for i in batch] == list(range(21))


def test_a_scene_without_a_stack_is_one_pair(mixed: list[Scene]) -> None:
    levels = Counter(scene.name for scene, _ in trained_pairs(mixed, "train"))
    assert levels == {"a": sum(TRAINED), "b": sum(TRAINED), "c": 1, "d": 1}
    assert {level for scene, level in trained_pairs(mixed, "train") if scene.kind == "rgbd"} == {-1}


def test_weights_go_by_collection_first_and_by_kind_else(mixed: list[Scene]) -> None:
    assert epoch_entries(mixed, 2, {}).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert epoch_entries(mixed, 1, {"light_field": 0, "kinect": 2}).tolist() == [2, 2, 3, 3]
    assert epoch_entries(mixed, 1, {"rgbd": 3, "kinect": 0, "a.png": 0}).tolist() == [1]


def test_fractions_are_spread_evenly(mixed: list[Scene]) -> None:
    many = mixed[:1] * 10
    assert epoch_entries(many, 1, {"light_field": 0.3}).tolist() == [3, 6, 9]
    assert Counter(epoch_entries(many, 3, {"light_field": 0.5}).tolist()).total() == 15


def test_weights_that_leave_nothing_are_refused(mixed: list[Scene]) -> None:
    with pytest.raises(ValueError, match=r"weights {'light_field': 0, 'rgbd': 0} leave no scene to train on"):
        epoch_entries(mixed, 1, {"light_field": 0, "rgbd": 0})


def test_an_order_is_a_permutation_of_its_own_epoch_and_seed() -> None:
    assert sorted(order(0, 0, 9)) == list(range(9))
    assert len({tuple(order(seed, epoch, 9)) for seed in (0, 1) for epoch in (0, 1)}) == 4

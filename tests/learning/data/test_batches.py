"""Batches are whole: a share of the visits of light fields has any focus, averaged; all else is as without."""

import types
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_scenes import write_light_fields, write_pairs
from tiny_training import TINY, assert_equal, run_training

from refocal.learning.config import TrainConfig
from refocal.learning.data.batches import BatchStream, check_shared_memory
from refocal.learning.data.crops import Crops
from refocal.learning.examples import Example
from refocal.scenes.scene import Scene, read_scenes, write_manifest
from refocal.shiftadd.shift_and_add import shift_and_add
from refocal.shiftadd.slopes import FocusRange

CPU = torch.device("cpu")
SPLITS = {"a": "train", "b": "train", "c": "validation"}
HALF = replace(TINY, on_the_fly=0.5, crop=16, batch=5)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_light_fields(tmp_path_factory.mktemp("scenes"), SPLITS)


def crops_of(scenes: list[Scene], config: TrainConfig) -> Crops:
    return Crops(
        scenes,
        crop=config.crop,
        seed=config.seed,
        crops_per_pair=8,
        zoom=config.zoom,
        jitter=config.jitter,
        on_the_fly=config.on_the_fly,
    )


def batches(scenes: list[Scene], config: TrainConfig, first: int, steps: int) -> list[Example]:
    return list(BatchStream(crops_of(scenes, config), config, CPU).batches(first, steps))


def test_the_share_of_the_visits_has_any_focus_and_the_others_are_as_without(fields: list[Scene]) -> None:
    some, none = (crops_of(fields, replace(HALF, on_the_fly=share)) for share in (0.3, 0))
    focus = []
    for index in range(400):
        one, other = some.placement(index), none.placement(index)
        assert (one.scene, one.top, one.left, one.mirrored) == (other.scene, other.top, other.left, other.mirrored)
        assert one.aperture == other.aperture
        if one.averaged:
            focus.append(one.focus)
            assert some[index].target.isnan().all()
        else:
            assert_equal(tuple(some[index]), tuple(none[index]))
    assert 0.2 < len(focus) / 400 < 0.4
    assert len(set(focus)) == len(focus)
    assert np.histogram(focus, 4, (-1, 1))[0].min() > 15  # everywhere in the range


@pytest.mark.parametrize("changes", [{}, {"zoom": 0.5}, {"zoom": 0.6, "jitter": 0.4}], ids=["plain", "zoom", "jitter"])
def test_targets_are_the_views_averaged_at_the_focus(fields: list[Scene], changes: dict[str, float]) -> None:
    """At the example's place, turned, resized and coloured as its photo is."""
    config = replace(HALF, **changes)  # type: ignore[arg-type]
    crops, averaged, mirrored = crops_of(fields, config), 0, set()
    for step, batch in enumerate(batches(fields, config, 0, 4)):
        for number in range(config.batch):
            placement = crops.placement(step * config.batch + number)
            target = crops[step * config.batch + number].target
            if placement.averaged:
                views = np.array(placement.scene.views()).reshape(*placement.scene.grid, *placement.scene.photo().shape)
                slope = float(FocusRange(*placement.scene.slope_range).slope(placement.focus))
                whole = torch.from_numpy(shift_and_add(views, slope, pupil="square")).permute(2, 0, 1)
                square = whole[
                    :, placement.top : placement.top + placement.side, placement.left : placement.left + placement.side
                ]
                target = placement.picture(square, config.crop)
                averaged += 1
                mirrored.add(placement.mirrored)
            torch.testing.assert_close(batch.target[number], target, atol=1e-5, rtol=0)
        assert batch.real.all()
    assert averaged > 4
    assert mirrored == {False, True}


def test_at_a_stored_level_the_mean_is_the_stored_slice(fields: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the rounding to 8 bits: training at levels and between them is one task."""
    crops = crops_of(fields, replace(HALF, on_the_fly=1))
    honest, stored = crops.placement, crops_of(fields, replace(HALF, on_the_fly=0))
    monkeypatch.setattr(crops, "placement", lambda index: replace(honest(index), focus=stored.placement(index).focus))
    for step, batch in enumerate(BatchStream(crops, HALF, CPU).batches(0, 3)):
        wanted = torch.stack([stored[step * HALF.batch + number].target for number in range(HALF.batch)])
        assert (batch.target - wanted).abs().max() <= 0.5 / 255 + 1e-5


def test_a_batch_is_a_function_of_seed_and_step_alone(fields: list[Scene]) -> None:
    config = replace(HALF, rendered=0.4, zoom=0.5, jitter=0.3)
    through = batches(fields, config, 0, 6)
    for first in (1, 4):
        again = next(BatchStream(crops_of(fields[::-1], config), config, CPU).batches(first, 6))
        assert_equal(tuple(through[first]), tuple(again))
    other = batches(fields, replace(config, seed=1), 4, 5)[0]
    assert not torch.equal(other.target, through[4].target)
    assert all(batch.target.isfinite().all() for batch in through)


def test_pairs_and_scenes_of_other_parts_need_no_views(tmp_path: Path) -> None:
    """Only light fields that are trained on are held; the others go their own ways."""
    write_light_fields(tmp_path, {"a": "train"})
    write_light_fields(tmp_path, {"c": "validation"}, keep=False)
    write_pairs(tmp_path, {"b": "train"})
    write_manifest(tmp_path, {}, {"a": "train", "b": "train", "c": "validation"})
    scenes, config = read_scenes(tmp_path), replace(HALF, on_the_fly=1)
    crops = crops_of(scenes, config)
    feed = BatchStream(crops, config, CPU)
    assert [scene.name for scene in feed.numbers] == ["a"]
    for step, batch in enumerate(islice(feed.batches(0, 8), 8)):
        for number, real in enumerate(batch.real):
            placement = crops.placement(step * config.batch + number)
            assert placement.averaged == bool(real) == (placement.scene.name == "a")
            assert bool(real) or torch.equal(batch.target[number], batch.photo[number])


def test_views_that_were_not_kept_stop_the_training_at_once(tmp_path: Path) -> None:
    scenes = write_light_fields(tmp_path / "scenes", SPLITS, keep=False)
    with pytest.raises(ValueError, match=r"^scene a has no views\.npy: [^\n]*$"):
        run_training(scenes, HALF, tmp_path)
    run_training(scenes, replace(HALF, on_the_fly=0), tmp_path)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # torch's threads are not Python's
def test_a_training_on_the_fly_resumes_exactly_and_says_so(fields: list[Scene], tmp_path: Path) -> None:
    config = replace(TINY, on_the_fly=0.6, checkpoint_every=2)
    whole, curves = run_training(fields, config, tmp_path / "whole")

    def die(step: int, _steps: int, _speed: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(fields, config, tmp_path / "again", progress=die)
    again, curves_again = run_training(fields, replace(config, workers=2), tmp_path / "again")
    assert_equal(again, whole)
    assert curves_again == curves
    assert whole["about"]["training_data"]["on_the_fly"] == 0.6
    plain, _ = run_training(fields, TINY, tmp_path / "plain")
    assert "on_the_fly" not in plain["about"]["training_data"]
    assert any(not torch.equal(plain["state"][name], value) for name, value in whole["state"].items())


def test_workers_that_shared_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose /dev/shm has 64 MB: they would die of a bus error."""
    small = types.SimpleNamespace(f_frsize=4096, f_blocks=(64 << 20) // 4096)
    monkeypatch.setattr("os.statvfs", lambda _: small)
    config = TrainConfig(batch=16, crop=256, workers=8)
    with pytest.raises(
        ValueError, match=r"^8 workers put up to \d+ MiB of batches into .*, which holds 64: .*--shm-size"
    ):
        check_shared_memory(config, tmp_path)
    check_shared_memory(replace(config, workers=0), tmp_path)
    check_shared_memory(replace(config, workers=1, batch=1, crop=64), tmp_path)
    check_shared_memory(config, tmp_path / "none")

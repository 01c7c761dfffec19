"""Two processes train what one trains, resume what the other began, and end together."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_training import configs, shared

from refocal.learning.training.losses import disparity_error
from refocal.learning.training.processes import ALONE, Processes, mean_where
from refocal.scenes.scene import Scene

pytestmark = pytest.mark.slow


def curves_of(folder: Path, name: str) -> dict[tuple[str, int], float]:
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return {(curve, step): value for curve, value, step in found}


def weights_of(path: Path) -> torch.Tensor:
    state = torch.load(path, weights_only=True)["state"]
    return torch.cat([value.flatten().float() for value in state.values()])


def test_two_processes_train_what_one_trains(scenes: list[Scene], tmp_path: Path) -> None:
    """Every loss of every generator, crop by crop the same, over 20 steps and more."""
    names, where = tuple(configs()), {"scenes": str(scenes[0].path.parent)}
    for count in (1, 2):
        done = shared(tmp_path / str(count), count, names, **where)
        assert done.returncode == 0, done.stderr
    for name in names:
        one, two = (curves_of(tmp_path / str(count), name) for count in (1, 2))
        assert one.keys() == two.keys()
        assert max(step for _, step in one) >= 20
        for key, value in one.items():
            assert two[key] == pytest.approx(value, rel=2e-3, abs=1e-5), (name, key)
        a, b = (weights_of(tmp_path / str(count) / f"{name}.pt") for count in (1, 2))
        assert float((a - b).norm() / a.norm()) < 2e-3, name


def test_one_process_goes_on_where_two_were_stopped(scenes: list[Scene], tmp_path: Path) -> None:
    """SIGTERM to one of them stops both after the same step, with one checkpoint."""
    where = {"scenes": str(scenes[0].path.parent)}
    assert shared(tmp_path / "whole", 1, **where).returncode == 0
    stopped = shared(tmp_path / "part", 2, stop_after=6, signal="SIGTERM", **where)
    assert stopped.returncode != 0
    content = torch.load(tmp_path / "part" / "unet-checkpoint" / "last.pt", weights_only=True)
    assert content["step"] == 7  # both ended the step that they had begun
    resumed = shared(tmp_path / "part", 1, **where)
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on after step 7" in resumed.stdout
    whole, part = (curves_of(tmp_path / folder, "unet") for folder in ("whole", "part"))
    assert whole.keys() == part.keys()
    assert all(part[key] == pytest.approx(value, rel=2e-3, abs=1e-5) for key, value in whole.items())


def test_a_process_that_dies_ends_the_others_and_a_restart_goes_on(scenes: list[Scene], tmp_path: Path) -> None:
    where = {"scenes": str(scenes[0].path.parent), "stop_after": 6, "signal": "SIGKILL"}
    died = shared(tmp_path / "died", 2, **where)
    assert died.returncode != 0
    assert not (tmp_path / "died" / "unet.pt").exists()
    assert saved_run_step(tmp_path / "died") == 4
    elastic = shared(tmp_path / "elastic", 2, torchrun=["--max-restarts=1"], **where)
    assert elastic.returncode == 0, elastic.stderr
    assert "goes on after step 4" in elastic.stdout


def saved_run_step(folder: Path) -> int:
    return int(torch.load(folder / "unet-checkpoint" / "last.pt", weights_only=True)["step"])


def test_a_batch_that_cannot_be_shared_is_named() -> None:
    with pytest.raises(ValueError, match="2 processes cannot share 3 images of a batch evenly"):
        Processes(0, 2).check_batch(2, 3)
    ALONE.check_batch(3)


def test_shares_are_the_whole_batch_and_none_twice() -> None:
    batch = list(range(12))
    shares = [batch[Processes(rank, 4).share] for rank in range(4)]
    assert sorted(number for share in shares for number in share) == batch
    assert {len(share) for share in shares} == {3}


def test_alone_a_mean_is_that_of_what_is_known() -> None:
    values, there = torch.tensor([1.0, 2, 9]), torch.tensor([True, True, False])
    assert mean_where(values, there) == 1.5
    assert mean_where(values, torch.zeros(3)) == 0
    nothing = torch.full((1, 1, 20, 20), torch.nan)
    assert np.isfinite(float(disparity_error(torch.zeros(1, 1, 20, 20), nothing, torch.tensor([True]))))

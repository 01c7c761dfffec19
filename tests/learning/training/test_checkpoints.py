"""A run that was put aside goes on bit for bit where it stopped, or is left aside."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import TINY, assert_equal, run_training, saved_run

from refocal.learning.training import gan, loop
from refocal.learning.training.checkpoints import NAME, Run
from refocal.scenes.scene import Scene


def test_resumed_is_uninterrupted_bit_for_bit(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks, optimizers, average, random numbers and curves, after a kill at any step."""
    honest = gan.l1  # a part that draws random numbers, as a dropout would
    monkeypatch.setattr(gan, "l1", lambda *given: honest(*given) * (0.5 + torch.rand(())))
    whole, curves = run_training(scenes, replace(TINY, checkpoint_every=9), tmp_path / "whole")
    assert saved_run(tmp_path / "whole")["step"] == 9
    for killed_at in (3, 5, 8):
        folder = tmp_path / str(killed_at)

        def die(step: int, _steps: int, _speed: float, at: int = killed_at) -> None:
            if step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_training(scenes, replace(TINY, checkpoint_every=2), folder, progress=die)
        assert not (folder / "generator.pt").exists()
        assert saved_run(folder)["step"] == (killed_at - 1) // 2 * 2
        said: list[str] = []
        again, curves_again = run_training(scenes, replace(TINY, checkpoint_every=9), folder, say=said.append)
        assert_equal(again, whole)
        assert_equal(saved_run(folder), saved_run(tmp_path / "whole"))
        assert curves_again == curves
        assert said[:-1] == [f"training goes on after step {(killed_at - 1) // 2 * 2}, from {folder / 'checkpoints'}"]


def test_a_killed_run_keeps_its_best_and_its_rendered_batches(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the best lies before the kill or after it."""
    config = replace(TINY, rendered=0.5, validate_every=2)
    _, curves = run_training(scenes, config, tmp_path / "first")
    errors = {step: value for name, value, step in curves if name == "validation/l1"}
    monkeypatch.setattr(loop, "selection_score", lambda found, _: ("likeness", -abs(found["l1"] - errors[6])))
    whole, _ = run_training(scenes, config, tmp_path / "whole")
    assert whole["about"]["training"]["best"]["step"] == 6
    for killed_at, best in ((4, None), (7, 6), (17, 6)):

        def die(step: int, _steps: int, _speed: float, at: int = killed_at) -> None:
            if step == at:
                raise KeyboardInterrupt

        folder = tmp_path / str(killed_at)
        with pytest.raises(KeyboardInterrupt):
            run_training(scenes, replace(config, checkpoint_every=1), folder, progress=die)
        assert best is None or saved_run(folder)["best"]["step"] == best
        again, curves_again = run_training(scenes, config, folder)
        assert_equal(again, whole)
        assert curves_again == curves


def test_of_equal_scores_the_earlier_is_kept_and_none_that_is_no_number() -> None:
    run = Run(*[torch.nn.Linear(1, 1) for _ in range(3)], *[torch.optim.Adam([torch.zeros(1)])] * 2)
    for step, score in enumerate([float("nan"), 1.0, 1.0, 2.0, 2.0, float("nan"), float("inf"), 1.5]):
        run.step = step
        torch.nn.init.constant_(run.average.weight, step)
        run.keep_if_best("psnr", score)
    assert run.best is not None
    assert (run.best.step, run.best.score) == (3, 2.0)
    assert run.best.state["weight"].item() == 3  # a copy: the average has moved on


def test_a_checkpoint_of_other_parameters_or_data_is_left_aside(scenes: list[Scene], tmp_path: Path) -> None:
    run_training(scenes, TINY, tmp_path)
    other_config, other_data = replace(TINY, learning_rate=1e-4), scenes[1:]
    for config, data in ((other_config, scenes), (other_config, other_data)):
        fresh, _ = run_training(data, config, tmp_path / f"fresh{len(data)}")
        said: list[str] = []
        again, _ = run_training(data, config, tmp_path, say=said.append)
        assert_equal(again, fresh)
        assert len(said) == 1 + any(scene.split == "validation" for scene in data)
        assert said[0].endswith("is of other parameters or data: training starts anew")


def test_a_damaged_checkpoint_is_named(scenes: list[Scene], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / NAME).write_bytes(b"PK not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .*last.pt is damaged \(\w+\): remove it to start anew"):
        run_training(scenes, TINY, tmp_path)

"""Training learns, and stops where it goes wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_scenes import write_pairs
from tiny_training import TINY, TINY_LENS, assert_equal, run_training, saved_run

from refocal.learning.config import LossConfig
from refocal.learning.examples import Example
from refocal.learning.networks.lens import LensConfig
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.rendered.source import Rendered
from refocal.learning.training import gan, loop
from refocal.learning.training.checkpoints import Run
from refocal.learning.training.processes import ALONE
from refocal.scenes.scene import Scene

ALL_LOSSES = replace(TINY, losses=replace(TINY.losses, perceptual=1))  # slower: VGG16 is built for each run


@pytest.mark.parametrize(("residual", "of_copying"), [(False, 0.7), (True, 0.3)])
def test_it_learns(scenes: list[Scene], tmp_path: Path, residual: bool, of_copying: float) -> None:
    """A tiny network learns to darken by focus: its error falls far below that of the untrained and of the photo."""
    config = replace(
        TINY,
        unet=UNetConfig(num_downs=3, ngf=8, residual=residual),
        losses=LossConfig(adversarial=0.01, perceptual=0, l1=1),
        epochs=40,
        epochs_decay=15,
        learning_rate=2e-3,
        ema=0.98,
        crops_per_pair=2,
    )
    content, curves = run_training(scenes, config, tmp_path)
    error = [value for name, value, _ in curves if name == "validation/l1"]
    loss = [value for name, value, _ in curves if name == "loss/l1"]
    photo = scenes[3].photo() / 255
    of_the_photo = np.mean([abs(scenes[3].stack()[k] / 255 - photo).mean() for k in (0, 2, 3)])
    assert error[-1] < of_copying * of_the_photo
    assert error[-1] < 0.4 * error[0]
    assert loss[-1] < 0.5 * loss[0]
    assert content["about"]["training_data"]["images"] >= 18 * 55


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # torch's threads are not Python's
def test_workers_do_not_change_the_result(scenes: list[Scene], tmp_path: Path) -> None:
    one, _ = run_training(scenes, TINY, tmp_path / "one")
    two, _ = run_training(scenes, replace(TINY, workers=2), tmp_path / "two")
    assert_equal(one, two)


@pytest.mark.parametrize(("name", "bad"), [("l1", float("nan")), ("perceptual", float("inf"))])
def test_a_loss_that_goes_is_named_with_its_step(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: float
) -> None:
    """The last checkpoint stays, from before the loss went, and no generator is written."""
    calls, honest = 0, getattr(gan, name)

    def goes(*given: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return honest(*given) * (bad if calls == 7 else 1)

    monkeypatch.setattr(gan, name, goes)
    with pytest.raises(ValueError, match=rf"training stopped at step 7: loss {name} is {bad}; [^\n]*$"):
        run_training(scenes, ALL_LOSSES, tmp_path)
    kept = saved_run(tmp_path)
    assert kept["step"] == 4
    assert all(value.isfinite().all() for value in kept["generator"].values())
    assert not (tmp_path / "generator.pt").exists()


@pytest.mark.parametrize(("bad_step", "kept"), [(8, 4), (9, 8)])
def test_weights_that_go_while_losses_look_fine_are_never_saved(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_step: int, kept: int
) -> None:
    calls, honest = 0, gan.l1

    def bad_gradient(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return honest(image, target) + ((image * 0).sum().sqrt() if calls == bad_step else 0)

    monkeypatch.setattr(gan, "l1", bad_gradient)
    with pytest.raises(ValueError, match=f"stopped at step {bad_step}: weights of the generator are not finite"):
        run_training(scenes, TINY, tmp_path)
    assert saved_run(tmp_path)["step"] == kept
    assert not (tmp_path / "generator.pt").exists()


def test_losses_read_late_are_blamed_on_their_own_step() -> None:
    """On a GPU the losses of several steps are read at once."""
    run = Run(*[torch.nn.Linear(1, 1)] * 3, *[torch.optim.Adam([torch.zeros(1)])] * 2, step=20)
    rows = [{"l1": torch.tensor(1.0 + i), "generator": torch.tensor(2.0)} for i in range(4)]
    loop._read(rows, run, ALONE)
    assert (run.sums, run.summed, rows) == ({"l1": 10.0, "generator": 8.0}, 4, [])
    rows = [{"l1": torch.tensor(1.0), "generator": torch.tensor(v)} for v in (2.0, float("nan"), 1.0)]
    with pytest.raises(ValueError, match="stopped at step 19: loss generator is nan"):
        loop._read(rows, run, ALONE)


def test_the_file_says_what_it_was_made_of(scenes: list[Scene], tmp_path: Path) -> None:
    content, _ = run_training(scenes, TINY, tmp_path)
    again, _ = run_training(scenes, TINY, tmp_path / "again")
    assert_equal(again, content)
    about = json.loads(json.dumps(content["about"]))
    assert content["network"] == "unet"
    assert UNetConfig(**content["config"]) == TINY.unet
    assert content["aperture_scale"] == 6.25  # 4, 5, 6 px, of 5 x 5 views
    assert about["aperture_fraction"] == pytest.approx(6.25 / 48)
    assert about["aperture_range"] == [5, 7.5]
    assert about["training_data"]["scenes"] == 3
    assert about["training_data"]["levels"] == [-1, 0, 1]
    assert about["training_data"]["images"] == 36
    assert about["training_data"]["rendered"] == 0


def test_pictures_and_scores_of_the_validation_scenes_are_logged(scenes: list[Scene], tmp_path: Path) -> None:
    pictures: list[tuple[str, tuple[int, ...], int]] = []
    _, curves = run_training(
        scenes, TINY, tmp_path, log_image=lambda name, pixels, step: pictures.append((name, pixels.shape, step))
    )
    assert pictures == [("validation", (3 * 24, 3 * 24, 3), step) for step in (0, 3, 6, 9)]
    assert [step for name, _, step in curves if name == "validation/psnr"] == [0, 3, 6, 9]
    assert [step for name, _, step in curves if name == "loss/l1"] == [3, 5, 7, 9]
    rates = [value for name, value, _ in curves if name == "learning_rate"]
    assert rates[:2] == [2e-4, 2e-4]
    assert 0 < rates[-1] < rates[-2] < 2e-4


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"channels_last": False}])
def test_other_precision_and_layout_compute_nearly_the_same(scenes: list[Scene], tmp_path: Path, changes: Any) -> None:
    _, plain = run_training(scenes, TINY, tmp_path / "plain")
    content, other = run_training(scenes, replace(TINY, **changes), tmp_path / "other")
    assert all(value.dtype in {torch.float32, torch.int64} for value in content["state"].values())
    assert [v for _, v, _ in other] == pytest.approx([v for _, v, _ in plain], rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0, "epochs_decay": 0}, "at least one epoch"),
        ({"crop": 20}, "crop = 20 is no multiple of 8, which the network unet asks for"),
        ({"crop": 48}, "scene a is 40 x 48 pixels"),
        ({"losses": LossConfig(0, 0, 0)}, "one must be above 0"),
        ({"losses": LossConfig(0, 0, 0, disparity=1)}, "one must be above 0"),  # which a U-Net does not find
        ({"network": "lens", "crop": 20}, "crop = 20 is no multiple of 8, which the network lens asks for"),
        ({"network": "gan"}, "network must be one of unet, lens, deblur, got 'gan'"),
        ({"weights": {"light_field": 0}}, "leave no scene to train on"),
        ({"device": "cuda"}, "torch finds no CUDA device"),
        ({"rendered": 0.9}, "rendered = 0.9 leaves no crop in a batch of 4"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    scenes: list[Scene], tmp_path: Path, changes: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        run_training(scenes, replace(TINY, **changes), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_lens_learns_with_what_is_known_of_the_scenes(scenes: list[Scene], tmp_path: Path) -> None:
    """Crops of changing size, weights, jitter and the disparity loss go together, and the file says all of it."""
    losses = LossConfig(adversarial=0.1, perceptual=0, l1=1, disparity=1)
    config = replace(TINY, network="lens", losses=losses, zoom=0.6, jitter=0.1, weights={"a.png": 2}, epochs=8)
    content, curves = run_training(scenes, config, tmp_path)
    found = [value for name, value, _ in curves if name == "loss/disparity"]
    assert found[-1] < found[0]  # the scenes are flat: 0 everywhere
    assert content["network"] == "lens"
    assert LensConfig(**content["config"]) == TINY_LENS
    assert content["about"]["analysis_side"] == 30  # 24 px are 0.6 to 1 of it
    assert content["about"]["training_data"]["kinds"] == {"light_field": 3}


def test_a_run_may_start_from_a_generator(scenes: list[Scene], tmp_path: Path) -> None:
    """Of the same network and size; any other, and a missing file, is named in one line."""
    first, _ = run_training(scenes, TINY, tmp_path / "first")
    start = str(tmp_path / "first" / "generator.pt")
    config = replace(TINY, learning_rate=1e-12)
    again, _ = run_training(no_validation(scenes), replace(config, init=start), tmp_path / "again")
    near = {name: torch.allclose(first["state"][name], value, atol=1e-6) for name, value in again["state"].items()}
    assert all(near[name] for name in near if "running" not in name and "tracked" not in name)
    others = [
        (replace(config, network="lens"), r"\(.+\)"),
        (replace(config, unet=UNetConfig(num_downs=2, ngf=4)), r"\(its num_downs = 3; RuntimeError: .+\)"),
    ]
    for other, words in others:
        with pytest.raises(ValueError, match=rf"^init = .*\.pt is no generator of this network and size {words}$"):
            run_training(scenes, replace(other, init=start), tmp_path / "other")
    with pytest.raises(ValueError, match=r"^init = gone.pt is missing: `dvc pull models/pretrained` fetches [^\n]+$"):
        run_training(scenes, replace(config, init="gone.pt"), tmp_path / "other")
    (tmp_path / "bad.pt").write_bytes(b"PK not a generator")
    with pytest.raises(ValueError, match=r"^init = .*bad.pt is no generator [^\n]+$"):
        run_training(scenes, replace(config, init=str(tmp_path / "bad.pt")), tmp_path / "other")


def no_validation(scenes: list[Scene]) -> list[Scene]:
    return [scene for scene in scenes if scene.split != "validation"]


def test_a_fine_tune_is_never_worse_than_its_start(scenes: list[Scene], tmp_path: Path) -> None:
    """With an absurd learning rate the start itself comes out, bit for bit; with a good one a later step."""
    losses = LossConfig(adversarial=0, perceptual=0, l1=1)
    learning = replace(TINY, losses=losses, learning_rate=2e-3, epochs=8, ema=0.9)
    first, curves = run_training(scenes, learning, tmp_path / "first")
    scored = {step: value for name, value, step in curves if name == "validation/psnr"}
    assert first["about"]["training"]["best"]["step"] > 0
    start = replace(learning, init=str(tmp_path / "first" / "generator.pt"))

    said: list[str] = []
    spoilt, _ = run_training(scenes, replace(start, learning_rate=0.5, ema=0.0), tmp_path / "spoilt", say=said.append)
    assert_equal(spoilt["state"], first["state"])
    best = max(scored.values())
    assert spoilt["about"]["training"]["best"] == {"step": 0, "of": 23, "psnr": pytest.approx(best, abs=1e-9)}
    assert said == [f"kept step 0 of 23: psnr {best:.4g} on validation scenes"]

    better, curves = run_training(scenes, replace(start, learning_rate=1e-3), tmp_path / "better")
    kept = better["about"]["training"]["best"]
    assert kept["step"] > 0
    assert kept["psnr"] == max(value for name, value, _ in curves if name == "validation/psnr") > best


def test_without_validation_scenes_the_last_step_is_written(scenes: list[Scene], tmp_path: Path) -> None:
    said: list[str] = []
    content, _ = run_training(no_validation(scenes), TINY, tmp_path, say=said.append)
    last = saved_run(tmp_path)
    assert last["step"] == 8
    assert content["about"]["training"]["best"] is None
    assert said == []
    other = replace(TINY, checkpoint_every=9)
    content, _ = run_training(no_validation(scenes), other, tmp_path / "other")
    assert_equal(content["state"], dict(saved_run(tmp_path / "other")["average"]))


def test_a_share_of_each_batch_is_rendered(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch stays a pass over the crops, so a batch with fewer of them takes more steps; the file says so."""
    seen: list[tuple[int, int, bool]] = []
    honest = Rendered.batch

    def spy(self: Rendered, step: int, count: int) -> Example:
        seen.append((step, count, self.refocused))
        return honest(self, step, count)

    monkeypatch.setattr(Rendered, "batch", spy)
    config = replace(TINY, rendered=0.5)
    content, curves = run_training(scenes, config, tmp_path)
    assert seen == [(step, 2, True) for step in range(18)]  # 9 crops, 4 epochs, 2 of them a step
    assert content["about"]["training_data"]["rendered"] == 0.5
    assert content["about"]["training_data"]["images"] == 18 * 4
    assert [step for name, _, step in curves if name == "loss/l1"] == [5, 9, 14, 18]
    rates = [value for name, value, _ in curves if name == "learning_rate"]
    assert rates[:2] == [2e-4, 2e-4]
    assert 0 < rates[-1] < rates[-2] < 2e-4
    _, alone = run_training(scenes, TINY, tmp_path / "alone")
    assert curves[-1] != alone[-1]
    seen.clear()
    losses = LossConfig(adversarial=0, perceptual=0, l1=0, disparity=1)
    run_training(scenes, replace(config, network="lens", losses=losses), tmp_path / "eye")
    assert {refocused for *_, refocused in seen} == {False}


def test_where_no_stack_is_the_level_list_is_empty(tmp_path: Path) -> None:
    """Photos with disparity alone: what they are refocused to is rendered, and the disparity alone is validated."""
    scenes = write_pairs(tmp_path / "scenes", {"a": "train", "b": "validation"})
    losses = LossConfig(adversarial=0, perceptual=0, l1=1, disparity=1)
    config = replace(TINY, network="lens", losses=losses, zoom=0.8)
    content, curves = run_training(scenes, config, tmp_path)
    assert content["about"]["training_data"]["kinds"] == {"rgbd": 1}
    assert content["about"]["training_data"]["levels"] == []
    assert {name for name, _, _ in curves if name.startswith("validation")} == {"validation/disparity"}

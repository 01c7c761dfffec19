"""A look at the validation scenes: which crops, which scores, and which of those chooses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_scenes import FOCUS, TRAINED, write_masks, write_pairs
from tiny_training import TINY, TINY_LENS, run_training
from torch import Tensor, nn

from refocal.learning.config import LossConfig
from refocal.learning.networks.lens import Lens
from refocal.learning.training.losses import disparity_error, order_error
from refocal.learning.training.validation import picture, selection_score, validate, validation_crops
from refocal.scenes.scene import Scene

SCALE = torch.tensor([1.0, 5.0])


class Copies(nn.Module):
    def forward(self, photo: Tensor, sigma: Tensor) -> Tensor:
        return photo


def test_the_looks_are_at_validation_scenes_alone_by_what_a_generator_can(scenes: list[Scene]) -> None:
    validation = validation_crops(scenes, 24, network="lens")
    levels = [[part.sigma[:, 0].tolist() for part in (look_,) if part is not None] for look_ in validation]
    assert levels[0] == [[f for f, trained in zip(FOCUS, TRAINED, strict=True) if trained]]
    assert levels[1] == [[f for f, trained in zip(FOCUS, TRAINED, strict=True) if not trained]]
    assert validation.known is not None
    assert len(validation.known.photo) == 1
    assert torch.equal(validation.known.photo, validation.known.target)
    plain = validation_crops(scenes, 24)
    assert (plain.between, plain.known) == (None, None)
    assert plain.trained is not None
    validation = next(scene for scene in scenes if scene.split == "validation")
    middle = np.array(validation.photo())[8:32, 12:36].transpose(2, 0, 1)
    assert torch.equal((plain.trained.photo[0] * 255).round().byte(), torch.from_numpy(middle.copy()))
    assert validation_crops([scene for scene in scenes if scene.split != "validation"], 24, network="lens") == (
        None,
        None,
        None,
    )


def test_scores_are_what_they_say(scenes: list[Scene]) -> None:
    validation = validation_crops(scenes, 24)
    found, made = validate(Copies(), validation, SCALE)
    assert validation.trained is not None
    assert made is not None
    assert torch.allclose(made, validation.trained.photo, atol=1e-6)
    error = (validation.trained.photo - validation.trained.target).double()
    assert set(found) == {"l1", "psnr"}
    assert found["l1"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    each = -10 * (error**2).mean((1, 2, 3)).clamp(min=1e-10).log10()
    assert found["psnr"] == pytest.approx(float(each.mean()), rel=1e-5)
    assert picture(made, validation.trained).shape == (3 * 24, 3 * 24, 3)


def test_a_lens_is_looked_at_between_the_levels_and_for_its_disparity(scenes: list[Scene]) -> None:
    torch.manual_seed(0)
    found, _ = validate(Lens(TINY_LENS, 5.0), validation_crops(scenes, 24, network="lens"), SCALE)
    assert set(found) == {"l1", "psnr", "psnr_between", "disparity"}
    assert found["psnr_between"] != found["psnr"]
    assert found["disparity"] > 0


def test_pairs_without_a_stack_are_looked_at_for_their_disparity(tmp_path: Path) -> None:
    scenes = write_pairs(tmp_path, {"a": "validation", "b": "train"})
    validation = validation_crops(scenes, 24, network="lens")
    assert validation.known is not None
    assert not validation.known.real.any()  # what is only relative is compared by its shape
    lens = Lens(TINY_LENS, 5.0)
    found, made = validate(lens, validation, SCALE)
    assert (set(found), made) == ({"disparity"}, None)
    with torch.no_grad():
        error = disparity_error(
            lens.analyse(validation.known.photo * 2 - 1), validation.known.disparity, torch.tensor([True])
        )
    assert found["disparity"] == pytest.approx(float(error), rel=1e-5)


@pytest.mark.parametrize(
    ("found", "l1", "order", "wanted"),
    [
        ({"psnr": 30.0, "disparity": 0.2}, 1, 0, ("psnr", 30.0)),
        ({"psnr": 30.0, "disparity": 0.2}, 0, 0, ("depth", -0.4)),  # a loss, weighted: less is better
        ({"psnr": 30.0, "disparity": 0.2, "order": 0.5}, 0, 3, ("depth", -1.9)),
        ({"disparity": 0.2, "order": 0.5}, 0, 0, ("depth", -0.4)),
        ({"disparity": 0.2}, 1, 0, ("depth", -0.4)),
        ({"psnr": 30.0}, 0, 0, ("psnr", 30.0)),
        ({}, 1, 0, None),
    ],
)
def test_the_score_that_chooses_is_of_what_is_trained(
    found: dict[str, float], l1: float, order: float, wanted: tuple[str, float] | None
) -> None:
    chosen = selection_score(found, LossConfig(adversarial=0, perceptual=0, l1=l1, disparity=2, order=order))
    assert chosen == (wanted and (wanted[0], pytest.approx(wanted[1])))


def test_masks_are_looked_at_for_their_order(tmp_path: Path) -> None:
    validation = validation_crops(write_masks(tmp_path, {"a": "validation", "b": "train"}), 24, network="lens")
    assert validation.known is not None
    lens = Lens(TINY_LENS, 5.0)
    found, _ = validate(lens, validation, SCALE)
    with torch.no_grad():
        error = order_error(lens.analyse(validation.known.photo * 2 - 1), validation.known.front)
    assert found == {"disparity": 0, "order": pytest.approx(float(error))}


def test_a_training_of_the_disparity_alone_keeps_the_best_disparity(scenes: list[Scene], tmp_path: Path) -> None:
    losses = LossConfig(adversarial=0, perceptual=0, l1=0, disparity=1)
    content, curves = run_training(
        scenes, replace(TINY, network="lens", losses=losses, learning_rate=0.05, ema=0.0), tmp_path
    )
    looked = {step: value for name, value, step in curves if name == "validation/disparity"}
    kept = content["about"]["training"]["best"]
    assert kept == {"step": min(looked, key=lambda step: looked[step]), "of": 9, "depth": min(looked.values())}

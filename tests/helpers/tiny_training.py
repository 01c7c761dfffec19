"""A training small enough for tests, and a way to run it in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.examples import Example
from refocal.learning.networks.lens import LensConfig
from refocal.learning.networks.patchgan import PatchGANConfig
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.training.checkpoints import NAME
from refocal.learning.training.loop import train
from refocal.scenes.scene import Scene

TINY_LENS = LensConfig(widths=(4, 6), blocks=(1, 1), planes=4, refiner=4)
SPLITS = {"a": "train", "b": "train", "c": "train", "d": "validation", "e": "test"}
TINY = TrainConfig(
    lens=TINY_LENS,
    unet=UNetConfig(num_downs=3, ngf=4),
    discriminator=PatchGANConfig(ndf=4, layers=1, sigma=True),
    losses=LossConfig(adversarial=1, perceptual=0, l1=10, layers=("relu1_1",)),
    epochs=2,
    epochs_decay=2,
    batch=4,
    crop=24,
    device="cpu",
    checkpoint_every=4,
    validate_every=3,
)
Curves = list[tuple[str, float, int]]


def run_training(
    scenes: list[Scene], config: TrainConfig, folder: Path, **hooks: Callable[..., None]
) -> tuple[dict[str, Any], Curves]:
    """Train in `folder`; return the file written and what was logged."""
    curves: Curves = []
    hooks = {"log": lambda *entry: curves.append(entry), "say": lambda _: None} | hooks
    train(scenes, config, checkpoint_dir=folder / "checkpoints", output=folder / "generator.pt", **hooks)
    return torch.load(folder / "generator.pt", weights_only=True), curves


def saved_run(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / NAME, weights_only=True)
    return content


def assert_equal(one: Any, two: Any, where: str = "") -> None:
    """Both hold the same, bit for bit."""
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, where
        assert torch.equal(one.nan_to_num(), two.nan_to_num()), where
        assert torch.equal(one.isnan(), two.isnan()), where
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key in one:
            assert_equal(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, pair in enumerate(zip(one, two, strict=True)):
            assert_equal(*pair, f"{where}/{number}")
    else:
        assert one == two, where


def random_batch(*, known: bool = True, real: bool = True) -> Example:
    """Return a batch of four crops of 24 x 24 pixels; `real`: their targets were seen by a camera."""
    photo, target = torch.rand(2, 4, 3, 24, 24)
    disparity = torch.rand(4, 1, 24, 24) * 2 - 1 if known else torch.full((4, 1, 24, 24), float("nan"))
    sigma = torch.stack([torch.rand(4) * 2 - 1, 1 + 5 * torch.rand(4)], dim=1)
    return Example(photo, target, sigma, disparity, torch.full((4,), real), torch.full_like(disparity, torch.nan))

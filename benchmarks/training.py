"""Images a second of a training step and of the crops that feed it, as a table: `python benchmarks/training.py`.

"as the original did" is what users would else run: float32, contiguous, Adam as a loop over tensors, the generator run
once more for the discriminator's step and the discriminator's gradients in the generator's, each picture read from a
PNG file of its own, decoded and cropped by the loop itself. Same networks, same losses.

A step is the discriminator's and the generator's, all losses of the description, on whichever device is there. On a GPU
the networks are the description's; on a CPU, where those take minutes, they are the sample's (`--full` for the former).
Modes take turns, so that a busy machine slows all of them alike; each figure is the median of the rounds.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.data.crops import Crops
from refocal.learning.data.sampling import IndexBatches
from refocal.learning.examples import Example
from refocal.learning.networks.lens import LensConfig
from refocal.learning.networks.patchgan import PatchGANConfig
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.networks.vgg import VGGFeatures
from refocal.learning.training.gan import build_run, choose_device, gan_step
from refocal.learning.training.losses import l1, lsgan_discriminator, lsgan_generator, perceptual
from refocal.scenes.scene import read_scenes, write_manifest, write_scene

SAMPLE = TrainConfig(
    unet=UNetConfig(num_downs=5, ngf=16, residual=True),
    discriminator=PatchGANConfig(ndf=16),
    losses=LossConfig(adversarial=0.05, perceptual=1, l1=20, layers=("relu1_2", "relu2_2")),
    batch=8,
    crop=96,
)
PLAIN = {"precision": "float32", "channels_last": False, "compile": False}
MODES = {
    "float32": PLAIN,
    "float32, channels_last": PLAIN | {"channels_last": True},
    "bfloat16, channels_last": PLAIN | {"channels_last": True, "precision": "bfloat16"},
    "bfloat16, channels_last, compile": {"channels_last": True, "precision": "bfloat16", "compile": True},
}


def as_the_original(config: TrainConfig, device: torch.device, folder: Path) -> Callable[[int], float]:
    """Return a function that takes some steps in the original's way, and returns images a second."""
    torch.manual_seed(0)
    run = build_run(replace(config, **PLAIN), device)  # type: ignore[arg-type]
    rates = {"lr": config.learning_rate, "betas": config.betas, "foreach": False}
    optimizers = [torch.optim.Adam(network.parameters(), **rates) for network in (run.generator, run.discriminator)]
    features = VGGFeatures(config.losses.vgg, config.losses.layers).to(device) if config.losses.perceptual else None
    random = np.random.default_rng(0)
    files = [folder / f"{number}.png" for number in range(32)]
    for file in files:
        Image.fromarray(random.integers(0, 256, (config.crop + 30, config.crop + 30, 3), dtype=np.uint8)).save(file)

    def item() -> torch.Tensor:
        pixels = np.asarray(Image.open(files[random.integers(len(files))]).convert("RGB"))
        top, left = random.integers(0, 30, 2)
        crop = pixels[top : top + config.crop, left : left + config.crop].astype(np.float32) / 127.5 - 1
        return torch.from_numpy(crop.transpose(2, 0, 1).copy()).to(device)

    def step() -> float:
        photo, target = (torch.stack([item() for _ in range(config.batch)]) for _ in range(2))
        sigma = torch.rand(config.batch, 2, device=device)
        with torch.no_grad():
            made = run.generator(photo, sigma)
        judged = [run.discriminator(photo, picture, sigma) for picture in (target, made)]
        optimizers[1].zero_grad(set_to_none=False)
        lsgan_discriminator(*judged).backward()
        optimizers[1].step()
        fake = run.generator(photo, sigma)
        loss = config.losses.adversarial * lsgan_generator(run.discriminator(photo, fake, sigma))
        loss = loss + config.losses.l1 * l1(fake, target)
        if features is not None:
            loss = loss + config.losses.perceptual * perceptual(features(fake), features(target))
        optimizers[0].zero_grad(set_to_none=False)
        loss.backward()
        optimizers[0].step()
        return float(loss.detach())  # which it wrote to its log

    def measure(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            step()
        return steps * config.batch / (time.perf_counter() - started)

    measure(3)
    return measure


def stepper(config: TrainConfig, device: torch.device) -> Callable[[int], float]:
    """Return a function that takes some steps and returns images a second; the first steps are behind it."""
    torch.manual_seed(0)
    step = gan_step(build_run(config, device), config, torch.ones(2, device=device))
    photo, target = torch.rand(2, config.batch, 3, config.crop, config.crop, device=device)
    sigma, disparity = torch.rand(config.batch, 2, device=device), photo[:, :1] * 2 - 1
    real = torch.ones(config.batch, dtype=torch.bool, device=device)
    front = (disparity > 0).float() if config.network == "lens" else torch.full_like(disparity, torch.nan)
    batch = Example(photo, target, sigma, disparity, real, front)

    def measure(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            losses = step(batch)
        float(losses["generator"])  # waits for the device
        return steps * config.batch / (time.perf_counter() - started)

    measure(3)
    return measure


def compare_modes(config: TrainConfig, device: torch.device, rounds: int, steps: int) -> None:
    """Print a row for each mode."""
    print(f"\ntraining step, batch {config.batch}, {config.crop} x {config.crop}, {config.unet}, on {device}")
    measures = {name: stepper(replace(config, **values), device) for name, values in MODES.items()}  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        measures = {"as the original did": as_the_original(config, device, Path(folder))} | measures
        take_turns(measures, rounds, steps)
    if device.type == "cuda":
        print(f"  peak memory of all together: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    else:
        print("  on a GPU: not measured, none here")


def compare_depth(device: torch.device, rounds: int) -> None:
    """Print how fast the disparity alone is trained (preset lens_depth), windows by pooling and by running sums."""
    lens = LensConfig(widths=(48, 64, 96, 160), blocks=(1, 2, 2, 4), encoder="efficientnet_lite0")
    wanted = LossConfig(adversarial=0, perceptual=0, l1=0, ssim=0, disparity=1, order=1)
    config = replace(SAMPLE, network="lens", lens=lens, losses=wanted, batch=16, crop=224)
    print(f"\ntraining of disparity, batch {config.batch}, {config.crop} x {config.crop}, on {device}")
    measures = {
        "windows by pooling": pooled(stepper(replace(config, channels_last=True), device)),
        "windows by running sums": stepper(replace(config, channels_last=True), device),
        "the same, contiguous": stepper(replace(config, channels_last=False), device),
        "the same, bfloat16": stepper(replace(config, channels_last=True, precision="bfloat16"), device),
    }
    take_turns(measures, rounds, 2)


def pooled(measure: Callable[[int], float]) -> Callable[[int], float]:
    """Return the same with the means over windows that libraries have."""

    def means(values: torch.Tensor, radius: int) -> torch.Tensor:
        return functional.avg_pool2d(values, 2 * radius + 1, stride=1, padding=radius)

    def by_pooling(steps: int) -> float:
        with mock.patch("refocal.learning.training.losses._window_means", means):
            return measure(steps)

    return by_pooling


def take_turns(measures: dict[str, Callable[[int], float]], rounds: int, steps: int) -> None:
    """Print a row for each way, beside the first."""
    speeds: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            speeds[name].append(measure(steps))
    first = statistics.median(next(iter(speeds.values())))
    for name, found in speeds.items():
        speed = statistics.median(found)
        print(f"| {name:34} | {speed:9.1f} img/s | {speed / first:5.2f} x |")


def compare_readers(config: TrainConfig, batches: int) -> None:
    """Print how fast crops of memory-mapped scenes (640 x 960, 5 levels) are read, by number of workers."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root, names = Path(folder), [f"scene{number}" for number in range(8)]
        for name in names:
            stack = random.integers(0, 256, (5, 640, 960, 3), dtype=np.uint8)
            facts = {"focus": (-1, -0.5, 0, 0.5, 1), "trained": (True,) * 5, "slope_range": (-1.0, 1.0)}
            nothing = np.zeros((640, 960))
            write_scene(root, name, photo=stack[0], stack=stack, disparity=nothing, aperture=9, grid=(7, 7), **facts)  # type: ignore[arg-type]
        write_manifest(root, about={}, splits=dict.fromkeys(names, "train"))
        crops = Crops(read_scenes(root), crop=config.crop, seed=0)
        print(f"\nreading crops, batch {config.batch}, {config.crop} x {config.crop}, {os.cpu_count()} cores")
        for workers in sorted({0, 1, 2, min(8, os.cpu_count() or 1), min(14, os.cpu_count() or 1)}):
            plan = IndexBatches(first=0, steps=batches + 1, size=config.batch)
            source = iter(DataLoader(crops, batch_sampler=plan, num_workers=workers))
            next(source)
            started = time.perf_counter()
            count = sum(len(batch.photo) for batch in source)
            print(f"  {workers:2} workers {count / (time.perf_counter() - started):20.1f} img/s")


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--full", action="store_true", help="the description's networks, on a CPU too")
    parser.add_argument("--batch", type=int, help="instead of the configuration's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps in a round")
    given = parser.parse_args()
    device = choose_device(given.device)
    torch.backends.cudnn.benchmark = True
    config = TrainConfig() if given.full or device.type == "cuda" else SAMPLE
    config = replace(config, batch=given.batch or config.batch)
    compare_modes(config, device, given.rounds, given.steps)
    compare_depth(device, given.rounds)
    compare_readers(config, batches=100)


if __name__ == "__main__":
    main()

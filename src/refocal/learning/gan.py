"""The game of generator and discriminator: what it is made of, and one step of it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from refocal.learning.checkpoints import Run
from refocal.learning.losses import l1, lsgan_discriminator, lsgan_generator, perceptual
from refocal.learning.networks.patchgan import PatchGAN, PatchGANConfig
from refocal.learning.networks.unet import UNet, UNetConfig
from refocal.learning.networks.vgg import VGGFeatures

Step = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class LossConfig:
    """Weights of the generator's losses; a loss of weight 0 is not computed."""

    adversarial: float = 1
    perceptual: float = 100
    l1: float = 0
    vgg: str = "random"  # "imagenet", "random", or a path to a state dict
    layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3")


@dataclass(frozen=True)
class TrainConfig:
    """The description's schedule by default: Adam 2e-4 for 100 epochs, and 100 more with the rate going to 0."""

    seed: int = 0
    unet: UNetConfig = field(default_factory=UNetConfig)
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    epochs: int = 100  # at the full learning rate
    epochs_decay: int = 100  # then linearly to 0
    batch: int = 12
    crop: int = 256
    crops_per_pair: int = 1  # crops that an epoch takes from each (photo, level)
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.999  # decay of the generator's moving average, the one that is exported; 0: none
    precision: str = "float32"  # or "bfloat16": autocast, the weights stay float32
    channels_last: bool = True
    compile: bool = False
    device: str = "auto"  # or "cpu", "cuda"
    workers: int = 0  # processes that read crops; 0: the training process itself
    checkpoint_every: int = 500  # steps
    pictures_every: int = 500  # steps between looks at the validation scenes


def choose_device(name: str) -> torch.device:
    """Return the device of "auto", "cpu" or "cuda"; ValueError where a GPU is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = cuda, but torch finds no CUDA device: use cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def build_run(config: TrainConfig, device: torch.device) -> Run:
    """Build the networks and their optimizers at step 0, from torch's random numbers.

    Raises
    ------
    ValueError
        One line, when the parameters cannot train anything.
    """
    if config.epochs + config.epochs_decay < 1:
        raise ValueError("epochs + epochs_decay = 0: at least one epoch is needed to train")
    weights = config.losses
    if not (weights.adversarial or weights.perceptual or weights.l1):
        raise ValueError("losses adversarial, perceptual and l1 all have weight 0: one must be above 0")
    generator, discriminator = UNet(config.unet), PatchGAN(config.discriminator)
    if config.crop % generator.multiple:
        raise ValueError(
            f"crop = {config.crop} is no multiple of {generator.multiple}, "
            f"which unet.num_downs = {config.unet.num_downs} asks for"
        )
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.to(device).to(memory_format=layout)
    discriminator.to(device).to(memory_format=layout)
    optimizer_g, optimizer_d = (
        torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
        for network in (generator, discriminator)
    )
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    return Run(generator.train(), discriminator.train(), average, optimizer_g, optimizer_d)


def gan_step(run: Run, config: TrainConfig, device: torch.device) -> Step:
    """Return the function that takes one step with a batch: the discriminator's, then the generator's.

    The function takes photo and target (N, 3, H, W) in [-1, 1] and sigma (N, 2), changes `run`, counts its step, and
    returns the losses by name, each a scalar on the device: "discriminator", "adversarial", "perceptual", "l1" as far
    as their weights are above 0, and "generator", their weighted sum.
    """
    weights = config.losses
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    cast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    features: nn.Module | None = None
    if weights.perceptual:
        features = VGGFeatures(weights.vgg, weights.layers).to(device).to(memory_format=layout)
    generate: Callable[..., Tensor] = torch.compile(run.generator) if config.compile else run.generator
    judge: Callable[..., Tensor] = torch.compile(run.discriminator) if config.compile else run.discriminator

    def step(photo: Tensor, target: Tensor, sigma: Tensor) -> dict[str, Tensor]:
        photo, target = photo.to(memory_format=layout), target.to(memory_format=layout)
        losses: dict[str, Tensor] = {}
        with cast:
            fake = generate(photo, sigma).float()

        if weights.adversarial:
            run.discriminator.requires_grad_(True)
            with cast:
                real, made = judge(photo, target, sigma), judge(photo, fake.detach(), sigma)
            losses["discriminator"] = lsgan_discriminator(real.float(), made.float())
            _descend(run.optimizer_d, losses["discriminator"])
            run.discriminator.requires_grad_(False)  # the generator's step needs no gradient of its weights
            with cast:
                losses["adversarial"] = lsgan_generator(judge(photo, fake, sigma).float())
        if features is not None:
            with cast:
                with torch.no_grad():
                    wanted = features(target)
                losses["perceptual"] = perceptual(features(fake), wanted).float()
        if weights.l1:
            losses["l1"] = l1(fake, target)
        losses["generator"] = _weighted_sum(losses, weights)
        _descend(run.optimizer_g, losses["generator"])

        _average_in(run, config.ema)
        run.step += 1
        return {name: loss.detach() for name, loss in losses.items()}

    return step


def set_learning_rate(run: Run, config: TrainConfig, epoch: float) -> float:
    """Set the rate for the moment `epoch` (a fraction counts): constant for `epochs`, then linearly to 0."""
    left = config.epochs + config.epochs_decay - epoch
    rate = config.learning_rate * (min(1.0, left / config.epochs_decay) if config.epochs_decay else 1.0)
    for optimizer in (run.optimizer_g, run.optimizer_d):
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def _descend(optimizer: torch.optim.Adam, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


def _weighted_sum(losses: Mapping[str, Tensor], weights: LossConfig) -> Tensor:
    """Return the generator's loss."""
    weight = {"adversarial": weights.adversarial, "perceptual": weights.perceptual, "l1": weights.l1}
    return torch.stack([weight[name] * loss for name, loss in losses.items() if name in weight]).sum()


@torch.no_grad()
def _average_in(run: Run, decay: float) -> None:
    """Move the average towards the generator.

    The decay rises with the steps, (1 + step) / (10 + step) at most: after few steps the average would otherwise still
    be the random start. Buffers (running statistics) are copied: they are averages already.
    """
    kept = min(decay, (1 + run.step) / (10 + run.step))
    for average, current in zip(run.average.parameters(), run.generator.parameters(), strict=True):
        average.lerp_(current, 1 - kept)
    for copied, counted in zip(run.average.buffers(), run.generator.buffers(), strict=True):
        copied.copy_(counted)

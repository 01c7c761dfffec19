"""The conditional GAN: its networks and optimizers, and one training step."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.examples import Example
from refocal.learning.networks.generator import build_generator
from refocal.learning.networks.lens import Lens
from refocal.learning.networks.patchgan import PatchGAN
from refocal.learning.networks.vgg import VGGFeatures
from refocal.learning.training.checkpoints import Run, start_from
from refocal.learning.training.losses import (
    disparity_error,
    dissimilarity,
    l1,
    lsgan_discriminator,
    lsgan_generator,
    order_error,
    perceptual,
)
from refocal.learning.training.pairs import pairs_for
from refocal.learning.training.processes import ALONE, Processes, share_batch_norms

Step = Callable[[Example], dict[str, Tensor]]


def choose_device(name: str) -> torch.device:
    """Return the device of "auto", "cpu" or "cuda"; ValueError where a GPU is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = cuda, but torch finds no CUDA device: use cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def computes_in_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """Tell whether to compute in bfloat16: it is asked for, and not merely emulated, as on GPUs before Ampere."""
    if config.precision != "bfloat16" or device.type != "cuda":
        return config.precision == "bfloat16"
    return torch.cuda.get_device_capability(device) >= (8, 0)


def build_run(config: TrainConfig, device: torch.device, aperture_scale: float = 1) -> Run:
    """Build the networks and their optimizers at step 0, from torch's random numbers.

    Raises
    ------
    ValueError
        One line, when the parameters cannot train anything.
    """
    if config.epochs + config.epochs_decay < 1:
        raise ValueError("epochs + epochs_decay = 0: at least one epoch is needed to train")
    weights = config.losses
    on_disparity = weights.disparity + weights.order if config.network == "lens" else 0.0
    if not (weights.compares_images or on_disparity):
        raise ValueError(
            "losses adversarial, perceptual, l1, ssim (of the network lens disparity and order too) all have weight 0: "
            "one must be above 0"
        )
    generator = build_generator(config.own, aperture_scale)
    if config.init is not None:
        start_from(generator, config.init, asdict(config.own))
        if isinstance(generator, Lens):
            generator.analyser.freeze()
    elif config.imagenet is not None and isinstance(generator, Lens):
        generator.analyser.load_imagenet(config.imagenet)
    discriminator = PatchGAN(config.discriminator)
    for network in (generator, discriminator):
        share_batch_norms(network)
    if config.crop % generator.multiple:
        raise ValueError(
            f"crop = {config.crop} is no multiple of {generator.multiple}, which the network {config.network} asks for"
        )
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    generator.to(device).to(memory_format=layout)
    discriminator.to(device).to(memory_format=layout)
    optimizer_g, optimizer_d = (
        torch.optim.Adam(_groups(network, config), lr=config.learning_rate, betas=config.betas, fused=True)
        for network in (generator, discriminator)
    )
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    return Run(generator.train(), discriminator.train(), average, optimizer_g, optimizer_d)


def gan_step(run: Run, config: TrainConfig, sigma_scale: Tensor, processes: Processes = ALONE) -> Step:
    """Return the function that takes one step with a batch: the discriminator's, then the generator's.

    The function takes a batch of examples, changes `run`, counts its step, and returns the losses by name, each a
    scalar on the device: those of `LossConfig` whose weights are above 0, "discriminator" with "adversarial", and
    "generator", the weighted sum of its own. `sigma_scale` (2,) is what focus and aperture are divided by.

    A lens generator finds the disparity, and renders with it or, a share of the crops, with the true one as far as that
    is known: so the refiner learns from right and from wrong disparities.
    """
    device = sigma_scale.device
    weights = config.losses
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    cast = torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(config, device))
    features: nn.Module | None = None
    if weights.perceptual:
        features = VGGFeatures(weights.vgg, weights.layers).to(device).to(memory_format=layout)
    given_share = config.given_disparity if weights.compares_images else None
    made_by: nn.Module = _Generate(run.generator, given_share, processes)
    judge: nn.Module = run.discriminator
    if config.compile:
        made_by.compile()
        judge.compile()
    whole = given_share is not None or not isinstance(run.generator, Lens)
    generate = processes.wrapped(made_by, all_used=whole)
    learn = processes.wrapped(judge) if weights.adversarial else judge
    pairs = pairs_for(run.generator, config, sigma_scale, processes)

    def step(batch: Example) -> dict[str, Tensor]:
        sigma = batch.sigma / sigma_scale
        photo, target = pairs(batch, run.step)
        with cast:
            fake, disparity = generate(photo, sigma, batch.disparity)
            fake = fake.float()
        losses = {} if disparity is None else _depth_losses(disparity, batch, weights)
        if weights.adversarial:
            run.discriminator.requires_grad_(True)
            with cast:
                real, made = learn(photo, target, sigma), learn(photo, fake.detach(), sigma)
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
        compared = {"l1": l1, "ssim": dissimilarity}
        losses |= {name: loss(fake, target) for name, loss in compared.items() if getattr(weights, name)}
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
            group["lr"] = rate * group["share"]
    return rate


def _groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return all parameters by the share of the learning rate that they get: the encoder of a lens may get less."""
    encoder = list(network.analyser.encoder.parameters()) if isinstance(network, Lens) else []
    own = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in own]
    groups = [{"params": rest, "share": 1.0}, {"params": encoder, "share": config.encoder_rate}]
    return [group for group in groups if group["params"]]


def _descend(optimizer: torch.optim.Adam, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


def _weighted_sum(losses: Mapping[str, Tensor], weights: LossConfig) -> Tensor:
    """Return the generator's loss."""
    return torch.stack(
        [getattr(weights, name) * loss for name, loss in losses.items() if name != "discriminator"]
    ).sum()


def _depth_losses(disparity: Tensor, batch: Example, weights: LossConfig) -> dict[str, Tensor]:
    """Return the losses of the disparity that a lens generator found, those whose weights are above 0."""
    losses = {}
    if weights.disparity:
        losses["disparity"] = disparity_error(disparity, batch.disparity, ~batch.real)
    if weights.order:
        losses["order"] = order_error(disparity, batch.front)
    return losses


class _Generate(nn.Module):
    """The generator as it is trained: refocused picture, and the disparity that it found, if it does."""

    def __init__(self, generator: nn.Module, given_share: float | None, processes: Processes = ALONE) -> None:
        super().__init__()
        self.generator, self.given_share, self.processes = generator, given_share, processes

    def forward(self, photo: Tensor, sigma: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        if not isinstance(self.generator, Lens):
            return self.generator(photo, sigma), None
        found = self.generator.analyse(photo)
        if self.given_share is None:
            return photo, found
        chance = torch.rand(len(photo) * self.processes.count, 1, 1, 1)[self.processes.share]
        given = (chance < self.given_share).to(photo.device) & known.isfinite()
        used = torch.where(given, known.nan_to_num(), found)
        with torch.autocast(photo.device.type, enabled=False):  # pictures want more than the 8 bits of bfloat16
            return self.generator.render(photo, used.float(), sigma), found


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

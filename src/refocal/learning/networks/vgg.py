"""Features of VGG16 (Simonyan & Zisserman, ICLR 2015) at chosen layers, frozen, for the perceptual loss."""

import math
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
import torchvision
from torch import Tensor, nn

# Blocks of convolutions between poolings, as in torchvision's vgg16().features.
BLOCKS = (2, 2, 3, 3, 3)
WIDTHS = (64, 128, 256, 512, 512)
LAYERS = tuple(f"relu{block}_{n}" for block, count in enumerate(BLOCKS, 1) for n in range(1, count + 1))
SEED = 16  # of the random weights: the same features in every run


class VGGFeatures(nn.Module):
    """A picture to its features at the chosen layers, weights frozen.

    Parameters
    ----------
    weights : str
        "imagenet": torchvision's own, downloaded by its loader where they are not there; "random": seeded, and scaled
        so that features keep their strength through the depth (He et al., ICCV 2015) - for restoration about as good as
        trained ones (Liu et al., "A generic perceptual loss", CVPR 2021) and there offline; else the path of a state
        dict of torchvision's vgg16.
    layers : sequence of str
        Of relu1_1 to relu5_3; the network is cut behind the deepest.

    Raises
    ------
    ValueError
        One line: an unknown layer, none at all, weights that cannot be had or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str = "random", layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3")) -> None:
        super().__init__()
        unknown = sorted(set(layers) - set(LAYERS))
        if unknown or not layers:
            raise ValueError(f"layers must be some of {', '.join(LAYERS)}, got {unknown or 'none'}")
        positions = _positions()
        self.taken = sorted(positions[name] for name in layers)
        self.model = _load(weights)[: self.taken[-1] + 1]
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of (N, 3, H, W) in [-1, 1], shallowest first."""
        x = ((image + 1) / 2 - self.mean) / self.std
        features = []
        for position, module in enumerate(self.model):
            x = module(x)
            if position in self.taken:
                features.append(x)
        return features


def _positions() -> dict[str, int]:
    """Place of each ReLU in torchvision's list of layers: conv, relu, …, pool."""
    positions, place = {}, 0
    for block, count in enumerate(BLOCKS, 1):
        for n in range(1, count + 1):
            positions[f"relu{block}_{n}"] = place + 1
            place += 2
        place += 1  # the pooling
    return positions


def _load(weights: str) -> nn.Sequential:
    """Return the convolutional part with its weights; draws nothing from the training's random numbers."""
    network = _skeleton()
    if weights == "random":
        _randomise(network)
        return network
    try:
        state = _read(weights)
        prefix = "features."  # the classifier behind is not needed
        wanted = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        network.load_state_dict(wanted)
    except (RuntimeError, UnpicklingError, EOFError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"vgg = {weights}: not a state dict of torchvision's vgg16 ({line})") from None
    return network


def _read(weights: str) -> dict[str, Tensor]:
    """Return the state dict of torchvision's vgg16 that `weights` names."""
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise ValueError(
                f"vgg = {weights}: no such file; allowed are imagenet, random, or the path of a state dict"
            )
        state: dict[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
        return state
    try:
        return dict(torchvision.models.VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or a download that was cut
        line = " ".join(str(error).split())[:200]
        raise ValueError(
            f"vgg = imagenet: the weights could not be fetched ({line}); give the path of a state dict, or random"
        ) from None


def _skeleton() -> nn.Sequential:
    """Return torchvision's vgg16().features, weights not yet set.

    Made on no device first: their usual initialisation would draw from the training's random numbers.
    """
    layers: list[nn.Module] = []
    before = 3
    for width, count in zip(WIDTHS, BLOCKS, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, kernel_size=3, padding=1, device="meta"), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).to_empty(device="cpu")


@torch.no_grad()
def _randomise(network: nn.Sequential) -> None:
    """Set He et al.'s weights from random numbers of their own: features keep their scale from layer to layer."""
    random = torch.Generator().manual_seed(SEED)
    for module in network:
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.weight.normal_(0, math.sqrt(2 / (9 * module.in_channels)), generator=random)
            module.bias.zero_()

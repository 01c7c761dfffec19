"""The generator that makes a photo sharp: the first of the two stages of RefocusGAN.

A U-Net of residual blocks without norms (DRUNet: Zhang et al., TPAMI 2022), which looks at no more than its
surroundings, so that a tile of a photo gives what the photo gives. It starts at half of the size, four pixels in the
channels of one. It is told nothing of the blur (Sakurikar et al., "RefocusGAN", ECCV 2018 workshops).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DeblurConfig:
    """What a deblurring generator is made of.

    Attributes
    ----------
    widths : tuple of int
        Channels at 1/2, 1/4, 1/8 … of the photo's size; sizes must be a multiple of 2 ** len.
    blocks : tuple of int
        Residual blocks at each of them, on the way down and again on the way up.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 2, 2)


class Deblur(nn.Module):
    """A photo that is focused somewhere to the photo that is sharp everywhere.

    Parameters
    ----------
    config : DeblurConfig

    Attributes
    ----------
    multiple : int
        What height and width must be a multiple of.
    """

    def __init__(self, config: DeblurConfig) -> None:
        super().__init__()
        self.multiple = 2 ** len(config.widths)
        self.head = nn.Conv2d(4 * 3, config.widths[0], kernel_size=3, padding=1)
        self.encoder = nn.ModuleList(map(_blocks, config.widths, config.blocks))
        steps = list(pairwise(config.widths))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, kernel_size=2, stride=2) for a, b in steps)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, kernel_size=2, stride=2) for a, b in steps)
        self.decoder = nn.ModuleList(map(_blocks, config.widths, config.blocks))
        self.tail = nn.Conv2d(config.widths[0], 4 * 3, kernel_size=3, padding=1)
        for last in self.tail.parameters():  # training starts from the photo
            nn.init.zeros_(last)

    def forward(self, photo: Tensor, sigma: Tensor | None = None) -> Tensor:  # noqa: ARG002  as other generators
        """Make (N, 3, H, W) in [-1, 1] sharp -> (N, 3, H, W) in [-1, 1], of its dtype; sigma is left aside."""
        x = self.head(nn.functional.pixel_unshuffle(photo, 2))
        kept = []
        for blocks, down in zip(self.encoder, [*self.downs, None], strict=True):
            x = blocks(x)
            kept.append(x)
            x = x if down is None else down(x)
        for blocks, up in zip(reversed(self.decoder), [*reversed(self.ups), None], strict=True):
            x = blocks(x + kept.pop())
            x = x if up is None else up(x)
        change = nn.functional.pixel_shuffle(self.tail(x), 2)
        return (photo + change.to(photo.dtype)).clamp(-1, 1)


class _Block(nn.Module):
    """x + f(x), which starts at x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(torch.relu(self.first(x)))
        return x + changed


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))

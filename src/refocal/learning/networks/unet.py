"""The generator of the description: a U-Net conditioned on focus and aperture.

Notation: H, W height and width, a multiple of 2 ** num_downs; h, w those of the innermost block, H / 2 ** num_downs;
sigma = (focus, aperture / aperture scale), scaled by who calls: the training and the export wrapper.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAP = 4  # side of the map that sigma becomes


@dataclass(frozen=True)
class UNetConfig:
    """What a U-Net is made of.

    Attributes
    ----------
    num_downs : int
        Downsamplings by 2; sizes must be a multiple of 2 ** num_downs.
    ngf : int
        Channels after the first of them; they double with each, up to 8 ngf.
    upsampling : str
        "resize": bilinear x 2 and a 3 x 3 convolution, free of checkerboards (Odena et al., Distill 2016);
        "transposed": transposed 4 x 4 convolution, as pix2pix has it.
    residual : bool
        Whether the network's output is added to the photo, instead of being the picture itself. The last convolution
        then starts at 0: training starts from the photo.
    """

    num_downs: int = 6
    ngf: int = 64
    upsampling: Literal["resize", "transposed"] = "resize"
    residual: bool = False


class UNet(nn.Module):
    """Photo and sigma to the refocused photo.

    An encoder of strided convolutions, a decoder of upsamplings, a skip connection at every size (Ronneberger et al.,
    MICCAI 2015; in the form of Isola et al., CVPR 2017). sigma goes through two fully connected layers to a 4 x 4 map,
    which is resampled to the innermost size and joins the innermost features: so it works at any size. By default
    21.3 million parameters, 21.7 GFLOP (a multiply-add is two) for 256 x 256 pixels.

    Parameters
    ----------
    config : UNetConfig

    Attributes
    ----------
    multiple : int
        What height and width must be a multiple of.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.residual = config.residual
        self.multiple = 2**config.num_downs
        widths = [config.ngf * min(2**depth, 8) for depth in range(config.num_downs)]
        last = config.num_downs - 1
        self.downs = nn.ModuleList(
            # neither the first nor the innermost has a norm: over a single pixel there is nothing to normalise
            _down(before, after, norm=0 < depth < last, activation=depth > 0)
            for depth, (before, after) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.sigma = nn.Sequential(nn.Linear(2, MAP * MAP), nn.LeakyReLU(0.2), nn.Linear(MAP * MAP, MAP * MAP))
        inner = [*[2 * width for width in widths[:last]], widths[last] + 1]  # skip joined; the map joined
        outer = [3, *widths[:last]]
        self.ups = nn.ModuleList(
            _up(inner[depth], outer[depth], config.upsampling, norm=depth > 0) for depth in range(config.num_downs)
        )
        if config.residual:
            *_, weight, bias = self.ups[0].parameters()
            nn.init.zeros_(weight)
            nn.init.zeros_(bias)

    def forward(self, photo: Tensor, sigma: Tensor) -> Tensor:
        """Refocus.

        Parameters
        ----------
        photo : tensor
            (N, 3, H, W) in [-1, 1].
        sigma : tensor
            (N, 2): focus in [-1, 1], aperture as a multiple of the aperture scale.

        Returns
        -------
        tensor
            (N, 3, H, W) in [-1, 1], of the photo's dtype, under autocast too: 8 bits of mantissa would band it.
        """
        features = [photo]
        for down in self.downs:
            features.append(down(features[-1]))
        x: Tensor = features.pop()  # (N, C, h, w)
        code = self.sigma(sigma).reshape(-1, 1, MAP, MAP)
        code = F.interpolate(code, size=x.shape[-2:], mode="bilinear", align_corners=False)  # (N, 1, h, w)
        # The code comes behind the ReLU: before it the negative half of all codes would be one and the same.
        x = self.ups[-1](torch.cat([F.relu(x), code.to(x.dtype)], 1))
        for up in reversed(self.ups[:-1]):
            x = up(F.relu(torch.cat([features.pop(), x], 1)))
        x = x.to(photo.dtype)
        if self.residual:
            return (photo + x).clamp(-1, 1)
        return torch.tanh(x)


def _down(before: int, after: int, *, norm: bool, activation: bool) -> nn.Sequential:
    """Halve the size: (N, before, 2h, 2w) -> (N, after, h, w)."""
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if activation else []
    layers.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=not norm))
    if norm:
        layers.append(nn.BatchNorm2d(after))
    return nn.Sequential(*layers)


def _up(before: int, after: int, upsampling: str, *, norm: bool) -> nn.Sequential:
    """Double the size: (N, before, h, w) -> (N, after, 2h, 2w); the convolution comes last where there is no norm."""
    layers: list[nn.Module] = []
    if upsampling == "resize":
        layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        layers.append(nn.Conv2d(before, after, kernel_size=3, padding=1, bias=not norm))
    else:
        layers.append(nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=not norm))
    if norm:
        layers.append(nn.BatchNorm2d(after))
    return nn.Sequential(*layers)

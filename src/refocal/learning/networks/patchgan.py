"""The discriminator: a PatchGAN, which judges each patch of an image by itself (Isola et al., CVPR 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PatchGANConfig:
    """What a PatchGAN is made of.

    Attributes
    ----------
    ndf : int
        Channels after the first convolution; they double with each, up to 8 ndf.
    layers : int
        Strided convolutions; 3 give patches of 70 x 70 pixels.
    sigma : bool
        Whether it gets focus and aperture as two constant planes: it can then see that the focus is wrong, and not
        only that the picture is not real.
    """

    ndf: int = 64
    layers: int = 3
    sigma: bool = False


class PatchGAN(nn.Module):
    """Photo and picture to a map of logits, one a patch; by default of 2.8 million parameters."""

    def __init__(self, config: PatchGANConfig) -> None:
        super().__init__()
        self.takes_sigma = config.sigma
        widths = [config.ndf * min(2**depth, 8) for depth in range(config.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(8 if config.sigma else 6, widths[0], 4, stride=2, padding=1)]
        for depth in range(1, config.layers + 1):
            stride = 2 if depth < config.layers else 1
            layers += [
                nn.LeakyReLU(0.2),
                nn.Conv2d(widths[depth - 1], widths[depth], 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(widths[depth]),
            ]
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], 1, 4, stride=1, padding=1)]
        self.model = nn.Sequential(*layers)

    def forward(self, photo: Tensor, image: Tensor, sigma: Tensor) -> Tensor:
        """Judge a picture, given the photo that it was made from.

        Parameters
        ----------
        photo, image : tensor
            (N, 3, H, W) in [-1, 1].
        sigma : tensor
            (N, 2), as the generator has it; left aside unless the configuration says otherwise.

        Returns
        -------
        tensor
            (N, 1, h, w) logits; with three layers h = H / 8 - 2.
        """
        given = [photo, image]
        if self.takes_sigma:
            given.append(sigma[:, :, None, None].expand(-1, -1, *photo.shape[-2:]).to(photo.dtype))
        logits: Tensor = self.model(torch.cat(given, 1))
        return logits

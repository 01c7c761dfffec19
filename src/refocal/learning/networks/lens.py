"""The physics-guided generator: photo -> disparity -> renderer -> a small refiner.

Notation: H, W height and width of the photo, h, w a quarter of it; g disparity in units of focus, -1 the farthest, +1
the nearest; D planes of g; sigma = (focus, aperture / aperture scale), as for the U-Net.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refocal.learning.networks.analyser import Analyser
from refocal.learning.networks.renderer import Pupil, Renderer, defocus

REFINER_REACH = 4  # px: of three convolutions of 3 x 3, the second with every second pixel


@dataclass(frozen=True)
class LensConfig:
    """What a lens generator is made of.

    Attributes
    ----------
    widths : tuple of int
        Channels at 1/4, 1/8, 1/16 … of the photo's size; sizes must be a multiple of 4 * 2 ** (len - 1).
    blocks : tuple of int
        Residual blocks of the plain encoder at each of them.
    planes : int
        Of disparity, from -1 to 1, that the network spreads its belief over.
    refiner : int
        Channels of the refiner; 0: none.
    pupil : str
        "circular" or "square".
    highlights : float
        How many times brighter than white a clipped highlight is taken to be; 1: no brighter.
    encoder : str
        "plain", to train from scratch, or "efficientnet_lite0", which may start from what it learnt of ImageNet.
    """

    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (1, 2, 2, 4)
    planes: int = 16
    refiner: int = 16
    pupil: Pupil = "circular"
    highlights: float = 1.0
    encoder: str = "plain"


class Lens(nn.Module):
    """Photo and sigma to the refocused photo, by way of the disparity; also `analyse` and `render` alone.

    Parameters
    ----------
    config : LensConfig
    aperture_scale : float
        Pixels that aperture 1 of sigma stands for: the lens wants pixels.

    Attributes
    ----------
    multiple : int
        What height and width must be a multiple of.
    """

    def __init__(self, config: LensConfig, aperture_scale: float) -> None:
        super().__init__()
        self.analyser = Analyser(config.encoder, config.widths, config.blocks, config.planes)
        self.multiple = self.analyser.multiple
        self.renderer = Renderer(config.pupil)
        self.refiner = Refiner(config.refiner) if config.refiner else None
        self.aperture_scale = aperture_scale
        self.highlights = config.highlights

    def forward(self, photo: Tensor, sigma: Tensor) -> Tensor:
        """Refocus (N, 3, H, W) in [-1, 1] with sigma (N, 2) -> (N, 3, H, W) in [-1, 1]. Aperture 0 gives the photo."""
        return self.render(photo, self.analyse(photo), sigma)

    def analyse(self, photo: Tensor) -> Tensor:
        """Return the disparity, (N, 1, H, W) in [-1, 1], of a photo (N, 3, H, W) in [-1, 1]."""
        disparity: Tensor = self.analyser(photo)
        return disparity

    def render(self, photo: Tensor, disparity: Tensor, sigma: Tensor, *, refine: bool = True) -> Tensor:
        """Refocus a photo (N, 3, H, W) in [-1, 1] whose disparity (N, 1, H, W) is known; as `forward`."""
        focus, aperture = sigma[:, 0, None, None, None], sigma[:, 1, None, None, None]
        blur = self.aperture_scale * aperture * (focus - disparity) / 2
        made = defocus(self.renderer, photo, blur, self.highlights)
        if self.refiner is not None and refine:
            change = self.refiner(torch.cat([made, photo, blur / 8, blur.abs() / 8], 1))
            made = (made + change.to(made.dtype) * aperture.clamp(0, 1)).clamp(-1, 1)
        return made


class Refiner(nn.Module):
    """What the lens gets wrong behind edges, learned: starts at no change."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(8, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2),
            nn.GELU(),
            nn.Conv2d(width, 3, kernel_size=3, padding=1),
        )
        for last in self.layers[-1].parameters():
            nn.init.zeros_(last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 8, H, W): render, photo, blur, |blur| -> the change of the render, (N, 3, H, W)."""
        change: Tensor = self.layers(x)
        return change

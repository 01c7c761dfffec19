"""The physics-guided generator: photo -> disparity -> lens -> a small refiner.

Notation: H, W height and width of the photo, h, w a quarter of it; g disparity in units of focus, -1 the farthest, +1
the nearest; D planes of g; sigma = (focus, aperture / aperture scale), as for the U-Net.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refocal.learning.networks.renderer import Pupil, Renderer, to_linear, to_srgb

STEM = 4  # the photo is looked at at a quarter of its size
NEIGHBOURS = 9  # coarse disparities that a fine one is mixed from


@dataclass(frozen=True)
class LensConfig:
    """What a lens generator is made of.

    Attributes
    ----------
    widths : tuple of int
        Channels at 1/4, 1/8, 1/16 … of the photo's size; sizes must be a multiple of 4 * 2 ** (len - 1).
    blocks : tuple of int
        Residual blocks at each of them.
    planes : int
        Of disparity, from -1 to 1, that the network spreads its belief over.
    refiner : int
        Channels of the refiner; 0: none.
    pupil : str
        "circular" or "square".
    pupil_scale : float
        Blur diameter of the lens over the aperture: n views from the first to the last reach over n - 1 steps, but
        stand for a pupil of n.
    highlights : float
        How many times brighter than white a clipped highlight is taken to be; 1: no brighter.
    """

    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (1, 2, 2, 4)
    planes: int = 16
    refiner: int = 16
    pupil: Pupil = "circular"
    pupil_scale: float = 1.15
    highlights: float = 1.0


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
        self.multiple = STEM * 2 ** (len(config.widths) - 1)
        self.analyser = Analyser(config)
        self.renderer = Renderer(config.pupil)
        self.refiner = Refiner(config.refiner) if config.refiner else None
        self.blur_scale = config.pupil_scale * aperture_scale
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
        blur = self.blur_scale * aperture * (focus - disparity) / 2
        srgb = (photo.float() + 1) / 2
        light = self.renderer(expand(to_linear(srgb), self.highlights), blur.float())
        made = to_srgb(compress(light, self.highlights).clamp(0, 1)) * 2 - 1
        if self.refiner is not None and refine:
            change = self.refiner(torch.cat([made, photo, blur / 8, blur.abs() / 8], 1))
            made = (made + change.to(made.dtype) * aperture.clamp(0, 1)).clamp(-1, 1)
        return made


class Analyser(nn.Module):
    """Photo to disparity: an encoder-decoder that sees the whole scene, and learned, edge-keeping upsampling."""

    def __init__(self, config: LensConfig) -> None:
        super().__init__()
        widths = config.widths
        self.stem = nn.Sequential(nn.Conv2d(5, widths[0], kernel_size=7, stride=STEM, padding=3), Norm(widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(widths, config.blocks, strict=True)
        )
        pairs = list(pairwise(widths))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1) for a, b in pairs)
        self.whole = nn.Sequential(nn.Linear(widths[-1], widths[-1]), nn.GELU(), nn.Linear(widths[-1], widths[-1]))
        self.ups = nn.ModuleList(nn.Conv2d(a + b, a, kernel_size=1) for a, b in pairs)
        self.merges = nn.ModuleList(Block(a) for a, _ in pairs)
        self.head = nn.Conv2d(widths[0], config.planes, kernel_size=3, padding=1)
        self.mixing = nn.Conv2d(widths[0], NEIGHBOURS * STEM**2, kernel_size=3, padding=1)
        self.register_buffer("planes", torch.linspace(-1, 1, config.planes)[:, None, None], persistent=False)

    def forward(self, photo: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 1, H, W) in [-1, 1]."""
        x = self.stem(torch.cat([photo, _places(photo)], 1))
        skips = []
        for stage, down in zip(self.stages, [*self.downs, None], strict=True):
            x = stage(x)
            if down is not None:
                skips.append(x)
                x = down(x)
        x = x + self.whole(x.mean((2, 3)))[..., None, None]
        for up, merge, skip in zip(reversed(self.ups), reversed(self.merges), reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(up(torch.cat([skip, x], 1)))
        belief = self.head(x).float().softmax(1)  # (N, D, h, w)
        planes: Tensor = self.get_buffer("planes")
        return _finer((belief * planes).sum(1, keepdim=True), self.mixing(x).float())


class Block(nn.Module):
    """Residual block of restoration networks: depthwise 5 x 5, norm over channels, two 1 x 1 with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, kernel_size=5, padding=2, groups=width)
        self.norm = Norm(width)
        self.wide, self.narrow = nn.Conv2d(width, 3 * width, kernel_size=1), nn.Conv2d(3 * width, width, kernel_size=1)
        self.scale = nn.Parameter(torch.full((width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same."""
        change: Tensor = self.narrow(F.gelu(self.wide(self.norm(self.spatial(x)))))
        return x + self.scale * change


class Norm(nn.Module):
    """Layer norm over the channels of each pixel: no statistics of batch or picture, so sizes don't matter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same."""
        centred = x - x.mean(1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-6) * self.weight + self.bias


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


def _places(photo: Tensor) -> Tensor:
    """Return where each pixel lies, (N, 2, H, W) from -1 to 1: low in a photo is near, mostly."""
    height, width = photo.shape[-2:]
    rows = (torch.arange(height, device=photo.device, dtype=photo.dtype) + 0.5) / height * 2 - 1
    columns = (torch.arange(width, device=photo.device, dtype=photo.dtype) + 0.5) / width * 2 - 1
    grid = torch.stack([rows[:, None].expand(height, width), columns[None].expand(height, width)])
    return grid.expand(photo.shape[0], 2, height, width)


def _finer(coarse: Tensor, mixing: Tensor) -> Tensor:
    """Enlarge (N, 1, h, w) fourfold, each fine pixel a mixture of 3 x 3 coarse ones (Teed & Deng, ECCV 2020)."""
    count, _, height, width = coarse.shape
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    around = torch.cat([padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)], 1)
    weights = mixing.reshape(count, NEIGHBOURS, STEM**2, height, width).softmax(1)
    return F.pixel_shuffle((weights * around[:, :, None]).sum(1), STEM)


def expand(light: Tensor, times: float) -> Tensor:
    """Take the brightest tenth of linear light for up to `times` as bright: sensors clip, lights are brighter."""
    return light + (times - 1) * ((light - 0.9) / 0.1).clamp(min=0).square() if times > 1 else light


def compress(light: Tensor, times: float) -> Tensor:
    """Undo `expand`: the root of light = x + (times - 1) ((x - 0.9) / 0.1)^2 above 0.9."""
    if times <= 1:
        return light
    a = (times - 1) / 0.01
    over = (light - 0.9).clamp(min=0)
    return torch.where(light <= 0.9, light, 0.9 + (torch.sqrt(1 + 4 * a * over) - 1) / (2 * a))

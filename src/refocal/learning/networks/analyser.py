"""Photo to disparity: a pretrained encoder, and a decoder that keeps edges.

Notation as in `lens`: H, W height and width of the photo, h, w a quarter of it; D planes of disparity.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refocal.learning.networks.efficientnet import WIDTHS, EfficientNetLite

STEM = 4  # the disparity is found at a quarter of the photo's size
NEIGHBOURS = 9  # coarse disparities that a fine one is mixed from
ENCODERS = ("plain", "efficientnet_lite0")


class Analyser(nn.Module):
    """Encoder, decoder, a belief over planes, and learned, edge-keeping upsampling.

    Parameters
    ----------
    encoder : str
        One of `ENCODERS`.
    widths, blocks : sequence of int
        Channels of the decoder, and of the plain encoder, at 1/4, 1/8, 1/16 … of the photo's size; residual blocks of
        the plain encoder at each.
    planes : int
        Of disparity, from -1 to 1.

    Attributes
    ----------
    multiple : int
        What height and width must be a multiple of.
    """

    def __init__(self, encoder: str, widths: Sequence[int], blocks: Sequence[int], planes: int) -> None:
        super().__init__()
        if encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}")
        self.name = encoder
        self.multiple = STEM * 2 ** (len(widths) - 1)
        self.encoder: nn.Module = Plain(widths, blocks)
        found: Sequence[int] = widths
        if encoder == "efficientnet_lite0":
            if len(widths) != len(WIDTHS):
                raise ValueError(f"widths {list(widths)}: the encoder {encoder} has {len(WIDTHS)} sizes")
            self.encoder, found = EfficientNetLite(), WIDTHS
        self.enter = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, kernel_size=1), Norm(b)) for a, b in zip(found, widths, strict=True)
        )
        self.whole = nn.Sequential(nn.Linear(widths[-1], widths[-1]), nn.GELU(), nn.Linear(widths[-1], widths[-1]))
        pairs = list(pairwise(widths))
        self.ups = nn.ModuleList(nn.Conv2d(a + b, a, kernel_size=1) for a, b in pairs)
        self.merges = nn.ModuleList(Block(a) for a, _ in pairs)
        self.head = nn.Conv2d(widths[0], planes, kernel_size=3, padding=1)
        self.mixing = nn.Conv2d(widths[0], NEIGHBOURS * STEM**2, kernel_size=3, padding=1)
        self.register_buffer("planes", torch.linspace(-1, 1, planes)[:, None, None], persistent=False)

    def load_imagenet(self, path: str) -> None:
        """Take the encoder's weights from a file; ValueError where this encoder has none to take."""
        if self.name == "plain":
            raise ValueError(f"imagenet = {path}: only the encoder efficientnet_lite0 starts from weights of ImageNet")
        cast("EfficientNetLite", self.encoder).load_imagenet(path)

    def freeze(self) -> None:
        """Keep what the encoder's first stages learnt of ImageNet, where it started there."""
        if isinstance(self.encoder, EfficientNetLite):
            self.encoder.freeze()

    def forward(self, photo: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 1, H, W) in [-1, 1]."""
        features = [enter(found) for enter, found in zip(self.enter, self.encoder(photo), strict=True)]
        x = features.pop()
        x = x + self.whole(x.mean((2, 3)))[..., None, None]
        for up, merge in zip(reversed(self.ups), reversed(self.merges), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(up(torch.cat([features.pop(), x], 1)))
        belief = self.head(x).float().softmax(1)  # (N, D, h, w)
        planes: Tensor = self.get_buffer("planes")
        return _finer((belief * planes).sum(1, keepdim=True), self.mixing(x).float())


class Plain(nn.Module):
    """An encoder to train from scratch: residual blocks at 1/4, 1/8 … of the size, and where in the photo they are."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(5, widths[0], kernel_size=7, stride=STEM, padding=3), Norm(widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count))) for width, count in zip(widths, blocks, strict=True)
        )
        self.downs = nn.ModuleList(nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1) for a, b in pairwise(widths))

    def forward(self, photo: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> features, the finest first."""
        x = self.stem(torch.cat([photo, _places(photo)], 1))
        features = []
        for stage, down in zip(self.stages, [*self.downs, None], strict=True):
            x = stage(x)
            features.append(x)
            x = down(x) if down is not None else x
        return features


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

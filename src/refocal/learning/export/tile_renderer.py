"""The renderer as it is exported: the same images as `renderer` and the refiner make, for less work on small tiles.

The levels of blur go group by group, the nearest first, each group only where the picture holds blurs that it has to
do with: in a small tile, most have not. Of what lies before them they get two images, so that a tile stays in
the cache: what has been laid down, and how much of each pixel is left.

For training it would be no faster, and `torch.cond` asks for more care: there `Renderer` stays.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refocal.learning.networks.lens import Lens, Refiner
from refocal.learning.networks.renderer import Pupil, Renderer, disks, reduction

BLOCK = 16  # channels that onnxruntime convolves at once, one by one, where their number is a multiple


def lean(generator: Lens) -> Lens:
    """Return a copy of a lens generator that renders as `generator` does, and can't analyse."""
    made = copy.deepcopy(generator)
    del made.analyser
    made.renderer = TileRenderer(generator.renderer.pupil)
    if generator.refiner is not None:
        made.refiner = _packed(generator.refiner)
    return made


class TileRenderer(Renderer):
    """As `Renderer`, which see; for export."""

    def __init__(self, pupil: Pupil = "circular") -> None:
        super().__init__(pupil)
        self.groups: list[tuple[int, list[float]]] = []  # (part of the size, levels), the nearest first
        for level in self.signed:
            part = reduction(abs(level)) if level else 0
            if not self.groups or self.groups[-1][0] != part:
                self.groups.append((part, []))
            self.groups[-1][1].append(level)
        for number, (part, levels) in enumerate(self.groups):
            slope, offset = _ramps(levels, self.signed)
            self.register_buffer(f"slope{number}", slope, persistent=False)
            self.register_buffer(f"offset{number}", offset, persistent=False)
            if part:
                padded = F.pad(disks(levels, part, pupil), (0, 0, 0, 0, 0, 0, 0, -4 * len(levels) % BLOCK))
                self.register_buffer(f"disks_of{number}", padded, persistent=False)

    def forward(self, light: Tensor, blur: Tensor) -> Tensor:
        """Render; as `Renderer.forward`."""
        blur = blur.clamp(self.signed[0], self.signed[-1])
        covered = torch.cat([light, torch.ones_like(blur)], 1)
        made, left = torch.zeros_like(covered), torch.ones_like(blur)
        lowest, highest = blur.min(), blur.max()
        for number, (part, levels) in enumerate(self.groups):
            first, last = self.signed.index(levels[0]), self.signed.index(levels[-1])
            conditions = [highest > self.signed[first - 1]] if first else []
            conditions += [lowest < self.signed[last + 1]] if last + 1 < len(self.signed) else []
            needed = conditions[0] if len(conditions) == 1 else conditions[0] & conditions[1]
            constants = [self.get_buffer(f"slope{number}"), self.get_buffer(f"offset{number}")]
            constants += [self.get_buffer(f"disks_of{number}")] if part else []
            operands = (covered, blur, made, left, *constants)
            made, left = torch.cond(needed, _lay(part, len(levels)), _pass, operands)
        return made[:, :3] / made[:, 3:].clamp(min=1e-4)


def _packed(refiner: Refiner) -> Refiner:
    """Return the refiner for even heights and widths: its last convolution gives 2 x 2 pixels at once.

    One to 3 channels would be padded to 16; to 12, of windows one pixel wider, it is not half the work.
    """
    made = copy.deepcopy(refiner)
    *first, last = made.layers
    if not isinstance(last, nn.Conv2d) or last.bias is None:
        raise TypeError(f"a refiner must end in a convolution, got {last}")
    many = nn.Conv2d(last.in_channels, 4 * last.out_channels, kernel_size=4, stride=2, padding=1)
    with torch.no_grad():
        weight = many.weight.zero_().view(last.out_channels, 4, last.in_channels, 4, 4)
        for place in range(4):
            down, right = divmod(place, 2)
            weight[:, place, :, down : down + 3, right : right + 3] = last.weight
        many.bias = nn.Parameter(last.bias.repeat_interleave(4))
    made.layers = nn.Sequential(*first, many, nn.PixelShuffle(2))
    return made


def _ramps(levels: Sequence[float], signed: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return factors and offsets (L + 1, 1, 1): clip(b x factor + offset) rises from 0 to 1 between two levels.

    From the level before the group to its first, between its own, and from its last to the one after it: what a level
    has of a pixel is the difference of two. Before the first of all it is 1, after the last 0.
    """
    first, last = signed.index(levels[0]), signed.index(levels[-1])
    places = signed[max(first - 1, 0) : last + 2]
    slope = [1 / (after - before) for before, after in pairwise(places)]
    offset = [-before * rise for before, rise in zip(places[:-1], slope, strict=True)]
    if first == 0:
        slope, offset = [0.0, *slope], [1.0, *offset]
    if last + 1 == len(signed):
        slope, offset = [*slope, 0.0], [*offset, 0.0]
    return torch.tensor(slope)[:, None, None], torch.tensor(offset)[:, None, None]


def _pass(*operands: Tensor) -> tuple[Tensor, Tensor]:
    """Leave what is laid down, and what is left, as they are; copies, for `torch.cond` wants no operand back."""
    return operands[2].clone(), operands[3].clone()


def _lay(part: int, count: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the function that blurs `count` levels at a part of the size, and lays them behind what is there."""

    def lay(
        covered: Tensor, blur: Tensor, made: Tensor, left: Tensor, slope: Tensor, offset: Tensor, *disks: Tensor
    ) -> tuple[Tensor, Tensor]:
        rising = (blur * slope + offset).clamp(0, 1)
        shares = rising[:, :-1] - rising[:, 1:]
        if not disks:  # the level of no blur
            behind = (left - shares).relu()
            return made + covered * (left - behind), behind
        layers = (covered[:, None] * shares[:, :, None]).flatten(1, 2)
        if part > 1:
            layers = F.avg_pool2d(layers, part)
        (kernels,) = disks
        layers = F.pad(layers, (0, 0, 0, 0, 0, len(kernels) - 4 * count))
        layers = F.conv2d(layers, kernels, padding=kernels.shape[-1] // 2, groups=len(kernels))
        if part > 1:
            layers = F.interpolate(layers, scale_factor=float(part), mode="bilinear", align_corners=False)
        for layer in torch.split(layers, 4, 1)[:count]:
            coverage = layer[:, 3:]
            behind = (left - coverage).relu()
            made = made + layer * ((left - behind) / coverage.clamp(min=1e-6))
            left = behind
        return made, left

    return lay

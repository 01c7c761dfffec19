"""A differentiable lens: a sharp photo and its disparity to the photo that a lens focused elsewhere takes.

Notation as in `optics.render`: g disparity in units of focus (-1 farthest, +1 nearest), F focus, A aperture. A pixel
has the signed blur diameter b = A (F - g) / 2: positive behind the focus, negative before it.

Light is sorted into levels of b, nearest first; between two levels it is shared, so that the picture changes
continuously with F, A and g. Each level is blurred with its disk, strong blurs at reduced size, together with its
coverage, and laid behind what lies before it: a level gives what its coverage allows and what nearer ones have left.
What no level covers, behind the edge of something near, is made up by dividing by the sum (the compositional renderer
of Srinivasan et al., CVPR 2018, with occlusion). Kernels are constants, so it all exports as convolutions.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pupil = Literal["circular", "square"]
LEVELS = (0.0, 1.5, 3.0, 4.5, 6.5, 9.0, 12.5, 17.0, 24.0, 34.0, 48.0)  # px of blur; beyond the last it grows no more
PARTS = ((7.0, 1), (13.0, 2), (26.0, 4), (math.inf, 8))  # up to which blur, at which part of the size
LARGEST_PART = PARTS[-1][1]
FINE = 16  # samples a pixel and direction, of a kernel's edge


class Renderer(nn.Module):
    """Renders (N, 3, H, W) light with (N, 1, H, W) signed blur.

    Parameters
    ----------
    pupil : str
        "circular" or "square": the shape of the discs that lights become.
    """

    def __init__(self, pupil: Pupil = "circular") -> None:
        super().__init__()
        if pupil not in ("circular", "square"):
            raise ValueError(f"pupil must be 'circular' or 'square', got {pupil!r}")
        self.pupil = pupil
        self.signed = (*(-level for level in reversed(LEVELS[1:])), *LEVELS)  # nearest first
        # Levels that are blurred at the same part of the size go through one convolution; those of no blur at "part" 0.
        parts = [reduction(abs(level)) if level else 0 for level in self.signed]
        self.places = {part: [k for k, own in enumerate(parts) if own == part] for part in sorted(set(parts))}
        self.order = [(part, self.places[part].index(k)) for k, part in enumerate(parts)]
        for part, places in self.places.items():
            if part:
                levels = [self.signed[k] for k in places]
                self.register_buffer(f"disks{part}", disks(levels, part, pupil), persistent=False)

    def forward(self, light: Tensor, blur: Tensor) -> Tensor:
        """Render.

        Parameters
        ----------
        light : tensor
            (N, 3, H, W) linear light, 0 and more.
        blur : tensor
            (N, 1, H, W): signed blur diameter in pixels, positive behind the focus.

        Returns
        -------
        tensor
            (N, 3, H, W) linear light. Where all blur is 0 it is `light`.
        """
        blur = blur.clamp(self.signed[0], self.signed[-1])
        shares = _shares(blur, self.signed)
        covered = torch.cat([light, torch.ones_like(blur)], 1)[:, None]  # (N, 1, 4, H, W): light, and coverage
        layers = {part: self._blurred(covered * shares[:, places, None], part) for part, places in self.places.items()}
        left = torch.ones_like(blur)  # of a pixel's coverage, for what lies further back
        given: dict[tuple[int, int], Tensor] = {}
        for part, place in self.order:
            coverage = layers[part][:, place, 3:]
            gives = torch.minimum(coverage, left)
            given[part, place] = gives / coverage.clamp(min=1e-6)
            left = left - gives
        out = torch.zeros_like(covered[:, 0])
        for part, places in self.places.items():
            weight = torch.stack([given[part, place] for place in range(len(places))], 1)
            out = out + (layers[part] * weight).sum(1)
        return out[:, :3] / out[:, 3:].clamp(min=1e-4)

    def _blurred(self, layers: Tensor, part: int) -> Tensor:
        """Blur L layers (N, L, 4, H, W), each with the disk of its level, at a part of the size."""
        if part == 0:
            return layers
        disks, shape = self.get_buffer(f"disks{part}"), layers.shape
        height, width = shape[-2:]
        flat = layers.flatten(1, 2).contiguous(memory_format=torch.channels_last)  # many times faster on a CPU
        if height % part or width % part:  # never in an exported file: sizes are multiples there
            flat = F.pad(flat, (0, -width % part, 0, -height % part))
        if part > 1:
            flat = F.avg_pool2d(flat, part)
        flat = F.conv2d(flat, disks.to(flat.dtype), padding=disks.shape[-1] // 2, groups=flat.shape[1])
        if part > 1:
            flat = F.interpolate(flat, scale_factor=float(part), mode="bilinear", align_corners=False)
        return flat[..., :height, :width].reshape(shape)


def _shares(blur: Tensor, levels: Sequence[float]) -> Tensor:
    """Return how much of each pixel belongs to each level, (N, L, H, W): 1 at the level, 0 from its neighbours on."""
    here = torch.tensor(levels, dtype=blur.dtype, device=blur.device)[:, None, None]
    before = 1 / F.pad(here.diff(dim=0), (0, 0, 0, 0, 1, 0), value=1.0)
    after = 1 / F.pad(here.diff(dim=0), (0, 0, 0, 0, 0, 1), value=1.0)
    away = blur - here
    return (1 - torch.maximum(away * after, -away * before)).clamp(min=0)


def reduction(level: float) -> int:
    """Return at which part of the size a blur is computed: its disk then has at most about 7 x 7 pixels."""
    return next(part for most, part in PARTS if level <= most)


def reach(level: float, pupil: Pupil) -> int:
    """Return how many pixels away a pixel may lie and still matter, for a blur of a level.

    Of a pixel in the middle of its block of `part` x `part`, bilinear enlarging looks at the blocks beside it, whose
    disks reach over `half` blocks: (half + 1) part + part / 2 - 1. At full size it is `half`.
    """
    part = reduction(level)
    half = kernel(level, part, pupil).shape[-1] // 2
    return half if part == 1 else (half + 1) * part + part // 2 - 1


def disks(levels: Sequence[float], part: int, pupil: Pupil) -> Tensor:
    """Return the disks of levels for a convolution of their layers, four channels each: (4 L, 1, side, side)."""
    made = [kernel(abs(level), part, pupil) for level in levels]
    side = max(len(disk) for disk in made)
    wide = [F.pad(disk, [(side - len(disk)) // 2] * 4) for disk in made]
    return torch.stack(wide).repeat_interleave(4, 0)[:, None]


def kernel(level: float, part: int, pupil: Pupil) -> Tensor:
    """Return the disk of a blur diameter at a part of the size: odd sides, sum 1, edges by area.

    Averaging over part x part pixels and interpolating back blur too. The variance that they add, (part^2 - 1) / 12 and
    half more, is taken off the disk's, level^2 / 16 (a square's: level^2 / 12).
    """
    round_ = 16.0 if pupil == "circular" else 12.0
    variance = level**2 / round_ - 2.5 * (part**2 - 1) / 12
    radius = max(math.sqrt(max(variance, 0) * round_) / part, 1.0) / 2
    half = max(0, math.ceil(radius - 0.5))
    side = 2 * half + 1
    at = (torch.arange(side * FINE, dtype=torch.float64) + 0.5) / FINE - side / 2
    rows, columns = at[:, None], at[None]
    away = torch.hypot(rows, columns) if pupil == "circular" else torch.maximum(rows.abs(), columns.abs())
    inside = away <= radius
    weights = inside.double().reshape(side, FINE, side, FINE).mean((1, 3))
    return (weights / weights.sum()).float()


def to_linear(srgb: Tensor) -> Tensor:
    """Decode sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Tensor) -> Tensor:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def defocus(renderer: Renderer, photo: Tensor, blur: Tensor, highlights: float = 1) -> Tensor:
    """Blur a photo (N, 3, H, W) in [-1, 1] by signed diameters (N, 1, H, W) in pixels, in light -> the same, [-1, 1].

    `highlights`: how many times brighter than white a clipped highlight is taken to be.
    """
    light = renderer(expand(to_linear((photo.float() + 1) / 2), highlights), blur.float())
    return to_srgb(compress(light, highlights).clamp(0, 1)) * 2 - 1


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

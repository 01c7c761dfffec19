"""Generators with the conventions of the ONNX files: photos are sRGB in [0, 1], apertures are pixels."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from refocal.learning.export.tile_renderer import lean
from refocal.learning.networks.deblur import Deblur
from refocal.learning.networks.generator import Generator
from refocal.learning.networks.lens import REFINER_REACH, Lens
from refocal.learning.networks.renderer import LARGEST_PART, LEVELS, kernel, reach, reduction


class WholeModel(nn.Module):
    """A generator with the conventions of the ONNX file.

    Parameters
    ----------
    generator : UNet or Lens
        In evaluation mode.
    aperture_scale : float
        Pixels that the network knows as 1.
    """

    def __init__(self, generator: Generator, aperture_scale: float) -> None:
        super().__init__()
        self.generator = generator
        self.aperture_scale = aperture_scale

    def forward(self, photo: Tensor, focus: Tensor, aperture: Tensor) -> Tensor:
        """Refocus (N, 3, H, W) in [0, 1] with focus (N,) and aperture (N,) in pixels; -> the same, in [0, 1]."""
        refocused: Tensor = self.generator(photo * 2 - 1, torch.stack([focus, aperture / self.aperture_scale], dim=1))
        return ((refocused + 1) / 2).clamp(0, 1)


class Sharpen(nn.Module):
    """A deblurring generator: photo (N, 3, H, W) in [0, 1] -> the same, sharp."""

    def __init__(self, generator: Deblur) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> Tensor:
        """Make sharp."""
        sharp: Tensor = self.generator(photo * 2 - 1)
        return ((sharp + 1) / 2).clamp(0, 1)


class Analyse(nn.Module):
    """The first half of a lens generator: photo (N, 3, H, W) in [0, 1] -> disparity (N, 1, H, W) in [-1, 1]."""

    def __init__(self, generator: Lens) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> Tensor:
        """Return the disparity."""
        return self.generator.analyse(photo * 2 - 1)


class Render(nn.Module):
    """The second half: photo, disparity, focus (N,), aperture (N,) in pixels -> refocused (N, 3, H, W) in [0, 1]."""

    def __init__(self, generator: Lens, aperture_scale: float) -> None:
        super().__init__()
        self.generator = generator
        self.aperture_scale = aperture_scale

    def forward(self, photo: Tensor, disparity: Tensor, focus: Tensor, aperture: Tensor) -> Tensor:
        """Refocus."""
        sigma = torch.stack([focus, aperture / self.aperture_scale], dim=1)
        return ((self.generator.render(photo * 2 - 1, disparity, sigma) + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class Part:
    """A file to write.

    Attributes
    ----------
    module, reference
        What it computes, and what shows whether that is right.
    inputs, output
        Their names.
    multiple
        What heights and widths are multiples of.
    says
        What its metadata says besides.
    branches
        Whether what is computed depends on the values.
    """

    module: nn.Module
    reference: nn.Module
    inputs: tuple[str, ...]
    output: str
    multiple: int
    says: Mapping[str, str] = field(default_factory=dict)
    branches: bool = False


def parts_of(whole: WholeModel) -> dict[str, Part]:
    """Return the files to write, by the name of the part; "" is the whole model."""
    generator, scale = whole.generator, whole.aperture_scale
    if isinstance(generator, Deblur):
        sharpen = Sharpen(generator).eval()
        return {"": Part(sharpen, sharpen, ("photo",), "sharp", generator.multiple)}
    parts = {"": Part(whole, whole, ("photo", "focus", "aperture"), "refocused", generator.multiple)}
    if isinstance(generator, Lens):
        analyse = Analyse(generator).eval()
        parts["analyse"] = Part(analyse, analyse, ("photo",), "disparity", generator.multiple)
        parts["render"] = Part(
            Render(lean(generator), scale).eval(),
            Render(generator, scale).eval(),
            ("photo", "disparity", "focus", "aperture"),
            "refocused",
            LARGEST_PART,
            {"reach": json.dumps(reaches(generator)), "renderer": json.dumps(renderer_of(generator, scale))},
            branches=True,
        )
    return parts


def reaches(generator: Lens) -> list[tuple[float, int, int]]:
    """Return, for blurs up to each level, how many pixels away matters, and on which grid tiles of a photo must lie."""
    own = REFINER_REACH if generator.refiner is not None else 0
    pupil = generator.renderer.pupil
    return [(level, own + (reach(level, pupil) if level else 0), reduction(level)) for level in LEVELS]


def renderer_of(generator: Lens, aperture_scale: float) -> dict[str, Any]:
    """Return what another implementation of this half needs, as that of living pictures (`model/lens.js`).

    Levels of blur are rising: diameter, part of the size, side of the disk. The weights are base64 of float16: the
    disks, then weight and bias of the refiner's three convolutions.
    """
    pupil = generator.renderer.pupil
    disks = [kernel(level, reduction(level), pupil) if level else torch.ones(1, 1) for level in LEVELS]
    refiner = [] if generator.refiner is None else list(generator.refiner.parameters())
    values = torch.cat([tensor.detach().flatten() for tensor in (*disks, *refiner)]).half().numpy()
    return {
        "levels": [(level, reduction(level), len(disk)) for level, disk in zip(LEVELS, disks, strict=True)],
        "channels": len(refiner[0]) if refiner else 0,
        "aperture_scale": aperture_scale,
        "highlights": generator.highlights,
        "weights": base64.b64encode(values.astype("<f2").tobytes()).decode(),
    }

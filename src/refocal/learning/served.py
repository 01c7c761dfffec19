"""Generators with the conventions of the ONNX files: photos are sRGB in [0, 1], apertures are pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refocal.learning.networks.generator import Generator
from refocal.learning.networks.lens import Lens
from refocal.learning.networks.renderer import LARGEST_PART


class Served(nn.Module):
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
    """A file to write: what it computes, from which inputs, and what sizes are multiples of."""

    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    multiple: int


def parts_of(served: Served) -> dict[str, Part]:
    """Return what there is to write, by the name of the part; "" is the whole."""
    generator, scale = served.generator, served.aperture_scale
    parts = {"": Part(served, ("photo", "focus", "aperture"), "refocused", generator.multiple)}
    if isinstance(generator, Lens):
        parts["analyse"] = Part(Analyse(generator).eval(), ("photo",), "disparity", generator.multiple)
        inputs = ("photo", "disparity", "focus", "aperture")
        parts["render"] = Part(Render(generator, scale).eval(), inputs, "refocused", LARGEST_PART)
    return parts

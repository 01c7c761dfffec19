"""What an example takes of a scene: the place, the focus, and how its pictures are turned, resized and coloured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from refocal.optics.scenes import Scene


@dataclass(frozen=True)
class Visit:
    """What is taken of a scene at an index.

    Attributes
    ----------
    scene, level
        The pair; level -1: there is none.
    focus
        In [-1, 1].
    averaged
        Whether the views of the scene are to be averaged at that focus; else there is a level of it, or none.
    top, left, side
        The square, in pixels of the scene.
    mirrored
        Whether it is turned left to right.
    aperture
        In pixels of the crop.
    look
        A change of colours, the same for photo and target (3, c, c).
    """

    scene: Scene
    level: int
    focus: float
    averaged: bool
    top: int
    left: int
    side: int
    mirrored: bool
    aperture: float
    look: Callable[[torch.Tensor], torch.Tensor]

    def picture(self, square: torch.Tensor, crop: int) -> torch.Tensor:
        """Return a square (3, side, side), sRGB in [0, 1], as the example has it: (3, crop, crop)."""
        turned = square.flip(-1) if self.mirrored else square
        return self.look(resized(turned, crop))


def look_of(random: np.random.Generator, jitter: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a change of exposure, colour balance and gamma, the same for photo and target; rarely to grey."""
    if not jitter:
        return lambda picture: picture
    gain = torch.tensor(np.exp(random.uniform(-jitter, jitter, (3, 1, 1)) / 2), dtype=torch.float32)
    gamma = float(np.exp(random.uniform(-jitter, jitter)))
    grey = bool(random.random() < jitter / 4)

    def look(picture: torch.Tensor) -> torch.Tensor:
        picture = (picture**gamma * gain).clamp(0, 1)
        return picture.mean(0, keepdim=True).expand(3, -1, -1).contiguous() if grey else picture

    return look


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """(3, a, a) -> (3, side, side), antialiased."""
    if picture.shape[-1] == side:
        return picture
    return F.interpolate(picture[None], size=(side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)

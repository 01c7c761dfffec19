"""Where a crop lies in a scene, at which focus, and how it is mirrored, resized and coloured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from refocal.learning.examples import resized
from refocal.scenes.scene import Scene


@dataclass(frozen=True)
class Placement:
    """The placement of a crop.

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
    tone
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
    tone: Callable[[torch.Tensor], torch.Tensor]

    def picture(self, square: torch.Tensor, crop: int) -> torch.Tensor:
        """Return a square (3, side, side), sRGB in [0, 1], as the example has it: (3, crop, crop)."""
        turned = square.flip(-1) if self.mirrored else square
        return self.tone(resized(turned, crop))


def tone_jitter(random: np.random.Generator, jitter: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a change of exposure, colour balance and gamma, the same for photo and target; rarely to grey."""
    if not jitter:
        return lambda picture: picture
    gain = torch.tensor(np.exp(random.uniform(-jitter, jitter, (3, 1, 1)) / 2), dtype=torch.float32)
    gamma = float(np.exp(random.uniform(-jitter, jitter)))
    grey = bool(random.random() < jitter / 4)

    def change(picture: torch.Tensor) -> torch.Tensor:
        picture = (picture**gamma * gain).clamp(0, 1)
        return picture.mean(0, keepdim=True).expand(3, -1, -1).contiguous() if grey else picture

    return change

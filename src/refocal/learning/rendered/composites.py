"""Composites: cut-outs by masks set before photos of known disparity, with real occlusion.

A mask cuts a thing out of its photo; scaled and put before another photo, whose disparity is known, it lies nearer than
all that it covers. Notation as in `layers`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from refocal.learning.examples import resized
from refocal.learning.networks.renderer import to_linear
from refocal.learning.rendered.layers import Layers, margin_of
from refocal.scenes.scene import Scene

THINGS = 2  # at most before a photo
HEIGHT = (0.3, 0.9)  # of a thing, as a share of the crop's side
STANDING = 0.5  # share of the things that stand at the lower edge
APART = (0.05, 0.4)  # by how much a thing is nearer than nearly all that it covers, in units of focus
GROUND = (0.6, 1.0)  # of a photo's short side that is seen of it
KNOWN = 0.5  # share of a photo's disparity that must be known


class Composites:
    """Draws scenes from photos with masks and photos with disparity.

    Parameters
    ----------
    scenes : sequence of Scene
        Of any kind, each as often as it is to be drawn; the kinds "mask" and "rgbd" are used.
    device : torch.device
        Where the layers are wanted.

    Raises
    ------
    ValueError
        One line, where scenes of one of these kinds are missing.
    """

    def __init__(self, scenes: Sequence[Scene], device: torch.device) -> None:
        self.things = [scene for scene in scenes if scene.kind == "mask"]
        self.grounds = [scene for scene in scenes if scene.kind == "rgbd"]
        self.device = device
        if not self.things or not self.grounds:
            raise ValueError(
                "composites need training scenes with masks and training scenes of RGB-D pairs, got "
                f"{len(self.things)} and {len(self.grounds)}"
            )

    def draw(self, random: np.random.Generator, count: int, crop: int) -> Layers:
        """Draw `count` scenes of a ground and `THINGS` things, some of which are not there."""
        made = [self._scene(random, crop) for _ in range(count)]
        light, surfaces, disparity, ground = zip(*made, strict=True)
        return Layers(torch.stack(light, 1), torch.stack(surfaces, 1), torch.stack(disparity), torch.stack(ground))

    def _scene(self, random: np.random.Generator, crop: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return light (1 + T, 4, S, S), surfaces (1 + T, 6), disparity (1, c, c) and that of the ground (1, S, S)."""
        margin = margin_of(crop)
        side = crop + 2 * margin
        photo, ground = self._ground(random, side)
        layers, levels, seen = [torch.cat([to_linear(photo), torch.ones_like(ground)])], [0.0], ground
        number = 1 + int(random.integers(THINGS))
        for k in range(THINGS):
            cut = self._thing(random, crop, margin) if k < number else torch.zeros_like(layers[0])
            covered = seen[cut[3:] >= 0.5]
            level = float(torch.quantile(covered, 0.9)) + float(random.uniform(*APART)) if len(covered) else 0.0
            seen = torch.where(cut[3:] >= 0.5, level, seen)
            layers.append(cut)
            levels.append(level)
        inside = seen[:, margin : margin + crop, margin : margin + crop]
        far, near = torch.quantile(inside.flatten(), torch.tensor([0.01, 0.99]))
        scale = 2 / max(float(near - far), 0.2)

        def rescaled(disparity: Tensor) -> Tensor:  # the ends of what is seen are -1 and 1, as of an RGB-D pair
            made: Tensor = ((disparity - far) * scale - 1).clamp(-1.2, 1.2)
            return made

        surfaces = torch.zeros(1 + THINGS, 6)
        surfaces[:, 0] = rescaled(torch.tensor(levels))
        made = torch.stack(layers), surfaces, rescaled(inside), rescaled(ground)
        light, surfaces, disparity, ground = (part.to(self.device) for part in made)
        return light, surfaces, disparity, ground

    def _ground(self, random: np.random.Generator, side: int) -> tuple[Tensor, Tensor]:
        """Return a square of a photo (3, side, side), sRGB, and its disparity (1, side, side), unknown: the median."""
        while True:  # few photos are mostly unknown
            scene = self.grounds[int(random.integers(len(self.grounds)))]
            photo, disparity = scene.photo(), scene.disparity()
            length = round(min(photo.shape[:2]) * float(random.uniform(*GROUND)))
            top, left = (int(random.integers(whole - length + 1)) for whole in photo.shape[:2])
            place = slice(top, top + length), slice(left, left + length)
            known = torch.from_numpy(np.array(disparity[place], np.float32))[None]
            if float(known.isfinite().float().mean()) >= KNOWN:
                break
        known = torch.where(known.isfinite(), known, known[known.isfinite()].median())
        known = F.interpolate(known[None], size=(side, side), mode="nearest-exact")[0]
        picture = resized(_tensor(photo[place]), side)
        mirrored = bool(random.integers(2))
        return (picture.flip(-1), known.flip(-1)) if mirrored else (picture, known)

    def _thing(self, random: np.random.Generator, crop: int, margin: int) -> Tensor:
        """Return a cut-out on the canvas: linear light times coverage, and coverage, (4, S, S)."""
        scene = self.things[int(random.integers(len(self.things)))]
        mask = np.array(scene.mask())
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        alpha = torch.from_numpy(mask[box].astype(np.float32))[None]
        alpha = -F.max_pool2d(F.pad(-alpha, (1, 1, 1, 1)), 3, stride=1)  # less one pixel, which shows its background
        picture = _tensor(scene.photo()[box])
        cut = torch.cat([picture * alpha, alpha])
        cut = cut.flip(-1) if random.integers(2) else cut
        high = crop * float(random.uniform(*HEIGHT))
        wide = min(high * cut.shape[2] / cut.shape[1], 1.2 * crop)
        size = max(4, round(high)), max(4, round(wide))
        cut = F.interpolate(cut[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
        alpha = cut[3:]
        light = to_linear((cut[:3] / alpha.clamp(min=1e-3)).clamp(0, 1)) * alpha
        tall, broad = size
        lowest = margin + crop - tall
        standing = random.random() < STANDING
        top = lowest + round(0.1 * tall * float(random.random())) if standing else margin + _at(random, crop, tall)
        left = margin + _at(random, crop, broad)
        canvas = torch.zeros(4, crop + 2 * margin, crop + 2 * margin)
        _paste(canvas, torch.cat([light, alpha]), top, left)
        return canvas


def _at(random: np.random.Generator, crop: int, length: int) -> int:
    """Return where a thing of a length begins, so that at most a third of it lies outside of the crop."""
    low, high = -length / 3, crop - length * 2 / 3
    return round(float(random.uniform(min(low, high), max(low, high))))


def _paste(canvas: Tensor, picture: Tensor, top: int, left: int) -> None:
    """Write a picture (C, h, w) into a canvas (C, H, W), what lies outside left away."""
    (high, wide), (tall, broad) = canvas.shape[1:], picture.shape[1:]
    first, last = max(top, 0), min(top + tall, high)
    start, end = max(left, 0), min(left + broad, wide)
    if first < last and start < end:
        canvas[:, first:last, start:end] = picture[:, first - top : last - top, start - left : end - left]


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C")).float().div_(255)

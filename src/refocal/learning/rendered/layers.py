"""Layered scenes seen through a pinhole, or refocused as a light field is: each view with its own occlusion.

Notation: L layers from the farthest to the nearest, N examples, c the crop's side, S that of the canvas, which has a
margin around the crop; F focus, A aperture, g disparity in units of focus. A point seen by a view at t in [-1, 1] of
the pupil's radius, shifted by the focus, lies t A (g - F) / 4 pixels off its place in the photo: over the pupil that is
the blur A (g - F) / 2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from refocal.learning.examples import RENDERED_APERTURE
from refocal.learning.rendered.shapes import LIMIT, canvas, height

APPROACHES = 3  # to the point of a surface that a view sees: each leaves about a tenth of the error


@dataclass(frozen=True)
class Layers:
    """N scenes.

    Attributes
    ----------
    light : Tensor
        (L, N, 4, S, S): linear light times coverage, and coverage; the farthest covers everything.
    surfaces : Tensor
        (L, N, 6), see `shapes`.
    disparity : Tensor
        (N, 1, c, c): of the nearest surface that covers half of a pixel or more.
    ground : Tensor, optional
        (N, 1, S, S): disparity of the farthest layer, in place of its surface.
    """

    light: Tensor
    surfaces: Tensor
    disparity: Tensor
    ground: Tensor | None = None


def margin_of(crop: int) -> int:
    """Return the pixels around a crop that its views reach into: t A (g - F) / 4 at its largest."""
    return math.ceil(RENDERED_APERTURE[1] * crop * (1 + LIMIT) / 4) + 1


def pinhole(layers: Layers, crop: int) -> Tensor:
    """Return the photo with everything in focus: linear light (N, 3, c, c)."""
    margin = (layers.light.shape[-1] - crop) // 2
    return _composite(layers.light[..., margin : margin + crop, margin : margin + crop])


def refocus(layers: Layers, sigma: Tensor, crop: int, views: int) -> Tensor:
    """Return the average of a round grid of `views` x `views` views, focused: linear light (N, 3, c, c).

    `sigma` (N, 2) is focus and aperture in pixels of the photo.
    """
    made = [_view(layers, sigma, crop, right, down) for down, right in pupil(views)]
    return torch.stack(made).mean(0)


def pupil(views: int) -> list[tuple[float, float]]:
    """Return where the views of a grid lie in the pupil, down and right in [-1, 1]: those that a round one fills.

    Each view is a piece of the pupil: the outer ones end at its rim.
    """
    middle = (views - 1) / 2
    places = [(row - middle, column - middle) for row in range(views) for column in range(views)]
    return [(2 * down / views, 2 * right / views) for down, right in places if math.hypot(down, right) <= views / 2]


def _view(layers: Layers, sigma: Tensor, crop: int, right: float, down: float) -> Tensor:
    """Return one view, shifted by the focus.

    For each point of it and each surface the point x of the photo with x + shift (g(x) - F) = point is looked for.
    """
    number, count, _, side, _ = layers.light.shape
    x, y = canvas(crop, 0, layers.light.device)
    focus, aperture = sigma[:, 0, None, None], sigma[:, 1, None, None]
    shift = aperture / 4 * (2 / crop)
    u, v = x.expand(number, count, -1, -1), y.expand(number, count, -1, -1)
    for _ in range(APPROACHES):
        away = shift * (_heights(layers, u, v, crop) - focus)
        u, v = x - right * away, y - down * away
    places = (torch.stack([u, v], -1) * (crop / side)).flatten(0, 1)
    seen = F.grid_sample(layers.light.flatten(0, 1), places, padding_mode="border", align_corners=False)
    return _composite(seen.reshape(number, count, *seen.shape[1:]))


def _heights(layers: Layers, x: Tensor, y: Tensor, crop: int) -> Tensor:
    """Return the disparity of all layers (L, N, H, W) at points x, y (L, N, H, W)."""
    found = height(layers.surfaces, x, y)
    if layers.ground is None:
        return found
    places = torch.stack([x[0], y[0]], -1) * (crop / layers.ground.shape[-1])
    seen = F.grid_sample(layers.ground, places, padding_mode="border", align_corners=False)
    return torch.cat([seen.transpose(0, 1), found[1:]])


def _composite(light: Tensor) -> Tensor:
    """Lay layers (L, N, 4, H, W), the farthest first, over each other: (N, 3, H, W)."""
    made = light[0, :, :3]
    for layer in light[1:]:
        made = made * (1 - layer[:, 3:]) + layer[:, :3]
    return made

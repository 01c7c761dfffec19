"""An endless source of examples, drawn and rendered: each batch a function of seed and step alone.

A scene is a stack of surfaces, each with a matte and with part of a photograph for its texture. The photo is what a
pinhole sees of it; refocused it is the average of the views of a light field's grid, each with its own occlusion, in
linear light: what lies behind an edge shows as it does in a real camera.

Notation: L layers from the farthest to the nearest, N examples, c the crop's side, S that of the canvas, which has a
margin around the crop; F focus, A aperture, g disparity in units of focus. A point seen by a view at t in [-1, 1] of
the pupil's radius, shifted by the focus, lies t A (g - F) / 4 pixels off its place in the photo: over the pupil that is
the blur A (g - F) / 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refocal.learning.camera import taken, toned
from refocal.learning.dataset import RENDERED_APERTURE, Example
from refocal.learning.networks.renderer import to_linear, to_srgb
from refocal.learning.sampling import RENDERED
from refocal.learning.shapes import LIMIT, Place, bump, canvas, height, matte
from refocal.learning.visit import resized
from refocal.optics.scenes import Scene

MOST, SIDE = 400, 512  # photographs held as textures, and their short side at most
LAYERS = (3, 9)  # of a scene, background included: from, up to but without
GRIDS = (5, 7, 9)  # views in a row
STEP = 1.6  # px between the views of a point, at most: further apart they would be seen one by one
APPROACHES = 3  # to the point of a surface that a view sees: each leaves about a tenth of the error
SLACK = 0.35  # by how much of a range of focus of 2 each end of a scene may fall short


@dataclass(frozen=True)
class Layers:
    """N drawn scenes.

    Attributes
    ----------
    light : Tensor
        (L, N, 4, S, S): linear light times coverage, and coverage; the farthest covers everything.
    surfaces : Tensor
        (L, N, 6), see `shapes`.
    disparity : Tensor
        (N, 1, c, c): of the nearest surface that covers half of a pixel or more.
    """

    light: Tensor
    surfaces: Tensor
    disparity: Tensor


class Rendered:
    """The source.

    Parameters
    ----------
    textures : sequence of Tensor
        Photographs, uint8 (3, h, w), on the device that renders.
    crop : int
        Side of the examples in pixels.
    seed : int
        Not negative.
    refocused : bool
        Whether targets are rendered; else they are the photo, for a training that does not look at them.
    """

    def __init__(self, textures: Sequence[Tensor], *, crop: int, seed: int, refocused: bool = True) -> None:
        if not textures:
            raise ValueError("textures: the rendered source needs at least one photograph, got none")
        self.textures, self.crop, self.seed, self.refocused = list(textures), crop, seed, refocused

    def batch(self, step: int, count: int) -> Example:
        """Return the `count` examples of a step."""
        random = np.random.default_rng([self.seed, RENDERED, step])
        layers = draw(random, self.textures, count, self.crop)
        device = layers.light.device
        views = int(random.choice(GRIDS))
        low, high = (self.crop * share for share in RENDERED_APERTURE)
        aperture = random.uniform(low, max(low, min(high, STEP * (views - 1))), count)
        # half of the photos are focused on something that is there
        seen = layers.disparity.flatten(1)[range(count), random.integers(self.crop**2, size=count)].cpu().numpy()
        focus = np.where(random.random(count) < 0.5, seen.clip(-1, 1), random.uniform(-1, 1, count))
        sigma = torch.tensor(np.stack([focus, aperture], 1), dtype=torch.float32, device=device)
        photo = to_srgb(pinhole(layers, self.crop))
        target = to_srgb(refocus(layers, sigma, self.crop, views)) if self.refocused else photo
        photo, target = toned(random, [photo, target])
        return Example(taken(random, photo), target, sigma, layers.disparity, torch.ones_like(sigma[:, 0]).bool())


def textures_of(scenes: Sequence[Scene], *, seed: int, device: torch.device) -> list[Tensor]:
    """Return the photos of at most `MOST` scenes, chosen by the seed, reduced to a short side of at most `SIDE` px."""
    chosen = np.random.default_rng([seed, RENDERED]).permutation(len(scenes))[:MOST]
    return [_texture(scenes[i]).to(device) for i in sorted(chosen)]


def _texture(scene: Scene) -> Tensor:
    photo = torch.from_numpy(np.array(scene.photo().transpose(2, 0, 1), order="C"))
    scale = SIDE / min(photo.shape[1:])
    if scale >= 1:
        return photo
    size = [round(side * scale) for side in photo.shape[1:]]
    small = F.interpolate(photo[None].float(), size=size, mode="bilinear", antialias=True)[0]
    return small.round().clamp(0, 255).byte()


def margin_of(crop: int) -> int:
    """Return the pixels around a crop that its views reach into: t A (g - F) / 4 at its largest."""
    return math.ceil(RENDERED_APERTURE[1] * crop * (1 + LIMIT) / 4) + 1


def draw(random: np.random.Generator, textures: Sequence[Tensor], count: int, crop: int) -> Layers:
    """Draw `count` scenes of as many layers each."""
    margin = margin_of(crop)
    x, y = canvas(crop, margin, textures[0].device)
    number = int(random.integers(*LAYERS))
    light, surfaces, disparity = [], [], []
    for _ in range(count):
        mattes, shape, seen = _draw_shapes(random, x, y, number, crop)
        inside = seen[margin : margin + crop, margin : margin + crop]
        low, high = np.quantile(inside.cpu().numpy(), (0.01, 0.99))
        far, near = (end * (1 - SLACK * max(0.0, random.uniform(-1, 1))) for end in (-1.0, 1.0))
        scale = (near - far) / max(float(high - low), 0.1)
        shape = shape * scale
        shape[:, 0] += far - float(low) * scale
        disparity.append(nearest(mattes, height(shape, x, y))[:, margin : margin + crop, margin : margin + crop])
        pictures = torch.stack([_picture(random, textures, x, y, upright=i < 2) for i in range(number)])
        light.append(torch.cat([pictures * mattes, mattes], 1))
        surfaces.append(shape)
    return Layers(torch.stack(light, 1), torch.stack(surfaces, 1), torch.stack(disparity))


def _draw_shapes(
    random: np.random.Generator, x: Tensor, y: Tensor, number: int, crop: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one scene: mattes (L, 1, S, S), surfaces (L, 6) and the disparity (S, S) of what is seen of them.

    What is nearer covers: where a layer slants through what lies behind it, only the part before that is kept.
    """
    whole = torch.ones_like(x)
    table = bool(random.random() < 0.2)  # a slanted plane all through the picture, or a wall, half of them with ground
    ground = not table and bool(random.random() < 0.5)
    slant = float(random.uniform(0.5, 0.9)) if table else float(random.normal(0, 0.1))
    pixel = 2 / crop
    all_of_it = Place(x, y, (0.0, 0.0), 1.0, pixel)
    back = bump(
        -0.2 if table else -1, (float(random.normal(0, 0.1)), slant), (0, float(random.normal(0, 0.1))), all_of_it
    )
    mattes, surfaces = [whole], [back]
    if ground:
        horizon, slope = random.uniform(-0.4, 0.6), random.uniform(0.5, 1.4)
        surfaces.append(bump(-1, (0, float(slope)), (0, 0), Place(x, y, (0.0, float(horizon)), 1.0, pixel)))
        mattes.append(whole)
    for level in np.sort(random.uniform(-0.9, 1, number - len(mattes))):
        middle = (float(random.normal(0, 0.5)), float(0.35 * level + random.normal(0, 0.4)))  # below is near
        size = float(np.exp(random.uniform(-2.1, -0.4)))
        kind = str(random.choice(("thing", "strokes", "window"), p=(0.8, 0.1, 0.1)))
        if kind == "window":
            middle, size = (middle[0] / 2, middle[1] / 2), 0.7 + 0.4 * size
        place = Place(x, y, middle, 2.5 * size if kind == "strokes" else size, pixel)
        curved, lean = random.uniform(0, 0.25, 2) * (random.random(2) < 0.5), random.normal(0, 0.08, 2)
        surfaces.append(bump(float(level), (lean[0], lean[1]), (curved[0], curved[1]), place))
        mattes.append(matte(random, place, kind))
    shapes = torch.tensor(np.array(surfaces), dtype=torch.float32, device=x.device)
    seen = height(shapes[0], x, y)
    for i in range(1, number):
        own = height(shapes[i], x, y)
        down, right = torch.gradient(own - seen)
        mattes[i] = mattes[i] * (0.5 + (own - seen) / torch.hypot(down, right).clamp(min=1e-4)).clamp(0, 1)
        seen = torch.where(mattes[i] >= 0.5, own, seen)
    return torch.stack(mattes)[:, None], shapes, seen


def nearest(mattes: Tensor, heights: Tensor) -> Tensor:
    """Return the disparity (1, S, S) of the last of L layers that covers half of a pixel or more."""
    seen = heights[:1]
    for covers, own in zip(mattes[1:], heights[1:], strict=True):
        seen = torch.where(covers >= 0.5, own, seen)
    return seen


def _picture(random: np.random.Generator, textures: Sequence[Tensor], x: Tensor, y: Tensor, *, upright: bool) -> Tensor:
    """Cut a square out of a photograph, turned unless `upright`, recoloured and lit from a side: (3, S, S) light."""
    photo = textures[int(random.integers(len(textures)))]
    side = round(min(photo.shape[1:]) * float(random.uniform(0.5, 1)))
    top, left = (int(random.integers(length - side + 1)) for length in photo.shape[1:])
    part = resized(photo[:, top : top + side, left : left + side].float() / 255, x.shape[-1])
    part = part.flip(-1) if random.random() < 0.5 else part
    part = part if upright else part.rot90(int(random.integers(4)), (1, 2))
    if random.random() < 0.3:  # plain things are as common as patterned ones
        part = part.mean((1, 2), keepdim=True).lerp(part, float(random.uniform(0.15, 0.8)))
    gain = torch.tensor(np.exp(random.normal(0, 0.2, (3, 1, 1))), dtype=torch.float32).to(x.device)
    across, down = random.normal(0, 0.25, 2)
    return (to_linear(part) * gain * torch.exp(float(across) * x + float(down) * y)).clamp(0, 1)


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
        away = shift * (height(layers.surfaces, u, v) - focus)
        u, v = x - right * away, y - down * away
    places = (torch.stack([u, v], -1) * (crop / side)).flatten(0, 1)
    seen = F.grid_sample(layers.light.flatten(0, 1), places, padding_mode="border", align_corners=False)
    return _composite(seen.reshape(number, count, *seen.shape[1:]))


def _composite(light: Tensor) -> Tensor:
    """Lay layers (L, N, 4, H, W), the farthest first, over each other: (N, 3, H, W)."""
    made = light[0, :, :3]
    for layer in light[1:]:
        made = made * (1 - layer[:, 3:]) + layer[:, :3]
    return made

"""An endless source of rendered examples. Each batch is a function of seed and step alone.

A scene is a stack of surfaces, each with a matte and with part of a photograph for its texture. The photo is what a
pinhole sees of it; refocused it is the average of the views of a light field's grid, each with its own occlusion, in
linear light: what lies behind an edge shows as it does in a real camera.

Notation as in `layers`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refocal.learning.examples import RENDERED, RENDERED_APERTURE, Example, resized
from refocal.learning.networks.renderer import to_linear, to_srgb
from refocal.learning.rendered.camera import degrade, vary_tone
from refocal.learning.rendered.composites import Composites
from refocal.learning.rendered.layers import Layers, margin_of, pinhole, refocus
from refocal.learning.rendered.shapes import Place, bump, canvas, height, matte
from refocal.scenes.scene import Scene

MOST, SIDE = 400, 512  # photographs held as textures, and their short side at most
LAYERS = (3, 9)  # of a scene, background included: from, up to but without
GRIDS = (5, 7, 9)  # views in a row
STEP = 1.6  # px between the views of a point, at most: further apart they would be seen one by one
SLACK = 0.35  # by how much of a range of focus of 2 each end of a scene may fall short


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
        Whether targets are rendered; else they are the photo, for a training that does not use them.
    degraded : bool
        Whether photos have noise and JPEG blocks.
    composites : Composites, optional
        Where cut-outs before photos of known disparity come from.
    share : float
        Of the examples that are such composites.
    """

    def __init__(
        self,
        textures: Sequence[Tensor],
        *,
        crop: int,
        seed: int,
        refocused: bool = True,
        degraded: bool = True,
        composites: Composites | None = None,
        share: float = 0,
    ) -> None:
        if not textures:
            raise ValueError("textures: the rendered source needs at least one photograph, got none")
        self.textures, self.crop, self.seed = list(textures), crop, seed
        self.refocused, self.degraded = refocused, degraded
        self.composites, self.share = composites, share

    def batch(self, step: int, count: int) -> Example:
        """Return the `count` examples of a step."""
        random = np.random.default_rng([self.seed, RENDERED, step])
        composed = round(self.share * count) if self.composites is not None else 0
        made = []
        if self.composites is not None and composed:
            made.append(self._example(random, self.composites.draw(random, composed, self.crop)))
        if count > composed:
            made.append(self._example(random, draw(random, self.textures, count - composed, self.crop)))
        return Example(*map(torch.cat, zip(*made, strict=True)))

    def _example(self, random: np.random.Generator, layers: Layers) -> Example:
        """Take the photos of scenes, and refocus them."""
        device, count = layers.light.device, len(layers.disparity)
        views = int(random.choice(GRIDS))
        low, high = (self.crop * share for share in RENDERED_APERTURE)
        aperture = random.uniform(low, max(low, min(high, STEP * (views - 1))), count)
        # half of the photos are focused on something that is there
        seen = layers.disparity.flatten(1)[range(count), random.integers(self.crop**2, size=count)].cpu().numpy()
        focus = np.where(random.random(count) < 0.5, seen.clip(-1, 1), random.uniform(-1, 1, count))
        sigma = torch.tensor(np.stack([focus, aperture], 1), dtype=torch.float32, device=device)
        photo = to_srgb(pinhole(layers, self.crop))
        target = to_srgb(refocus(layers, sigma, self.crop, views)) if self.refocused else photo
        photo, target = vary_tone(random, [photo, target])
        real, front = torch.ones_like(sigma[:, 0]).bool(), torch.full_like(layers.disparity, torch.nan)
        shown = degrade(random, photo) if self.degraded else photo
        return Example(shown, target, sigma, layers.disparity, real, front)


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

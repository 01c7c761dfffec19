"""Random shapes: mattes of objects in front of each other, and the surfaces that they lie on.

Notation: x to the right and y downwards, from -1 to 1 over the crop whatever its size, beyond that outside of it; a
pixel is `pixel` = 2 / crop of that. A matte is (S, S) in [0, 1]: how much of each pixel a thing covers. A surface is
six numbers: d = s0 + s1 x + s2 y + s3 x^2 + s4 x y + s5 y^2 in units of focus, larger = nearer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LIMIT = 1.25  # of a surface's disparity, far outside of what is seen of it
SOFT = (2.0, 9.0)  # px that the edge of a soft matte takes; of a hard one it is one


@dataclass(frozen=True)
class Place:
    """Where a thing is drawn: its middle, half its size, and the canvas' coordinates (S, S)."""

    x: Tensor
    y: Tensor
    middle: tuple[float, float]
    size: float
    pixel: float


def canvas(crop: int, margin: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y, (S, S) each, of the centres of the pixels of a crop with a margin around it."""
    at = (torch.arange(-margin, crop + margin, device=device, dtype=torch.float32) + 0.5) * (2 / crop) - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return x, y


def height(surface: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the disparity of a surface (..., 6) at x and y, whose shapes end in (S, S); at most `LIMIT`."""
    s0, s1, s2, s3, s4, s5 = surface[..., None, None].unbind(-3)
    return (s0 + x * (s1 + s3 * x + s4 * y) + y * (s2 + s5 * y)).clamp(-LIMIT, LIMIT)


def bump(level: float, slant: tuple[float, float], bulge: tuple[float, float], place: Place) -> list[float]:
    """Return a surface: `level` in the middle of a place, slanted by so much over its size, falling off by `bulge`."""
    (across, down), (x0, y0) = (one / place.size for one in slant), place.middle
    a, c = (-one / place.size**2 for one in bulge)
    return [
        level - across * x0 - down * y0 + a * x0**2 + c * y0**2,
        across - 2 * a * x0,
        down - 2 * c * y0,
        a,
        0.0,
        c,
    ]


def matte(random: np.random.Generator, place: Place, kind: str) -> Tensor:
    """Draw a matte: of a "thing", soft-edged now and then, of a "window", all but that, or of thin "strokes"."""
    if kind == "strokes":
        return strokes(random, place)
    things: tuple[Callable[[np.random.Generator, Place], Tensor], ...] = (blob, box, leaves)
    inside = things[int(random.choice(len(things), p=(0.6, 0.2, 0.2)))](random, place)
    soft = float(random.uniform(*SOFT)) if random.random() < 0.3 else 1.0
    return covered(-inside if kind == "window" else inside, soft)


def covered(inside: Tensor, soft: float = 1.0) -> Tensor:
    """Return the matte of a shape from the pixels that each point lies inside of its edge."""
    return (0.5 + inside / soft).clamp(0, 1)


def blob(random: np.random.Generator, place: Place) -> Tensor:
    """Draw a smooth closed outline: a circle with waves; pixels inside of it, negative outside."""
    turn, stretch = float(random.uniform(0, math.pi)), float(np.exp(random.uniform(-0.6, 0.6)))
    u, v = _turned(place, turn)
    u = u / stretch
    away, angle = torch.hypot(u, v), torch.atan2(v, u)
    edge = torch.ones_like(away)
    for waves in range(2, 8):
        edge = edge + float(random.normal(0, 0.35 / waves**1.3)) * torch.cos(
            waves * angle + float(random.uniform(0, 2 * math.pi))
        )
    return _pixels(edge.clamp(min=0.15) - away, place)


def box(random: np.random.Generator, place: Place) -> Tensor:
    """Draw a turned rectangle with round corners (a signed distance)."""
    u, v = _turned(place, float(random.normal(0, 0.3)))
    across, down = random.uniform(0.4, 1, 2)
    radius = float(random.uniform(0, 0.3) * min(across, down))
    u, v = u.abs() - float(across - radius), v.abs() - float(down - radius)
    outside = torch.hypot(u.clamp(min=0), v.clamp(min=0)) + torch.maximum(u, v).clamp(max=0)
    return _pixels(radius - outside, place)


def leaves(random: np.random.Generator, place: Place) -> Tensor:
    """Draw what has many holes and bays, as foliage has: noise above a threshold, within a blob."""
    cells, side = int(random.integers(6, 20)), place.x.shape[-1]
    noise = torch.tensor(random.normal(size=(1, 1, cells, cells)), dtype=torch.float32, device=place.x.device)
    noise = F.interpolate(noise, size=(side, side), mode="bicubic", align_corners=False)[0, 0]
    noise = noise - float(random.uniform(-0.4, 0.4))
    down, right = torch.gradient(noise)
    return torch.minimum(noise / torch.hypot(down, right).clamp(min=0.3 * cells / side), blob(random, place))


def strokes(random: np.random.Generator, place: Place) -> Tensor:
    """Draw the matte of thin things: blades of grass from below, or twigs, wires and bars of any direction."""
    grass, count = bool(random.random() < 0.4), int(random.integers(2, 16))
    u, v = _turned(place, float(random.normal(0, 0.1) if grass else random.uniform(0, math.pi)))
    u, v = u * place.size, -v * place.size  # v along the strokes, upwards

    def drawn(low: float, high: float) -> Tensor:
        return torch.tensor(random.uniform(low, high, (count, 1, 1)), dtype=torch.float32, device=u.device)

    start, lean, bend = drawn(-1.2, 1.2), drawn(-0.4, 0.4), drawn(-0.5, 0.5) * (1 if grass else 0.3)
    width = drawn(0.6, 4.0) * float(random.uniform(0.4, 1.6))
    if not grass and random.random() < 0.4:  # bars: parallel, evenly apart
        start = torch.linspace(-1.2, 1.2, count, device=u.device)[:, None, None]
        lean, bend, width = (one[:1].expand(count, 1, 1) for one in (lean, bend, width))
    if grass:
        width = width * (1 - (v + 1.2) / (0.6 + drawn(0.3, 1.6))).clamp(0, 1)  # to the tip
    away = (u - (start + lean * v + bend * v**2)).abs() / torch.sqrt(1 + (lean + 2 * bend * v) ** 2)
    thin = (0.5 + width / 2 - away / place.pixel).clamp(0, 1)
    return torch.minimum(thin, width).amax(0)  # thinner than a pixel covers only that much of it


def _turned(place: Place, turn: float) -> tuple[Tensor, Tensor]:
    """Return coordinates around a place, in units of its size."""
    u, v = (place.x - place.middle[0]) / place.size, (place.y - place.middle[1]) / place.size
    return u * math.cos(turn) + v * math.sin(turn), v * math.cos(turn) - u * math.sin(turn)


def _pixels(inside: Tensor, place: Place) -> Tensor:
    return inside * (place.size / place.pixel)

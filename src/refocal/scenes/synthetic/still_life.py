"""Random arrangements for rendered light fields: objects on a table, and objects hanging before a wall.

The depth cues of photographs hold here too: near objects stand lower, are larger and hide what is behind them;
far ones fade a little into the air.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from refocal.scenes.synthetic.mattes import Matte, Outline, below, blob, card, disc, ring, sticks
from refocal.scenes.synthetic.light_field import Arrangement, Layer
from refocal.scenes.synthetic.textures import GROUPS, MATERIALS, Texture, colour, material, photograph

Rng = np.random.Generator
MARGIN = 8  # px of texture around what the centre view shows: other views look past its edges


def arrange(group: str, rng: Rng, *, grid: tuple[int, int], size: tuple[int, int]) -> Arrangement:
    """Draw an arrangement with the photographs of a group.

    The disparity range, its offset, and so the aperture, differ from one to the next: 1.0 to 2.4 px/view about a middle
    within 0.3 px/view of zero.
    """
    H, _ = size
    span, middle = rng.uniform(1.0, 2.4), rng.uniform(-0.3, 0.3)
    far, near = middle - span / 2, middle + span / 2
    table = rng.random() < 0.6
    edge = rng.uniform(0.35, 0.55) * H  # of the table
    reach = rng.uniform(0.6, 0.8) * span  # how far forward it comes

    layers = [_wall(group, rng, size, far, 0.04 * span if table else 0.35 * span)]
    if table:
        layers.append(_table(group, rng, size, far=far, reach=reach, edge=edge))
    count = int(rng.integers(3, 6))
    for number in range(count):
        depth = (number + rng.uniform(0.3, 0.9)) / count if number < count - 1 else 1.0  # the last is the nearest
        disparity = far + depth * span
        scale = 0.55 + 0.75 * depth
        height = scale * rng.uniform(0.26, 0.36) * H
        floor = edge + (H - edge) * min(disparity - far, reach * 1.25) / reach if table else None
        layers += _thing(group, rng, size, number, disparity=disparity, height=height, floor=floor)
    fade = rng.uniform(0.05, 0.25)
    tone = 0.7 * (0.7 + 0.3 * colour(rng)) ** 2.2 if rng.random() < 0.6 else np.full(3, 0.03)
    air = (float(tone[0]), float(tone[1]), float(tone[2]))
    return Arrangement(tuple(layers), grid, size, haze=air, haze_share=fade, haze_range=(far, near))


def _wall(group: str, rng: Rng, size: tuple[int, int], far: float, slant: float) -> Layer:
    """Return the backdrop: the group's photograph, one side `slant` px/view nearer than the other."""
    H, W = size
    texture = photograph(GROUPS[group][0], rng, H + 2 * MARGIN, W + 2 * MARGIN)
    gradient = slant / (W - 1) * rng.choice([-1, 1])
    return Layer(texture, _shifted(MARGIN, MARGIN), (far + slant / 2, 0.0, float(gradient)))


def _table(group: str, rng: Rng, size: tuple[int, int], *, far: float, reach: float, edge: float) -> Layer:
    """Return a plane that comes `reach` px/view forward from the wall to the lower border, seen in perspective."""
    H, W = size
    texture = _surface(group, rng, 2 * (H - int(edge)) + 2 * MARGIN, 2 * W)
    slope = reach / (H - 1 - edge)
    # Texture rows and columns a pixel shrink by half from the table's far edge (weight 2) to the lower border (1).
    fall = 1 / (H - 1 - edge)
    centred = _shifted(-edge, -(W - 1) / 2)
    perspective = np.array([[2.0, 0, 0], [0, 2.0, 0], [fall, 0, 1.0]])
    placement = _shifted(MARGIN, W) @ perspective @ centred
    return Layer(texture, placement, (far + slope * ((H - 1) / 2 - edge), slope, 0.0), Matte(below(), (edge, 0.0)))


def _thing(
    group: str, rng: Rng, size: tuple[int, int], number: int, *, disparity: float, height: float, floor: float | None
) -> list[Layer]:
    """Return an object, with its shadow where it stands on the table: its foot is where the table has its disparity."""
    H, W = size
    outline, half, turn = _shape(rng, height, number, hangs=floor is None)
    x = W * ((number * 0.382 + rng.uniform(-0.06, 0.06)) % 0.76 + 0.12)  # golden ratio: neighbours in depth stand apart
    y = floor - 0.92 * half if floor is not None else rng.uniform(0.22, 0.78) * H
    texture = _shaded(_surface(group, rng, 2 * int(height) + 2 * MARGIN, 2 * int(height) + 2 * MARGIN), rng)
    placement = _shifted(texture.shape[0] / 2, texture.shape[1] / 2) @ _turned(turn) @ _shifted(-y, -x)
    gradient = rng.uniform(-0.0012, 0.0012)
    plane = (disparity - gradient * (x - (W - 1) / 2), 0.0, gradient)
    thing = Layer(texture, placement, plane, Matte(outline, (y, x), turn))
    if floor is None:
        return [thing]
    blot = Matte(card(0.12 * half, 1.3 * half, 0.05 * half), (y + 0.95 * half, x + 0.12 * half), 0.0, 0.3 * half, 0.49)
    return [Layer(np.full((4, 4, 3), 0.01, np.float32), np.eye(3), plane, blot), thing]


def _shape(rng: Rng, height: float, number: int, *, hangs: bool) -> tuple[Outline, float, float]:
    """Return an outline, how far its foot is below its middle, and its turn."""
    half = height / 2
    if hangs and number % 3 == 2:
        return _twigs(rng, 1.6 * height, max(2.0, 0.05 * height)), half, rng.uniform(-0.5, 0.5)
    makers: list[Callable[[], tuple[Outline, float]]] = [
        lambda: (disc(half), 0.0),
        lambda: (card(height, height * rng.uniform(0.65, 1.3), 0.06 * height), rng.uniform(-0.08, 0.08)),
        lambda: (blob(half, tuple((n, rng.uniform(0.02, 0.12), rng.uniform(0, 6)) for n in (2, 3, 5))), 0.0),
        lambda: (ring(0.82 * half, 0.3 * half), 0.0),
        lambda: (blob(0.85 * half, ((int(rng.integers(5, 8)), 0.2, rng.uniform(0, 6)),)), 0.0),
        lambda: (_twigs(rng, height, max(2.0, 0.06 * height)), 0.0),
    ]
    outline, turn = makers[int(rng.integers(len(makers)))]()
    return outline, half, turn


def _twigs(rng: Rng, height: float, width: float) -> Outline:
    """Return a stalk with side twigs."""
    top, bottom = -height / 2, height / 2
    ends = [(top, rng.uniform(-0.1, 0.1) * height, bottom, 0.0)]
    for place, side in zip(rng.uniform(-0.4, 0.3, 5), (-1, 1, -1, 1, -1), strict=True):
        reach = rng.uniform(0.2, 0.4) * height
        ends.append((place * height, 0.0, place * height - 0.8 * reach, float(side * reach)))
    return sticks(tuple(ends), width)


def _surface(group: str, rng: Rng, height: int, width: int) -> Texture:
    """Return a texture for a thing: a photograph of the group, or a procedural material, as often."""
    if rng.random() < 0.5:
        return photograph(GROUPS[group][int(rng.integers(2))], rng, height, width)
    return material(str(rng.choice(MATERIALS)), rng, height, width)


def _shaded(texture: Texture, rng: Rng) -> Texture:
    """Return the texture lit from the upper left or right."""
    h, w = texture.shape[:2]
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None] * rng.choice([-1, 1])
    return np.asarray(np.clip(texture * (0.85 - 0.3 * y + 0.2 * x)[..., None], 0, 1), np.float32)


def _shifted(y: float, x: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0, y], [0, 1.0, x], [0, 0, 1.0]])


def _turned(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])

"""Mattes of rendered objects: how much of a pixel an object covers, at any sub-pixel position.

An outline gives the signed distance, in pixels, from its edge at (y, x) relative to the object's middle: negative
inside. A matte is an outline put somewhere, turned, with an edge of a given softness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Outline = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Matte:
    """An outline in the picture.

    Attributes
    ----------
    outline
        Its shape.
    middle
        (y, x) of its middle, in pixels of the centre view.
    turn
        Rotation in radians.
    softness
        Width of the edge in pixels: 1.2 is an anti-aliased edge, more that of a shadow.
    opacity
        Coverage inside.
    """

    outline: Outline
    middle: tuple[float, float]
    turn: float = 0.0
    softness: float = 1.2
    opacity: float = 1.0

    def __call__(self, y: Array, x: Array) -> Array:
        """Return the coverage in [0, 1] at pixels (y, x) of the centre view."""
        y, x = y - self.middle[0], x - self.middle[1]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        distance = self.outline(cos * y - sin * x, sin * y + cos * x)
        return np.asarray(self.opacity * np.clip(0.5 - distance / self.softness, 0, 1))


def disc(radius: float) -> Outline:
    """Return a round outline."""
    return lambda y, x: np.hypot(y, x) - radius


def ring(radius: float, width: float) -> Outline:
    """Return a ring of a given width about a radius."""
    return lambda y, x: np.abs(np.hypot(y, x) - radius) - width / 2


def card(height: float, width: float, corner: float) -> Outline:
    """Return a rectangle with rounded corners."""

    def outline(y: Array, x: Array) -> Array:
        out_y, out_x = np.abs(y) - height / 2 + corner, np.abs(x) - width / 2 + corner
        outside = np.hypot(np.maximum(out_y, 0), np.maximum(out_x, 0))
        return np.asarray(outside + np.minimum(np.maximum(out_y, out_x), 0) - corner)

    return outline


def blob(radius: float, waves: tuple[tuple[int, float, float], ...]) -> Outline:
    """Return a closed curve r(t) = radius (1 + sum of share cos(n t + phase)) over its waves (n, share, phase)."""

    def outline(y: Array, x: Array) -> Array:
        turn = np.arctan2(y, x)
        edge = 1 + sum(share * np.cos(n * turn + phase) for n, share, phase in waves)
        slope = sum(-n * share * np.sin(n * turn + phase) for n, share, phase in waves)
        # Radial distance x cosine of the curve's slant: the distance to first order.
        return np.asarray((np.hypot(y, x) - radius * edge) / np.hypot(1, slope / edge))

    return outline


def sticks(ends: tuple[tuple[float, float, float, float], ...], width: float) -> Outline:
    """Return thin rods with round ends, each from (y0, x0) to (y1, x1): twigs, stalks, wires."""

    def outline(y: Array, x: Array) -> Array:
        nearest = np.full(np.broadcast(y, x).shape, np.inf)
        for y0, x0, y1, x1 in ends:
            dy, dx = y1 - y0, x1 - x0
            place = np.clip(((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx), 0, 1)
            nearest = np.minimum(nearest, np.hypot(y - y0 - place * dy, x - x0 - place * dx))
        return nearest - width / 2

    return outline


def below() -> Outline:
    """Return everything below the middle: a table, a floor."""
    return lambda y, x: -y + 0 * x

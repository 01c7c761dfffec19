"""Colour: luma, sRGB to linear light and back, and a colour map for numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Turbo by polynomials of degree 5 (Mikhailov & Tatarinov, Google 2019, Apache-2.0): rows red, green, blue.
_TURBO = np.array(
    [
        [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
        [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
        [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
    ],
    np.float32,
)
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709-6, item 3.2


def to_linear(x: NDArray[Any]) -> NDArray[np.float32]:
    """Decode sRGB values to linear light, float32 (IEC 61966-2-1:1999, 5.2)."""
    x = np.asarray(x, np.float32)
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(x: NDArray[Any]) -> NDArray[np.float32]:
    """Encode linear light as sRGB values, float32 (IEC 61966-2-1:1999, 5.2): the inverse of `to_linear`."""
    x = np.asarray(x, np.float32)
    coded = 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(x <= 0.0031308, x * 12.92, coded).astype(np.float32)


def turbo(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour (H, W) in [0, 1], blue to red: uint8 (H, W, 3)."""
    x = np.clip(share, 0, 1)[..., None]
    colour = np.zeros((*share.shape, 3), np.float32)
    for power in reversed(range(_TURBO.shape[1])):  # Horner's scheme
        colour = colour * x + _TURBO[:, power]
    pixels: NDArray[np.uint8] = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return pixels

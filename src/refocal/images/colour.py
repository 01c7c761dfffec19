"""Colour: luma, and sRGB to linear light and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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

"""Numbers to colours."""

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


def turbo(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour (H, W) in [0, 1], blue to red: uint8 (H, W, 3)."""
    x = np.clip(share, 0, 1)[..., None]
    colour = np.zeros((*share.shape, 3), np.float32)
    for power in reversed(range(_TURBO.shape[1])):  # Horner's scheme
        colour = colour * x + _TURBO[:, power]
    pixels: NDArray[np.uint8] = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return pixels

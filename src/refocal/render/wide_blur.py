"""Blurs wider than the widest of a renderer, by rendering at reduced sizes.

What is rendered at full size keeps its details, what is rendered at half size gives all that is coarser (a Laplacian
pyramid: Burt & Adelson, IEEE Trans. Commun. 1983):

    picture = full + enlarged(half - halved(full))

Where a blur is wider than the renderer's widest, the full picture has no details, and the half one is right; where the
scene is sharp, both halves are the same, and the full one stays; where a wide blur of something near spreads over what
is sharp, the veil comes from the half picture and the details from the full one. `half` is made in the same way.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import Pixels, as_photo, like_input, stretched

SMALLEST = 16  # px: smaller pictures are not halved
BAND = 128  # rows at once, even

Photo = NDArray[np.float32]
Render = Callable[[Pixels, Photo, float], Pixels]


def render_wide_blur(
    pixels: Pixels, disparity: Photo, aperture: float, *, widest: float, limit: float, render: Render
) -> Pixels:
    """Render a picture whose blur may be wider than the renderer can.

    Parameters
    ----------
    pixels
        A picture as in `images.Image`.
    disparity
        (H, W).
    aperture
        In pixels.
    widest
        Largest blur diameter in the picture, in pixels, at this aperture.
    limit
        Largest that `render` can.
    render
        (pixels, disparity, aperture) -> as the pixels.

    Returns
    -------
    As `pixels`; where `widest` is within the limit, what `render` gives. Memory beyond what that takes: three photos of
    a quarter of the pixels.
    """
    full = render(pixels, disparity, aperture)
    if widest <= limit or min(pixels.shape[:2]) < SMALLEST:
        return full
    half = render_wide_blur(
        _halved(pixels), disparity[::2, ::2], aperture / 2, widest=widest / 2, limit=limit, render=render
    )
    change = as_photo(half) - _halved(full)
    for top in range(0, len(full), BAND):
        band = full[top : top + BAND]
        rows, columns = np.arange(top, top + len(band)), np.arange(band.shape[1])
        full[top : top + BAND] = like_input(as_photo(band) + stretched(change, rows, columns, (0.5, 0.5)), band)
    return full


def _halved(pixels: Pixels) -> Photo:
    """Return a photo of half the size, each pixel the mean light of 2 x 2; of an odd side the last pixel is doubled."""
    height, width = pixels.shape[:2]
    out = np.empty((-(-height // 2), -(-width // 2), 3), np.float32)
    for top in range(0, height, BAND):
        light = to_linear(as_photo(pixels[top : top + BAND]))
        light = np.pad(light, ((0, light.shape[0] % 2), (0, width % 2), (0, 0)), mode="edge")
        mean = (light[::2, ::2] + light[1::2, ::2] + light[::2, 1::2] + light[1::2, 1::2]) / 4
        out[top // 2 : top // 2 + len(mean)] = to_srgb(mean)
    return out.clip(0, 1)

"""Blurs wider than the widest of a renderer, by rendering at reduced sizes.

What is rendered at full size keeps its details, what is rendered at half size gives all that is coarser (a Laplacian
pyramid: Burt & Adelson, IEEE Trans. Commun. 1983):

    picture = full + enlarged(half - halved(full))

Where a blur is wider than the renderer's widest, the full picture has no details, and the half one is right; where the
scene is sharp, both halves are the same, and the full one stays; where a wide blur of something near spreads over what
is sharp, the veil comes from the half picture and the details from the full one. `half` is made in the same way, and
before: where all is blurred so much that it has no details (`COARSE`), the full picture is the enlarged half one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import Pixels, as_photo, like_input, stretched
from refocal.resources import in_threads

SMALLEST = 16  # px: smaller pictures are not halved
BAND = 128  # rows at once, even
COARSE = 7  # px: wider blurs are computed at half of the size or less by the lens's renderer, and no coarser here

CODES = to_linear(np.arange(256) * np.float32(1 / 255))  # linear light of the 8-bit values

Photo = NDArray[np.float32]
Render = Callable[[Pixels, Photo, float, Photo | None], Pixels]


def render_wide_blur(
    pixels: Pixels, disparity: Photo, aperture: float, *, widest: float, limit: float, render: Render, threads: int = 1
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
        (pixels, disparity, aperture, half) -> as the pixels. `half` is the picture of half the size where there is one,
        float32: what is blurred by more than `COARSE` all around may be `enlarged` from it.
    threads
        For what is done here, band by band.

    Returns
    -------
    As `pixels`; where `widest` is within the limit, what `render` gives. Memory beyond what that takes: three photos of
    a quarter of the pixels.
    """
    if widest <= limit or min(pixels.shape[:2]) < SMALLEST:
        return render(pixels, disparity, aperture, None)
    half = as_photo(
        render_wide_blur(
            _halved(pixels, threads),
            disparity[::2, ::2],
            aperture / 2,
            widest=widest / 2,
            limit=limit,
            render=render,
            threads=threads,
        )
    )
    full = render(pixels, disparity, aperture, half)
    change = half - _halved(full, threads)

    def add(top: int) -> None:
        band = full[top : top + BAND]
        more = enlarged(change, slice(top, top + len(band)), slice(0, band.shape[1]))
        full[top : top + BAND] = like_input(as_photo(band) + more, band)

    in_threads(add, range(0, len(full), BAND), threads)
    return full


def enlarged(half: Photo, rows: slice, columns: slice) -> Photo:
    """Return rows and columns of the picture of twice the size, bilinearly."""
    return stretched(half, np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), (0.5, 0.5))


def _halved(pixels: Pixels, threads: int) -> Photo:
    """Return a photo of half the size, each pixel the mean light of 2 x 2; of an odd side the last pixel is doubled."""
    height, width = pixels.shape[:2]
    out = np.empty((-(-height // 2), -(-width // 2), 3), np.float32)

    def halve(top: int) -> None:
        light = _light(pixels[top : top + BAND])
        light = np.pad(light, ((0, light.shape[0] % 2), (0, width % 2), (0, 0)), mode="edge")
        mean = (light[::2, ::2] + light[1::2, ::2] + light[::2, 1::2] + light[1::2, 1::2]) / 4
        out[top // 2 : top // 2 + len(mean)] = to_srgb(mean).clip(0, 1)

    in_threads(halve, range(0, height, BAND), threads)
    return out


def _light(pixels: Pixels) -> Photo:
    """Return a picture's linear light, (H, W, 3); of 8 bits by a table."""
    if pixels.dtype == np.uint8 and pixels.ndim == 3:
        return CODES[pixels[..., :3]]
    return to_linear(as_photo(pixels))

"""The generator that makes a photo sharp, on photos of any size.

Photos are deblurred at a short side of at most `SIDE` pixels, and what that changed is enlarged and added: a blur that
is wide in a large photo is one that the network knows in the small one, and what is sharp keeps every detail.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refocal.images.image import LARGE, Pixels, as_photo, like_input, reduced, stretched
from refocal.images.sharpness import is_blurred
from refocal.inference.session import run
from refocal.model.sessions import Opened
from refocal.render.tiles import refocus_by_tiles
from refocal.resources import in_threads

When = Literal["auto", "always", "never"]
SIDE = 640  # px
BAND = 128  # rows at once


class Deblurring:
    """The deblurring generator.

    Parameters
    ----------
    opened
        Its file.
    tile, overlap
        In pixels, see `refocus_by_tiles`.

    Attributes
    ----------
    weights
        Digest of its weights.
    """

    def __init__(self, opened: Opened, *, tile: int, overlap: int) -> None:
        self._session, metadata, self._conventions = opened
        self.weights = metadata.get("weights", "")[:12]
        self._tile, self._overlap = tile, overlap

    def __call__(self, pixels: Pixels, when: When = "always") -> Pixels:
        """Return a picture as in `images.Image` with what is blurred made sharp; see `change`."""
        return added(pixels, self.change(pixels, when))

    def change(self, pixels: Pixels, when: When = "always") -> NDArray[np.float32]:
        """Return what is to be added: float32 (h, w, 3) in [-1, 1], to be stretched over the picture.

        A single 0 where it is to stay: `when` is "never", or "auto" and the picture is sharp.
        """
        if check_when(when) == "never" or (when == "auto" and not is_blurred(pixels)):
            return np.zeros((1, 1, 3), np.float32)
        small = reduced(pixels, SIDE)
        made = refocus_by_tiles(
            small,
            lambda tile: run(self._session, tile),
            multiple=self._conventions.size_multiple,
            tile=self._tile,
            overlap=self._overlap,
        )
        return np.asarray(made - small)


def added(pixels: Pixels, change: NDArray[np.float32]) -> Pixels:
    """Return a picture (H, W …) with a change (h, w, 3) stretched over it and added."""
    if not change.any():
        return pixels
    height, width = pixels.shape[:2]
    columns, scale = np.arange(width), (change.shape[0] / height, change.shape[1] / width)
    out = np.empty_like(pixels)

    def add(top: int) -> None:
        band = pixels[top : top + BAND]
        rows = np.arange(top, top + len(band))
        out[top : top + BAND] = like_input(as_photo(band) + stretched(change, rows, columns, scale), band)

    in_threads(add, range(0, height, BAND), 0 if height * width > LARGE else 1)
    return out


def check_when(when: str) -> str:
    """Return `when`, or raise a ValueError where it is none of auto, always and never."""
    if when not in get_args(When):
        raise ValueError(f"deblur must be one of {', '.join(get_args(When))}, got {when!r}")
    return when

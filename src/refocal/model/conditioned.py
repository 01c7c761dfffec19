"""A generator that is told focus and aperture as numbers, and what numbers those may be."""

import warnings
from typing import Any

import numpy as np

from refocal.images.image import Pixels
from refocal.inference.session import Conventions, run
from refocal.render.tiles import refocus_by_tiles

WIDEST = 1e6  # px: a larger aperture is a mistake


class Conditioned:
    """A generator that is told focus and aperture as numbers, on photos of any size.

    Parameters
    ----------
    session, conventions
        Of the whole model.
    tile, overlap
        In pixels, see `refocus_by_tiles`.
    """

    def __init__(self, session: Any, conventions: Conventions, *, tile: int, overlap: int) -> None:
        self._session, self._conventions = session, conventions
        self._tile, self._overlap, self._warned = tile, overlap, False

    def __call__(self, pixels: Pixels, focus: float, aperture: float, *, given: bool) -> Pixels:
        """Refocus a picture as in `images.Image`; warn, once, of a `given` aperture beyond those of the training."""
        smallest, largest = self._conventions.aperture_range
        if given and not self._warned and not smallest <= aperture <= largest:
            self._warned = True
            warnings.warn(
                f"aperture {aperture:.3g} px lies outside the {smallest:.3g} to {largest:.3g} px of the training data",
                stacklevel=4,  # who called the Refocuser
            )
        return refocus_by_tiles(
            pixels,
            lambda tile: run(self._session, tile, focus=focus, aperture=aperture),
            multiple=self._conventions.size_multiple,
            tile=self._tile,
            overlap=self._overlap,
        )


def check_focus(focus: float, focus_range: tuple[float, float]) -> None:
    """Raise a ValueError for a focus out of its range."""
    far, near = focus_range
    if not _is_number(focus) or not far <= focus <= near:  # NaN fails too
        raise ValueError(f"focus must be between {far:g} (farthest) and {near:g} (nearest), got {focus!r}")


def check_aperture(aperture: float) -> float:
    """Return an aperture, or raise a ValueError for one that no lens has."""
    if not _is_number(aperture) or not 0 <= aperture < WIDEST:
        raise ValueError(
            f"aperture must be a blur diameter in pixels, below {WIDEST:g} and 0 or more, got {aperture!r}"
        )
    return aperture


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)

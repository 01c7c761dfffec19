"""One photo from what its file held to what is written: for the commands that refocus photos as they are."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import focus_at
from refocal.depth.portrait import portrait_disparity
from refocal.images.image import Image, Pixels
from refocal.model.deblurring import When
from refocal.model.refocuser import Refocuser


@dataclass(frozen=True)
class PhotoSettings:
    """How photos are refocused.

    Attributes
    ----------
    focus
        -1 the farthest, +1 the nearest plane; None: `at` says.
    at
        x and y of the point to focus on, as fractions of the upright photo.
    aperture
        As in `Refocuser`, in pixels; None: as in training.
    deblur
        Whether the photo is made sharp first, as in `Refocuser`.
    """

    focus: float | None = None
    at: tuple[float, float] | None = None
    aperture: float | None = None
    deblur: When = "auto"


class Refocused(NamedTuple):
    """A refocused photo, its focus and aperture, and where its depth is from."""

    pixels: Pixels
    focus: float
    aperture: float
    depth: Literal["given", "portrait", "model", "none"]


def refocus_image(
    refocuser: Refocuser,
    image: Image,
    settings: PhotoSettings,
    disparity: NDArray[np.float32] | None = None,
    *,
    data: Any = None,
) -> Refocused:
    """Refocus a picture.

    Parameters
    ----------
    disparity
        (H, W) in focus units; None: that inside a portrait photo, else the model's own.
    data
        Path or bytes of its file, in which the depth of a portrait photo lies.

    Raises
    ------
    ValueError
        Neither or both of focus and point, a point where the model finds no disparity, or as `Refocuser`.
    """
    if (settings.focus is None) == (settings.at is None):
        raise ValueError("give either --focus or --at")
    known = refocuser.finds_depth
    if settings.at is not None and not known:
        raise ValueError(f"--at: the model {refocuser.model} finds no disparity; give --focus")
    origin: Literal["given", "portrait", "model", "none"] = "none"
    if disparity is not None:
        origin = "given"
    elif known and data is not None:
        disparity = portrait_disparity(data, image.pixels)
        origin = "none" if disparity is None else "portrait"
    pixels = refocuser.deblurred(image.pixels, settings.deblur)
    if disparity is None and known:
        disparity, origin = refocuser.analyse(pixels), "model"
    focus = settings.focus
    if focus is None and settings.at is not None and disparity is not None:
        focus = focus_at(disparity, *settings.at)
    level = 0.0 if focus is None else focus
    aperture = refocuser.aperture_for(*pixels.shape[:2]) if settings.aperture is None else settings.aperture
    if disparity is None:
        made = refocuser(pixels, level, settings.aperture, deblur="never")
    else:
        made = refocuser.render(pixels, disparity, level, settings.aperture)
    return Refocused(made, level, aperture, origin)

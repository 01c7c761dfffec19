"""The training example that every source of data produces, and what the sources share."""

from typing import NamedTuple

import torch
from torch.nn import functional as F

ORDER, CROP, RENDERED, ON_THE_FLY, DEGRADED = 0, 1, 2, 3, 4  # keep the random streams of one seed apart
RENDERED_APERTURE = (0.01, 0.06)  # of the crop's side: the range of apertures that targets are rendered with


class Example(NamedTuple):
    """A crop, or a batch of them with N in front of every shape.

    Attributes
    ----------
    photo, target : tensor
        (3, c, c) float32, sRGB in [0, 1]: a place, and the same place refocused.
    sigma : tensor
        (2,): focus in [-1, 1] and aperture in pixels.
    disparity : tensor
        (1, c, c) in units of focus; NaN where it is not known.
    real : tensor
        (), bool: whether `target` was seen by a camera; else it is still to be rendered from the disparity. Where the
        views of a light field are to be averaged, `target` is NaN until that is done (`data.batches`).
    front : tensor
        (1, c, c): 1 where the thing in front is, 0 elsewhere, by a mask; NaN where there is none.
    """

    photo: torch.Tensor
    target: torch.Tensor
    sigma: torch.Tensor
    disparity: torch.Tensor
    real: torch.Tensor
    front: torch.Tensor


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """(3, a, a) -> (3, side, side), antialiased."""
    if picture.shape[-1] == side:
        return picture
    return F.interpolate(picture[None], size=(side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)

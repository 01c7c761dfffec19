"""Whether a photo is sharp: refocusing cannot sharpen what is blurred already.

At an edge the gradient is blurred twice, a little and a little more. Of a step with a blur of its own, sigma, the ratio
of the two gradients is R = sqrt((sigma^2 + b^2) / (sigma^2 + a^2)), from which sigma follows (Zhuo & Sim, "Defocus map
estimation from a single image", Pattern Recognition 44(9), 2011, eq. 5-7, there with a = 0, which noise disturbs).

`python benchmarks/sharpness.py FOLDER …` prints how well the share of soft edges tells photos from their own copies
blurred by a Gaussian of 2, 3 and 4 px: of 132 photos (middle views of 5 light fields, and the pictures of 6 RGB-D sets)
none is warned of, of the copies 130, 132 and 132; the areas under the ROC curve are .9998, 1 and 1.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.images.colour import LUMA
from refocal.images.image import Pixels, reduced

SIDE = 540  # px: short side at which sharpness is measured; what is blurred at full size only is sharp enough
BLURS = (1.0, 2.0)  # px: a and b
EDGE = 0.02  # of the gradient, a pixel: weaker ones may be noise
EDGES = 200  # at least: fewer are no evidence
SOFT = 1.5  # px: sigma of a soft edge
SOME, MUCH, ALL = 0.25, 0.4, 0.9  # share of soft edges of a photo to deblur, of a partly and a wholly blurred one

Plane = NDArray[np.float32]


def soft_share(pixels: Pixels) -> float | None:
    """Return which share of a photo's edges is soft, in [0, 1]; None where it has hardly any edges.

    Parameters
    ----------
    pixels
        As in `images.Image`. Measured at a short side of at most 540 px; costs some 0.1 s.
    """
    grey = reduced(pixels, SIDE) @ LUMA
    if min(grey.shape) < 2 * round(3 * BLURS[1]):
        return None
    down, right = np.gradient(_blurred(grey, BLURS[0]))
    little, more = np.hypot(down, right), np.hypot(*np.gradient(_blurred(grey, BLURS[1])))
    inner = little[1:-1, 1:-1]
    crest = np.where(  # across the edge
        np.abs(down) > np.abs(right), _is_top(little, 0), _is_top(little, 1)
    )[1:-1, 1:-1]
    edges = crest & (inner > EDGE)
    if edges.sum() < EDGES:
        return None
    ratio2 = (inner[edges] / more[1:-1, 1:-1][edges].clip(1e-6)) ** 2
    a, b = BLURS
    # sigma > SOFT, solved for the ratio: no division by what may be 0.
    return float(np.mean(ratio2 < (SOFT**2 + b**2) / (SOFT**2 + a**2)))


def is_blurred(pixels: Pixels) -> bool:
    """Tell whether so much of a photo is blurred already that it is to be made sharp first."""
    share = soft_share(pixels)
    return share is not None and share > SOME


def warn_if_blurred(pixels: Pixels) -> None:
    """Warn, in one line, of a photo that is blurred already, as said by who calls the Refocuser."""
    share = soft_share(pixels)
    if share is not None and share > MUCH:
        part = "all over: nothing in it" if share > ALL else f"in part ({share:.0%} of its edges are soft): those parts"
        warnings.warn(f"the photo is blurred already, {part} can become sharp", stacklevel=4)


def _blurred(grey: Plane, sigma: float) -> Plane:
    radius = round(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for _ in range(2):  # along one axis, then, turned, along the other
        wide = np.pad(grey, ((radius, radius), (0, 0)), mode="reflect")
        grey = np.asarray(sum(w * wide[k : k + len(grey)] for k, w in enumerate(weights)), np.float32).T
    return grey


def _is_top(values: NDArray[Any], axis: int) -> NDArray[np.bool_]:
    """Return where a value is above its two neighbours; at the borders these are those of the other end."""
    return np.asarray((values > np.roll(values, 1, axis)) & (values >= np.roll(values, -1, axis)))

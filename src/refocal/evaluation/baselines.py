"""Baselines of the evaluation: a copy of the photo, a blur that is blind to depth, and a renderer that knows it.

A method is a function (scene, focus) -> 8-bit picture (H, W, 3), as large as the scene's photo.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from refocal.evaluation.metrics import ROUNDING, Pixels
from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import as_photo
from refocal.render.reference import render
from refocal.scenes.scene import Scene
from refocal.shiftadd.shift_and_add import Pupil

T = TypeVar("T", bound=np.generic)
Method = Callable[[Scene, float], Pixels]

# Candidates for sigma / lens aperture, denser where blur is small. A disk as wide as the aperture, which is the largest
# blur that a scene has, has the standard deviation aperture / 4 along each axis: beyond .35 no level can want it.
KNOTS = (-1.0, -0.5, 0.0, 0.5, 1.0)
FRACTIONS = 0.35 * np.linspace(0, 1, 25) ** 1.5


def identity(scene: Scene, focus: float) -> Pixels:  # noqa: ARG001  a method takes both
    """Return the photo as it is."""
    return np.array(scene.photo())


@dataclass(frozen=True)
class Oracle:
    """The photo rendered with the disparity of its own light field: what knowing the depth is worth.

    `pupil` and `linear` as the scenes were prepared.
    """

    pupil: Pupil = "circular"
    linear: bool = True

    def __call__(self, scene: Scene, focus: float) -> Pixels:
        """Render a scene's photo as seen from the places of its views; of a focal stack, from all over the pupil."""
        photo, disparity = as_photo(scene.photo()), scene.disparity().astype(np.float32)
        aperture, grid = scene.aperture, scene.grid if max(scene.grid) > 1 else None
        return to_8bit(render(photo, disparity, focus, aperture, pupil=self.pupil, linear=self.linear, grid=grid))


@dataclass(frozen=True)
class Gaussian:
    """One Gaussian blur a focus level, in linear light, the same all over the picture: the baseline to beat.

    Parameters
    ----------
    focus
        The levels that it was fitted on, rising.
    fraction
        Sigma of each, as a fraction of the scene's lens aperture, so that scenes of small and large blur share it.
    """

    focus: tuple[float, ...]
    fraction: tuple[float, ...]

    def __call__(self, scene: Scene, focus: float) -> Pixels:
        """Blur the photo of a scene; between levels sigma is interpolated."""
        sigma = float(np.interp(focus, self.focus, self.fraction)) * scene.lens_aperture
        return blur(scene.photo(), sigma)


def fit_gaussian(scenes: Sequence[Scene], *, at_most: int = 64) -> Gaussian:
    """Fit one sigma a focus level on training scenes: the one of the least squared error.

    Where scenes have levels of their own, a few even ones are fitted, and each of theirs counts for its neighbours.

    Each scene's photo is blurred by every candidate once and compared with all its slices; the errors are averaged as
    logarithms, since PSNR is one; and the minimum of the curve through them is taken. One scene
    is held in memory at a time.

    Parameters
    ----------
    scenes
        The training scenes.
    at_most
        Of more scenes, so many are taken, evenly over the list: a handful of numbers is fitted.

    Raises
    ------
    ValueError
        Where there is no scene.
    """
    if not scenes:
        raise ValueError("scenes: the Gaussian baseline is fitted on training scenes, got none")
    levels = {scene.focus for scene in scenes}
    knots = scenes[0].focus if len(levels) == 1 else KNOTS
    errors = np.zeros((len(knots), len(FRACTIONS)))
    for index in np.unique(np.linspace(0, len(scenes) - 1, min(at_most, len(scenes))).round().astype(int)):
        scene = scenes[index]
        errors += _shares(scene.focus, knots) @ _log_errors(scene)
    return Gaussian(knots, tuple(_minimum(curve) for curve in errors))


def _shares(focus: Sequence[float], knots: Sequence[float]) -> NDArray[np.float64]:
    """Return how much each level counts at each knot, (knots, levels): those next to it share it."""
    hats = np.eye(len(knots))
    return np.stack([np.interp(focus, knots, hat) for hat in hats])


def _log_errors(scene: Scene) -> NDArray[np.float64]:
    """Logarithm of the mean squared error, (levels, candidates), of a scene's photo blurred by each candidate."""
    photo, stack = scene.photo(), scene.stack()
    errors = np.empty((len(stack), len(FRACTIONS)))
    for column, fraction in enumerate(FRACTIONS):
        blurred = crop(blur(photo, float(fraction) * scene.lens_aperture), scene.border).astype(np.float32)
        for row, truth in enumerate(stack):
            errors[row, column] = np.mean((blurred - crop(truth, scene.border)) ** 2) / 255**2
    return np.asarray(np.log(np.maximum(errors, ROUNDING)))


def _minimum(curve: NDArray[np.float64]) -> float:
    """Return where the curve through the candidates' errors is lowest."""
    lowest = int(np.argmin(curve))
    bounds = FRACTIONS[max(lowest - 1, 0)], FRACTIONS[min(lowest + 1, len(FRACTIONS) - 1)]
    smooth = CubicSpline(FRACTIONS, curve)
    found = minimize_scalar(lambda fraction: float(smooth(fraction)), bounds=bounds, method="bounded")
    return float(found.x)


def blur(photo: Pixels, sigma: float) -> Pixels:
    """Blur an 8-bit picture by a Gaussian of `sigma` pixels, in linear light."""
    if sigma <= 0:
        return np.array(photo)
    linear = to_linear(as_photo(photo))
    return to_8bit(to_srgb(gaussian_filter(linear, (sigma, sigma, 0), mode="nearest")))


def to_8bit(picture: NDArray[np.float32]) -> Pixels:
    """Round a picture of [0, 1] to 8 bits."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def crop(picture: NDArray[T], border: int) -> NDArray[T]:
    """Cut `border` pixels off each side of (H, W, ...).

    Raises
    ------
    ValueError
        Where less than 32 pixels would be left of a side: scores of so little mean nothing.
    """
    height, width = picture.shape[:2]
    if min(height, width) - 2 * border < 32:
        raise ValueError(f"border: cropping {border} pixels leaves less than 32 of a picture of {width} x {height}")
    return picture[border : height - border, border : width - border]

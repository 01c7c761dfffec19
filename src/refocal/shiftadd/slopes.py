"""Focus, slope and aperture of a light field. Light enough for training, which needs no plane sweep.

The sign is said here and nowhere else: focus +1 is the nearest plane of a scene's range and has the larger slope, focus
-1 the farthest; disparity, in px/view, is larger for what is nearer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FocusRange:
    """The range of slopes that a scene is focused over.

    Attributes
    ----------
    far, near : float
        Slopes, in px/view, of focus -1 and +1; near is the larger.

    Raises
    ------
    ValueError
        Where near is not larger than far, or either is not finite.
    """

    far: float
    near: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.far) and np.isfinite(self.near) and self.near > self.far):
            raise ValueError(f"a focus range needs finite slopes, far below near, got far {self.far}, near {self.near}")

    def slope(self, focus: Any) -> Any:
        """Return the slope, px/view, of a focus or an array of them; beyond [-1, 1] it goes on linearly."""
        return self.far + (np.asarray(focus) + 1) / 2 * (self.near - self.far)

    def focus(self, slope: Any) -> Any:
        """Return the focus of a slope or an array of them: the inverse of `slope`."""
        return (np.asarray(slope) - self.far) / (self.near - self.far) * 2 - 1


def aperture_of(grid: tuple[int, int], focus_range: FocusRange) -> float:
    """Return the aperture of a light field: the blur diameter, in pixels, of a point one full range out of focus.

    It is the way that such a point goes from the first to the last view: (max(U, V) - 1) (near - far).
    """
    return (max(grid) - 1) * (focus_range.near - focus_range.far)


def lens_aperture(aperture: float, grid: tuple[int, int]) -> float:
    """Return the aperture of the lens that a grid of views stands for, of which `aperture` is the light field's.

    That counts from the middle of the first view to the middle of the last; the pupil, of which each view is a piece,
    reaches half a step further on both sides. A grid of one view, as of a photo or a focal stack, changes nothing.
    """
    views = max(grid)
    return aperture * views / max(views - 1, 1)

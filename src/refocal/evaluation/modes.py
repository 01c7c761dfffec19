"""The three inputs that a model is evaluated with: a photo alone, with its disparity, or the ends of its focus bracket.

All go through `Refocuser`: what is judged is what is served.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import to_focus
from refocal.depth.from_focus.bracket import fuse_bracket
from refocal.depth.upsampling import enlarge
from refocal.evaluation.baselines import Method
from refocal.evaluation.metrics import Pixels
from refocal.model.refocuser import Refocuser
from refocal.scenes.scene import Scene

GIVEN, BRACKET = "given disparity", "focus bracket"


def evaluation_modes(refocuser: Refocuser) -> dict[str, Method]:
    """Return the methods by name: "refocal", the photo alone; for a model that goes by way of the disparity two more.

    "given disparity" gets the scene's own; "focus bracket" sees its nearest and its farthest slice and nothing else.
    """

    @lru_cache(maxsize=1)  # all levels of a scene come one after the other
    def analysed(scene: Scene) -> NDArray[np.float32]:
        return refocuser.analyse(scene.photo())

    @lru_cache(maxsize=1)
    def given(scene: Scene) -> NDArray[np.float32]:
        disparity = np.array(scene.disparity(), np.float32)
        if np.isnan(disparity).any():
            disparity = to_focus(disparity, (-1, 1))
        return disparity

    @lru_cache(maxsize=1)
    def fused(scene: Scene) -> tuple[Pixels, NDArray[np.float32]]:
        ends = [scene.stack()[-1], scene.stack()[0]]  # near, far
        bracket = fuse_bracket([np.array(one) for one in ends], register=False)
        far, near = scene.focus[0], scene.focus[-1]
        disparity = far + (bracket.disparity + 1) / 2 * (near - far)
        return np.rint(bracket.photo * 255).astype(np.uint8), enlarge(disparity.astype(np.float32), scene.photo())

    def alone(scene: Scene, focus: float) -> Pixels:
        if refocuser.finds_depth:
            return refocuser.render(scene.photo(), analysed(scene), focus, scene.lens_aperture)
        return refocuser(scene.photo(), focus, aperture=scene.lens_aperture)

    def with_disparity(scene: Scene, focus: float) -> Pixels:
        return refocuser.render(scene.photo(), given(scene), focus, scene.lens_aperture)

    def between(scene: Scene, focus: float) -> Pixels:
        photo, disparity = fused(scene)
        return refocuser.render(photo, disparity, focus, scene.lens_aperture)

    if not refocuser.finds_depth:
        return {"refocal": alone}
    return {"refocal": alone, GIVEN: with_disparity, BRACKET: between}


def depth_scores(refocuser: Refocuser, scenes: Sequence[Scene]) -> dict[str, float]:
    """Return `n` scenes and the `mean` Pearson r between found and known disparity; nothing for other models."""
    if not refocuser.finds_depth or not scenes:
        return {}
    found = []
    for scene in scenes:
        truth = np.array(scene.disparity(), np.float32)
        known = np.isfinite(truth)
        made = refocuser.analyse(scene.photo())[known]
        flat = truth[known].std() == 0 or made.std() == 0
        found.append(0.0 if flat else float(np.corrcoef(made, truth[known])[0, 1]))
    return {"n": float(len(found)), "mean": round(float(np.mean(found)), 4)}

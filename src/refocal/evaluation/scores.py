"""Names of the scores, and the scores of several methods on one scene. Light: reports need no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Scores = dict[str, float | None]  # None: not computed

LEVEL_SCORES = ("psnr", "ssim", "ms_ssim", "defocus_r", "in_focus_psnr", "out_of_focus_psnr")
SCENE_SCORES = ("near_far_accuracy", "focus_accuracy", "control_r")
SCORES = LEVEL_SCORES + SCENE_SCORES


@dataclass(frozen=True)
class SceneScores:
    """What the methods score on one scene.

    Parameters
    ----------
    scene
        Its name.
    focus, trained
        Its focus levels, rising, and which of them a model was trained on.
    levels
        By method: the LEVEL_SCORES of each focus level.
    whole
        By method: the SCENE_SCORES, which need several levels at once.
    """

    scene: str
    focus: tuple[float, ...]
    trained: tuple[bool, ...]
    levels: Mapping[str, tuple[Scores, ...]]
    whole: Mapping[str, Scores]

    def seen(self, method: str) -> Scores:
        """Return the mean over the levels trained on, and the scores of the whole."""
        return self._mean(method, trained=True) | self.whole[method]

    def unseen(self, method: str) -> Scores:
        """Return the mean over the levels in between, never trained on."""
        return self._mean(method, trained=False)

    def _mean(self, method: str, *, trained: bool) -> Scores:
        rows = [row for row, was in zip(self.levels[method], self.trained, strict=True) if was == trained]
        means: Scores = {}
        for name in LEVEL_SCORES:
            values = [value for row in rows if (value := row[name]) is not None]
            means[name] = float(np.mean(values)) if values else None
        return means

"""What a generator's file records about its training."""

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from refocal.learning.config import TrainConfig
from refocal.learning.data.crops import Crops, digest
from refocal.learning.training.checkpoints import Run


def about(crops: Crops, config: TrainConfig, run: Run) -> dict[str, Any]:
    """Return the provenance of a generator as JSON-able values, the same for the same training.

    "rendered" is the share of the images that were drawn, "on_the_fly" that of the crops of light fields whose views
    were averaged at any focus, where there are such; "best" is the step whose weights are in the file, and their
    score on the validation scenes.
    """
    scenes, kept = crops.scenes, run.best
    lenses = [scene for scene in scenes if scene.focus] or scenes
    apertures = [scene.lens_aperture for scene in lenses]
    fractions = [scene.lens_aperture / max(scene.photo().shape) for scene in lenses]
    return {
        "aperture_fraction": float(np.median(fractions)),
        "aperture_range": [min(apertures), max(apertures)],
        # short side of the whole scenes that the crops were taken from, on average: the size to look for depth at
        "analysis_side": 0 if config.zoom is None else round(config.crop * 2 / (1 + config.zoom)),
        "training_data": {
            "scenes": len(scenes),
            "kinds": dict(sorted(Counter(scene.kind for scene in scenes).items())),
            "levels": sorted({scene.focus[level] for scene, level in crops.pairs if level >= 0}),
            "source": digest(scenes),
            "images": run.step * config.batch,
            "rendered": config.rendered,
            **({"composites": config.composites} if config.composites else {}),
            **({"on_the_fly": config.on_the_fly} if config.on_the_fly else {}),
        },
        "training": {
            "losses": asdict(config.losses),
            "crop": config.crop,
            "precision": config.precision,
            "torch": str(torch.__version__),
            "best": None if kept is None else {"step": kept.step, "of": run.step, kept.name: abs(kept.score)},
        },
    }

"""Stage deblur: scenes/ -> models/deblur.pt, the generator that makes a photo sharp. `python -m refocal.stages.deblur`.

It is trained as the other is, from slices to all-in-focus photos, and goes on where it was when it was stopped.
"""

import os
import shutil
from pathlib import Path

from refocal.learning.training.loop import train
from refocal.params import read_params
from refocal.scenes.scene import read_scenes
from refocal.stages import run
from refocal.stages.train import curves, launched, shown, train_config


def main() -> None:
    """Train with what section `deblur` has otherwise than `train`."""
    params = read_params()
    if launched("deblur", params.train.processes):
        return
    checkpoints = Path("checkpoints/deblur")
    with curves("dvclive_deblur") as (log, log_image), shown("deblur") as progress:
        train(
            read_scenes(Path("scenes")),
            train_config(params.train, params.deblur),
            checkpoint_dir=checkpoints,
            output=Path("models/deblur.pt"),
            log=log,
            log_image=log_image,
            progress=progress,
        )
    if not int(os.environ.get("RANK", "0")):
        shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    run(main)

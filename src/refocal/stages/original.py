"""Stage original: train the original's recipe on the same data and budget, as a baseline -> models/original.onnx."""

import shutil
from pathlib import Path

from refocal.learning.export.export import export
from refocal.learning.training.loop import train
from refocal.params import read_params
from refocal.scenes.scene import read_scenes
from refocal.stages import run
from refocal.stages.train import shown, train_config


def main() -> None:
    """Train the original's networks with its losses, all else as in section `train`, and export the result."""
    params = read_params()
    work = Path("checkpoints/original")
    weights = work / "generator.pt"
    with shown("original") as progress:
        train(
            read_scenes(Path("scenes")),
            train_config(params.train, params.original),
            checkpoint_dir=work,
            output=weights,
            log=lambda *_: None,
            progress=progress,
        )
    export(weights, Path("models/original.onnx"), opset=params.export.opset, tolerance=params.export.tolerance)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(main)

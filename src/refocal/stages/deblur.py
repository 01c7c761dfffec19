"""Stage deblur: scenes/ -> models/deblur.pt, the generator that makes a photo sharp. `python -m refocal.stages.deblur`.

It is trained as the other is, from slices to all-in-focus photos, and goes on where it was when it was stopped.
"""

from pathlib import Path

from refocal.params import read_params
from refocal.stages import run
from refocal.stages.train import train_as, train_config


def main() -> None:
    """Train with what section `deblur` has otherwise than `train`."""
    params = read_params()
    config = train_config(params.train, params.deblur)
    output = Path("models/deblur.pt")
    train_as("deblur", config, processes=params.train.processes, output=output, logs="dvclive_deblur")


if __name__ == "__main__":
    run(main)

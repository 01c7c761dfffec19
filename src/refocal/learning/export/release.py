"""Write a trained generator as released weights: 16 bits, to train from and to run."""

from pathlib import Path

import torch

from refocal.learning.export.export import export
from refocal.learning.training.checkpoints import save_beside


def release(checkpoint: str | Path, folder: str | Path) -> dict[str, float]:
    """Round a generator's weights to 16 bits and write it to a folder, to start from and as ONNX.

    Weights of 3 decimal digits compute the same pictures to far below what 8 bits show, and take half the bytes.

    Parameters
    ----------
    checkpoint : path
        What training wrote.
    folder : path
        Gets generator.pt, for `train.init`, and refocal.onnx with its halves; of a deblurring generator deblur.pt and
        refocal.deblur.onnx.

    Returns
    -------
    dict
        Largest difference of the ONNX files from torch, as `export` gives it.

    Raises
    ------
    ValueError
        No generator, weights too large for 16 bits, or an ONNX twin that differs.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = {name: value.half() if value.is_floating_point() else value for name, value in content["state"].items()}
    except FileNotFoundError:
        raise ValueError(f"no generator at {checkpoint}: run the stage train") from None
    except Exception as error:  # what torch raises for a damaged file has no class of its own
        raise ValueError(f"{checkpoint} is not a generator that refocal wrote ({type(error).__name__})") from error
    lost = [name for name, value in state.items() if not value.isfinite().all()]
    if lost:
        raise ValueError(f"{checkpoint}: {lost[0]} holds values beyond 65504, which 16 bits cannot hold")
    name, model = (
        ("deblur.pt", "refocal.deblur.onnx") if content["network"] == "deblur" else ("generator.pt", "refocal.onnx")
    )
    folder = Path(folder)
    save_beside(folder / name, content | {"state": state})
    return export(folder / name, folder / model)

"""Compare an ONNX file with torch, through the code that serves it."""

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from refocal.inference.session import open_session
from refocal.learning.export.tracing import CHANNELS
from refocal.learning.export.wrappers import Part, WholeModel
from refocal.model.refocuser import Refocuser

# Height and width of parity checks, none of them what was traced: in multiples of the network's size multiple, and how
# many pixels less. The last is what Refocuser pads.
PARITY_SIZES = ((1, 1, 0), (3, 2, 0), (1, 4, 3))
PARITY_SIGMAS = ((-1.0, 0.5), (0.25, 1.0), (1.0, 2.0))  # focus, aperture / aperture scale
CPU = ("CPUExecutionProvider",)  # parity is that of the file: a GPU's convolutions round to 10 bits (TF32)


@torch.inference_mode()
def parity(part: Part, path: Path) -> dict[str, float]:
    """Return the largest difference between torch and the file at each of several sizes, "HxW", under all sigmas."""
    session = open_session(path, threads=0, providers=CPU, require_gpu=False)
    random = np.random.default_rng(0)
    scale = getattr(part.module, "aperture_scale", 1.0)
    focus, strengths = np.array(PARITY_SIGMAS, np.float32).T.copy()
    numbers = {"focus": focus, "aperture": strengths * np.float32(scale)}
    differences = {}
    for rows, columns, _ in PARITY_SIZES:
        height, width = rows * part.multiple, columns * part.multiple
        feed: dict[str, NDArray[np.float32]] = {}
        for name in part.inputs:
            picture = random.random((1, CHANNELS.get(name, 1), height, width), dtype=np.float32)
            feed[name] = np.repeat(picture, len(focus), axis=0) if name in CHANNELS else numbers[name]
        wanted = part.reference(*(torch.from_numpy(values) for values in feed.values())).numpy()
        (made,) = session.run([part.output], feed)
        differences[f"{height}x{width}"] = float(np.abs(made - wanted).max())
    return differences


@torch.inference_mode()
def parity_refocuser(whole: WholeModel, path: Path) -> dict[str, float]:
    """Return the same through `Refocuser`, one photo at a time, at a size that it pads: that is what is whole."""
    multiple, random = whole.generator.multiple, np.random.default_rng(0)
    refocuser = Refocuser(path, tile=max(64, 4 * multiple), providers=CPU)
    rows, columns, less = PARITY_SIZES[-1]
    height, width = rows * multiple - less, columns * multiple - less
    photo = random.random((height, width, 3), dtype=np.float32)
    padded = np.pad(photo, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    worst = 0.0
    for focus, strength in PARITY_SIGMAS:
        aperture = strength * whole.aperture_scale
        feed = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None]
        wanted = whole(feed, torch.tensor([focus]), torch.tensor([aperture]))[0].permute(1, 2, 0).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of apertures beyond the trained ones: meant here
            made = refocuser(photo, focus, aperture)
        worst = max(worst, float(np.abs(made - wanted[:height, :width]).max()))
    return {f"{height}x{width}": worst}

"""Depth networks of others behind one call: an ONNX file, or a name for Hugging Face transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import Depth
from refocal.images.image import Pixels

WEIGHTS = {".onnx", ".pth", ".pt", ".bin", ".safetensors"}


class DepthNetwork(Protocol):
    """Photo to `Depth`; see `onnx_network.OnnxNetwork` and `transformers_network.TransformersNetwork`."""

    name: str

    @property
    def digest(self) -> str:
        """What a cache of its depth depends on."""

    def __call__(self, photo: Pixels) -> Depth:
        """Estimate the depth of a photo."""


def open_network(
    model: str,
    *,
    preset: str | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    gives: str | None = None,
    threads: int = 0,
) -> DepthNetwork:
    """Open a depth network.

    Parameters
    ----------
    model
        ONNX file, or a name on the Hugging Face hub or a folder written by `save_pretrained` (needs the depth extra).
    preset, size, mean, std, threads
        Conventions of an ONNX file, see `onnx_network.OnnxNetwork`.
    gives
        "disparity" (larger is nearer), "depth" (metric) or "inverted" (larger is farther); None: as preset or model
        say.

    Raises
    ------
    ValueError
        One line: no such file or model, or conventions for a model that is no ONNX file.
    """
    if is_file(model):
        from refocal.depth.onnx_network import OnnxNetwork

        return OnnxNetwork(model, preset, size=size, mean=mean, std=std, gives=gives, threads=threads)
    given = {"preset": preset, "size": size, "mean": mean, "std": std}
    of_onnx = ", ".join(name for name, value in given.items() if value is not None)
    if of_onnx:
        raise ValueError(f"{of_onnx}: only for ONNX files, and the depth model {model} is none")
    from refocal.depth.transformers_network import TransformersNetwork

    return TransformersNetwork(model, gives=gives)


def is_file(model: str) -> bool:
    """Return whether a model is a file; else it is a name for transformers, which may be a folder too.

    Raises
    ------
    ValueError
        It looks like a path, and nothing is there: the hub must not be asked for it.
    """
    path = Path(model)
    if path.exists():
        return path.is_file()
    if path.suffix.lower() in WEIGHTS or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ValueError(f"the depth model {model}: no such file")
    return False


def mirrored_mean(network: DepthNetwork, photo: Pixels) -> NDArray[np.float32]:
    """Return the mean disparity, (H, W) in focus units, of a photo and its mirror image: less noise, twice the time."""
    ours = network(photo).disparity
    return (ours + network(np.ascontiguousarray(photo[:, ::-1])).disparity[:, ::-1]) / np.float32(2)

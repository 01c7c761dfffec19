"""torch to ONNX: one file that carries its own conventions, checked against torch through the very door that serves it.

The normalisation belongs to the model: outside, photos are sRGB in [0, 1] and apertures are pixels; the wrapper turns
both into what the network knows.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import refocal
from refocal.learning.networks.unet import UNet, UNetConfig
from refocal.photo.refocuser import Refocuser
from refocal.photo.session import open_session

# Height and width of parity checks, none of them what was traced: in multiples of the network's size multiple, and how
# many pixels less. The last is what Refocuser pads.
PARITY_SIZES = ((1, 1, 0), (3, 2, 0), (1, 4, 3))
PARITY_SIGMAS = ((-1.0, 0.5), (0.25, 1.0), (1.0, 2.0))  # focus, aperture / aperture scale
CPU = ("CPUExecutionProvider",)  # parity is that of the file: a GPU's convolutions round to 10 bits (TF32)


class Served(nn.Module):
    """A generator with the conventions of the ONNX file.

    Parameters
    ----------
    generator : UNet
        In evaluation mode.
    aperture_scale : float
        Pixels that the network knows as 1.
    """

    def __init__(self, generator: UNet, aperture_scale: float) -> None:
        super().__init__()
        self.generator = generator
        self.aperture_scale = aperture_scale

    def forward(self, photo: Tensor, focus: Tensor, aperture: Tensor) -> Tensor:
        """Refocus (N, 3, H, W) in [0, 1] with focus (N,) and aperture (N,) in pixels; -> the same, in [0, 1]."""
        sigma = torch.stack([focus, aperture / self.aperture_scale], dim=1)
        refocused: Tensor = self.generator(photo * 2 - 1, sigma)
        return ((refocused + 1) / 2).clamp(0, 1)


def load_generator(path: str | Path) -> tuple[Served, dict[str, str]]:
    """Load what training wrote.

    Returns
    -------
    Served
        In evaluation mode, on the CPU.
    dict
        What the ONNX file shall say of itself: strings, the same for the same weights.

    Raises
    ------
    ValueError
        Where it is missing or not a generator of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        generator = UNet(UNetConfig(**content["config"]))
        generator.load_state_dict(content["state"])
        served = Served(generator, float(content["aperture_scale"])).eval()
        return served, metadata_of(served, content)
    except FileNotFoundError:
        raise ValueError(f"no generator at {path}: run the stage train") from None
    except Exception as error:  # what torch raises for a damaged file has no class of its own
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{path} is not a generator that refocal wrote ({line})") from error


def metadata_of(served: Served, content: Mapping[str, Any]) -> dict[str, str]:
    """Return what the ONNX file says of itself, from what is in the generator's file."""
    about = content["about"]
    smallest, largest = (float(diameter) for diameter in about["aperture_range"])
    return {
        "refocal_version": refocal.__version__,
        "network": str(content["network"]),
        "config": json.dumps(content["config"], sort_keys=True),
        "inputs": "photo focus aperture",
        "size_multiple": str(served.generator.multiple),
        "focus_range": "-1 1",
        "colour": "sRGB [0,1]",
        "aperture_fraction": repr(float(about["aperture_fraction"])),
        "aperture_range": f"{smallest!r} {largest!r}",
        "training_data": json.dumps(about.get("training_data", {}), sort_keys=True),
    }


def export(
    checkpoint: str | Path,
    output: str | Path,
    *,
    opset: int = 20,
    tolerance: float = 1e-4,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write a generator as ONNX, weights inside, and check it against torch.

    The same weights give the same bytes, wherever the checkout lies.

    Parameters
    ----------
    checkpoint : path
        models/generator.pt, as training writes it.
    output : path
        The file to write. It appears when it has passed, or not at all.
    opset : int
        Of ONNX.
    tolerance : float
        Largest difference from torch that is accepted, of values in [0, 1].
    metrics : mapping, optional
        Scores to carry in the metadata.

    Returns
    -------
    dict
        Largest difference from torch at each size, as `parity` gives it.

    Raises
    ------
    ValueError
        No generator to export, or one whose ONNX twin differs.
    """
    served, metadata = load_generator(checkpoint)
    metadata["metrics"] = json.dumps(metrics or {}, sort_keys=True)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    try:
        model = to_onnx(served, opset)
        for key, value in sorted(metadata.items()):
            model.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(model, full_check=True)
        partial.write_bytes(model.SerializeToString(deterministic=True))
        differences = parity(served, partial)
        worst = max(differences, key=differences.__getitem__)
        if differences[worst] > tolerance:
            raise ValueError(
                f"the exported model differs from torch by {differences[worst]:.2g} at {worst} pixels, "
                f"export.tolerance allows {tolerance:g}; {output} is left as it was"
            )
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return differences


def to_onnx(served: Served, opset: int) -> onnx.ModelProto:
    """Trace the module with dynamic N, H, W, and clear what differs by checkout or would leak its paths."""
    multiple = served.generator.multiple
    example = (torch.zeros(2, 3, 2 * multiple, 3 * multiple), torch.zeros(2), torch.ones(2))
    batch = torch.export.Dim("N", min=1, max=1024)
    rows, columns = (multiple * torch.export.Dim(name, min=1, max=1 << 14) for name in ("h", "w"))
    shapes = {"photo": {0: batch, 2: rows, 3: columns}, "focus": {0: batch}, "aperture": {0: batch}}
    with _quiet():
        program = torch.onnx.export(
            served,
            example,
            dynamo=True,
            opset_version=opset,
            input_names=["photo", "focus", "aperture"],
            output_names=["refocused"],
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ValueError("torch gave no ONNX program")
    model = program.model_proto
    _strip(model)
    for value in (*model.graph.input, *model.graph.output):  # plain names instead of expressions such as 32*h
        named = [side for side in value.type.tensor_type.shape.dim if not side.HasField("dim_value")]
        for side, letter in zip(named, "NHW", strict=False):  # focus and aperture have N alone
            side.dim_param = letter
    model.producer_name, model.producer_version = "refocal", refocal.__version__
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Clear remarks: the exporter's hold stack traces, which differ by checkout and leak its paths."""
    graph = model.graph
    graph.ClearField("value_info")  # shapes between the nodes: inferred anew by who loads the file
    functions = [(function, *function.node) for function in model.functions]
    parts = (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *sum(functions, ()))
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on its own inner workings; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.inference_mode()
def parity(served: Served, path: Path) -> dict[str, float]:
    """Return the largest difference between torch and the file at each of several sizes, "HxW".

    At each, a batch of one photo under several sigmas; and one by one through `Refocuser`, since that is what is
    served. A size that is no multiple is padded for torch as `Refocuser` pads it.
    """
    multiple, random = served.generator.multiple, np.random.default_rng(0)
    refocuser = Refocuser(path, tile=max(64, 4 * multiple), providers=CPU)
    session = open_session(path, threads=0, providers=CPU, require_gpu=False)
    focus, strengths = np.array(PARITY_SIGMAS, np.float32).T.copy()
    aperture = strengths * np.float32(served.aperture_scale)
    differences = {}
    for rows, columns, less in PARITY_SIZES:
        height, width = rows * multiple - less, columns * multiple - less
        photo = random.random((height, width, 3), dtype=np.float32)
        padded = np.pad(photo, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
        feed = {"photo": np.stack([padded.transpose(2, 0, 1)] * len(focus)), "focus": focus, "aperture": aperture}
        wanted = served(*(torch.from_numpy(values) for values in feed.values())).numpy()
        (batch,) = session.run(["refocused"], feed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of apertures beyond the trained ones: meant here
            single = np.stack([refocuser(photo, *sigma) for sigma in zip(focus, aperture, strict=True)])
        apart = single - wanted.transpose(0, 2, 3, 1)[:, :height, :width]
        differences[f"{height}x{width}"] = float(max(np.abs(batch - wanted).max(), np.abs(apart).max()))
    return differences

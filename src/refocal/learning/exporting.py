"""torch to ONNX: files that carry their own conventions, checked against torch through the very doors that serve them.

The normalisation belongs to the model: outside, photos are sRGB in [0, 1] and apertures are pixels; the wrappers turn
both into what the network knows. A lens generator is written three times: whole, and beside it its two halves, photo ->
disparity (once a photo) and photo, disparity -> refocused (for each move of a slider).
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import refocal
from refocal.learning.networks.generator import Generator, build_generator
from refocal.learning.networks.lens import Lens, LensConfig
from refocal.learning.networks.renderer import LARGEST_PART
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.tracing import CHANNELS, to_onnx
from refocal.photo.refocuser import Refocuser
from refocal.photo.session import open_session, part_of

# Height and width of parity checks, none of them what was traced: in multiples of the network's size multiple, and how
# many pixels less. The last is what Refocuser pads.
PARITY_SIZES = ((1, 1, 0), (3, 2, 0), (1, 4, 3))
PARITY_SIGMAS = ((-1.0, 0.5), (0.25, 1.0), (1.0, 2.0))  # focus, aperture / aperture scale
CPU = ("CPUExecutionProvider",)  # parity is that of the file: a GPU's convolutions round to 10 bits (TF32)


class Served(nn.Module):
    """A generator with the conventions of the ONNX file.

    Parameters
    ----------
    generator : UNet or Lens
        In evaluation mode.
    aperture_scale : float
        Pixels that the network knows as 1.
    """

    def __init__(self, generator: Generator, aperture_scale: float) -> None:
        super().__init__()
        self.generator = generator
        self.aperture_scale = aperture_scale

    def forward(self, photo: Tensor, focus: Tensor, aperture: Tensor) -> Tensor:
        """Refocus (N, 3, H, W) in [0, 1] with focus (N,) and aperture (N,) in pixels; -> the same, in [0, 1]."""
        refocused: Tensor = self.generator(photo * 2 - 1, torch.stack([focus, aperture / self.aperture_scale], dim=1))
        return ((refocused + 1) / 2).clamp(0, 1)


class Analyse(nn.Module):
    """The first half of a lens generator: photo (N, 3, H, W) in [0, 1] -> disparity (N, 1, H, W) in [-1, 1]."""

    def __init__(self, generator: Lens) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> Tensor:
        """Return the disparity."""
        return self.generator.analyse(photo * 2 - 1)


class Render(nn.Module):
    """The second half: photo, disparity, focus (N,), aperture (N,) in pixels -> refocused (N, 3, H, W) in [0, 1]."""

    def __init__(self, generator: Lens, aperture_scale: float) -> None:
        super().__init__()
        self.generator = generator
        self.aperture_scale = aperture_scale

    def forward(self, photo: Tensor, disparity: Tensor, focus: Tensor, aperture: Tensor) -> Tensor:
        """Refocus."""
        sigma = torch.stack([focus, aperture / self.aperture_scale], dim=1)
        return ((self.generator.render(photo * 2 - 1, disparity, sigma) + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class Part:
    """A file to write: what it computes, from which inputs, and what sizes are multiples of."""

    module: nn.Module
    inputs: tuple[str, ...]
    output: str
    multiple: int


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
        network, scale = content["network"], float(content["aperture_scale"])
        unet = UNetConfig(**content["config"]) if network == "unet" else UNetConfig()
        lens = LensConfig(**content["config"]) if network == "lens" else LensConfig()
        generator = build_generator(network, unet, lens, scale)
        generator.load_state_dict(content["state"])
        served = Served(generator, scale).eval()
        return served, metadata_of(content)
    except FileNotFoundError:
        raise ValueError(f"no generator at {path}: run the stage train") from None
    except Exception as error:  # what torch raises for a damaged file has no class of its own
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{path} is not a generator that refocal wrote ({line})") from error


def parts_of(served: Served) -> dict[str, Part]:
    """Return what there is to write, by the name of the part; "" is the whole."""
    generator, scale = served.generator, served.aperture_scale
    parts = {"": Part(served, ("photo", "focus", "aperture"), "refocused", generator.multiple)}
    if isinstance(generator, Lens):
        parts["analyse"] = Part(Analyse(generator).eval(), ("photo",), "disparity", generator.multiple)
        inputs = ("photo", "disparity", "focus", "aperture")
        parts["render"] = Part(Render(generator, scale).eval(), inputs, "refocused", LARGEST_PART)
    return parts


def metadata_of(content: Mapping[str, Any]) -> dict[str, str]:
    """Return what the ONNX files say of themselves, from what is in the generator's file."""
    about = content["about"]
    smallest, largest = (float(diameter) for diameter in about["aperture_range"])
    return {
        "refocal_version": refocal.__version__,
        "network": str(content["network"]),
        "config": json.dumps(content["config"], sort_keys=True),
        "focus_range": "-1 1",
        "colour": "sRGB [0,1]",
        "aperture_fraction": repr(float(about["aperture_fraction"])),
        "aperture_range": f"{smallest!r} {largest!r}",
        "analysis_side": str(int(about.get("analysis_side", 0))),
        "weights": digest_of(content["state"]),
        "training_data": json.dumps(about.get("training_data", {}), sort_keys=True),
    }


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return a digest of weights: files that belong together carry the same."""
    mixed = hashlib.sha256()
    for name, value in sorted(state.items()):
        mixed.update(name.encode() + value.contiguous().numpy().tobytes())
    return mixed.hexdigest()[:16]


def export(
    checkpoint: str | Path,
    output: str | Path,
    *,
    opset: int = 20,
    tolerance: float = 1e-4,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Write a generator as ONNX, weights inside, and check it against torch.

    The same weights give the same bytes, wherever the checkout lies. Of a lens generator the halves are written beside:
    NAME.analyse.onnx and NAME.render.onnx; of another generator old ones are removed.

    Parameters
    ----------
    checkpoint : path
        models/generator.pt, as training writes it.
    output : path
        The file to write, NAME.onnx. All files appear when all have passed, or none does.
    opset : int
        Of ONNX.
    tolerance : float
        Largest difference from torch that is accepted, of values in [0, 1].
    metrics : mapping, optional
        Scores to carry in the metadata.

    Returns
    -------
    dict
        Largest difference from torch at each size, as `parity` gives it; those of halves are named after them.

    Raises
    ------
    ValueError
        No generator to export, or one whose ONNX twin differs.
    """
    served, metadata = load_generator(checkpoint)
    metadata["metrics"] = json.dumps(metrics or {}, sort_keys=True)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    parts = parts_of(served)
    files = {name: part_of(output, name) for name in ("", "analyse", "render")}
    partial = {name: file.with_name(f".{file.name}.partial") for name, file in files.items() if name in parts}
    differences: dict[str, float] = {}
    try:
        for name, part in parts.items():
            write(part, partial[name], metadata, opset)
            found = parity(part, partial[name])
            if name == "" and len(parts) == 1:
                found |= parity_served(served, partial[name])
            differences |= {f"{name} {size}".strip(): value for size, value in found.items()}
        worst = max(differences, key=differences.__getitem__)
        if not differences[worst] <= tolerance:
            raise ValueError(
                f"the exported model differs from torch by {differences[worst]:.2g} at {worst} pixels, "
                f"export.tolerance allows {tolerance:g}; {output} is left as it was"
            )
        for name, file in files.items():
            if name in partial:
                partial[name].replace(file)
            else:
                file.unlink(missing_ok=True)
    finally:
        for file in partial.values():
            file.unlink(missing_ok=True)
    return differences


def write(part: Part, path: Path, metadata: Mapping[str, str], opset: int) -> None:
    """Write one file."""
    model = to_onnx(part.module, part.inputs, part.output, multiple=part.multiple, opset=opset)
    own = {"inputs": " ".join(part.inputs), "size_multiple": str(part.multiple)}
    for key, value in sorted({**metadata, **own}.items()):
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


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
        wanted = part.module(*(torch.from_numpy(values) for values in feed.values())).numpy()
        (made,) = session.run([part.output], feed)
        differences[f"{height}x{width}"] = float(np.abs(made - wanted).max())
    return differences


@torch.inference_mode()
def parity_served(served: Served, path: Path) -> dict[str, float]:
    """Return the same through `Refocuser`, one photo at a time, at a size that it pads: that is what is served."""
    multiple, random = served.generator.multiple, np.random.default_rng(0)
    refocuser = Refocuser(path, tile=max(64, 4 * multiple), providers=CPU)
    rows, columns, less = PARITY_SIZES[-1]
    height, width = rows * multiple - less, columns * multiple - less
    photo = random.random((height, width, 3), dtype=np.float32)
    padded = np.pad(photo, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    worst = 0.0
    for focus, strength in PARITY_SIGMAS:
        aperture = strength * served.aperture_scale
        feed = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None]
        wanted = served(feed, torch.tensor([focus]), torch.tensor([aperture]))[0].permute(1, 2, 0).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of apertures beyond the trained ones: meant here
            made = refocuser(photo, focus, aperture)
        worst = max(worst, float(np.abs(made - wanted[:height, :width]).max()))
    return {f"{height}x{width}": worst}

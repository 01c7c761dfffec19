"""Export generators to ONNX files that carry their own conventions, and check them against torch.

The normalisation belongs to the model: outside, photos are sRGB in [0, 1] and apertures are pixels; the wrappers turn
both into what the network knows. A lens generator is written three times: whole, and beside it its two halves, photo ->
disparity (once a photo) and photo, disparity -> refocused (for each move of a slider). A deblurring generator is one
file, photo -> sharp photo.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

import refocal
from refocal.inference.session import part_of
from refocal.learning.export.parity import parity, parity_refocuser
from refocal.learning.export.tracing import to_onnx
from refocal.learning.export.wrappers import Part, WholeModel, parts_of
from refocal.learning.networks.generator import build_generator, config_of


def load_generator(path: str | Path) -> tuple[WholeModel, dict[str, str]]:
    """Load what training wrote.

    Returns
    -------
    WholeModel
        In evaluation mode, on the CPU.
    dict
        The metadata of the ONNX file: strings, the same for the same weights.

    Raises
    ------
    ValueError
        Where it is missing or not a generator of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        network, scale = content["network"], float(content["aperture_scale"])
        generator = build_generator(config_of(network, content["config"]), scale)
        generator.load_state_dict(content["state"])
        whole = WholeModel(generator, scale).eval()
        return whole, metadata_of(content)
    except FileNotFoundError:
        raise ValueError(f"no generator at {path}: run the stage train") from None
    except Exception as error:  # what torch raises for a damaged file has no class of its own
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{path} is not a generator that refocal wrote ({line})") from error


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
        mixed.update(name.encode() + value.float().contiguous().numpy().tobytes())
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
    whole, metadata = load_generator(checkpoint)
    metadata["metrics"] = json.dumps(metrics or {}, sort_keys=True)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    parts = parts_of(whole)
    files = {name: part_of(output, name) for name in ("", "analyse", "render")}
    partial = {name: file.with_name(f".{file.name}.partial") for name, file in files.items() if name in parts}
    differences: dict[str, float] = {}
    try:
        for name, part in parts.items():
            write(part, partial[name], metadata, opset)
            found = parity(part, partial[name])
            if "focus" in part.inputs and len(parts) == 1:
                found |= parity_refocuser(whole, partial[name])
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
    model = to_onnx(part.module, part.inputs, part.output, multiple=part.multiple, opset=opset, branches=part.branches)
    own = {"inputs": " ".join(part.inputs), "size_multiple": str(part.multiple)}
    for key, value in sorted({**metadata, **own, **part.says}.items()):
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))

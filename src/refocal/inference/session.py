"""Find a model, open it with onnxruntime, read its metadata, run it."""

import contextlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from refocal.resources import cores

INPUTS = {
    "": ("photo", "focus", "aperture"),
    "analyse": ("photo",),
    "render": ("photo", "disparity", "focus", "aperture"),
    "deblur": ("photo",),
}  # of the whole model and of its parts
BLUR_LIMIT = 48  # px: the widest disk of the lens's renderer, where a model does not say
NO_GPU = "require_gpu: no GPU can be used here; onnxruntime-gpu needs an NVIDIA GPU, CUDA and cuDNN"
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # of Linux, and of Linux on Windows (WSL 2)
_HERE = Path(__file__)
# Released weights: beside the sources of a checkout, or inside the installed package.
_RELEASED = (_HERE.parents[3] / "models" / "pretrained" / "refocal.onnx", _HERE.parents[1] / "weights" / "refocal.onnx")


@dataclass(frozen=True)
class Conventions:
    """What a model's metadata says about its inputs.

    Attributes
    ----------
    size_multiple
        Height and width of the photo must be multiples of it.
    focus_range
        Farthest and nearest focus.
    aperture_fraction
        Median of the training apertures as a fraction of the photo's long side.
    aperture_range
        Smallest and largest aperture trained on, in pixels.
    analysis_side
        Short side, in pixels, that photos are reduced to for depth; 0: as they are.
    blur_limit
        Largest blur diameter, in pixels, that the renderer of a lens makes.
    reach
        Of such a renderer: (blur diameter, pixels, grid), rising: for blurs up to this wide it looks no further than so
        many pixels, and makes the same of a tile that lies on this grid as of the photo. Empty where a model is silent.
    """

    size_multiple: int
    focus_range: tuple[float, float]
    aperture_fraction: float
    aperture_range: tuple[float, float]
    analysis_side: int
    blur_limit: float
    reach: tuple[tuple[float, int, int], ...] = ()


def part_of(model: Path, part: str) -> Path:
    """Return where a part of a model lies, "analyse", "render" or "deblur": beside it. "" is the model itself."""
    return model.with_name(f"{model.stem}.{part}{model.suffix}") if part else model


def find_model(model: str | os.PathLike[str] | None) -> Path:
    """Return the path of the model: the argument, else REFOCAL_MODEL, else models/refocal.onnx, else released weights.

    Raises
    ------
    ValueError
        There is none; the line says how to get one.
    """
    for path, source in ((model, "model"), (os.environ.get("REFOCAL_MODEL") or None, "REFOCAL_MODEL")):
        if path is not None:
            if not Path(path).is_file():
                raise ValueError(f"{source} must be the path of an ONNX file, got {os.fspath(path)}: no such file")
            return Path(path)
    places = (Path("models/refocal.onnx"), *_RELEASED)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ValueError(
            "no model found: name an ONNX file (model, --model or REFOCAL_MODEL), or in a checkout of refocal get the "
            "released one with `dvc pull`, or make your own as models/refocal.onnx with `make repro`"
        )
    return found


def open_session(path: Path, *, threads: int, providers: Sequence[str] | None, require_gpu: bool) -> Any:
    """Open a model for running.

    onnxruntime falls back to the CPU without a word where a GPU provider does not load. Whether it did is read from
    the session here. (`session.disable_cpu_ep_fallback` would do as well, but also refuses models whose few shape
    computations onnxruntime itself puts on the CPU.)

    Raises
    ------
    ValueError
        No readable model, an unknown provider, a provider that was asked for and does not load, or no GPU under
        `require_gpu`.
    """
    known, visible = onnxruntime.get_available_providers(), providers is None and _gpu_is_visible()
    if require_gpu and providers is None and not (_CUDA in known and visible):
        raise ValueError(NO_GPU)  # before onnxruntime tries, and prints a page about it
    asked = list(providers) if providers is not None else None
    if asked is not None and (not asked or not set(asked) <= set(known)):
        raise ValueError(f"providers must be of {', '.join(known)}, got {', '.join(asked) or 'none'}")
    if asked is None:
        asked = [_CUDA, _CPU] if _CUDA in known and visible else [_CPU]
    if _CUDA in asked:
        _preload_cuda()
    options = onnxruntime.SessionOptions()
    # Left to itself, onnxruntime takes the host's cores, whatever the container's quota is, and pins threads to them,
    # which prints a page where that is forbidden.
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 4  # what goes wrong is raised
    # The arena keeps what a tile took for the next one: without it half of the time goes into asking for memory. Laid
    # out by a pattern, for all steps at once, it would be twice as large.
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=asked)
    except Exception as error:  # noqa: BLE001  onnxruntime's errors share no class of their own
        raise ValueError(f"model {path} cannot be opened: {_line(error)}") from None
    works = session.get_providers()
    if require_gpu and set(works) <= {_CPU}:
        raise ValueError(NO_GPU)
    if providers is not None and not set(asked) <= set(works):
        missing = ", ".join(name for name in asked if name not in works)
        raise ValueError(f"providers: {missing} does not load on this machine (its libraries or device are missing)")
    if visible and set(works) <= {_CPU}:
        _warn_of_idle_gpu(installed=_CUDA in known)
    return session


def on_gpu(session: Any) -> bool:
    """Return whether a session computes elsewhere than on the CPU."""
    return bool(set(session.get_providers()) - {_CPU})


def _gpu_is_visible() -> bool:
    """Guess: trying CUDA where there is none works, but onnxruntime then prints a page to stderr."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices is not None and devices.strip() in {"", "-1", "NoDevFiles"}:  # three ways to say none
        return False
    return shutil.which("nvidia-smi") is not None or any(Path(place).exists() for place in _GPU_DEVICES)


def _preload_cuda() -> None:
    """Load CUDA and cuDNN from where pip put them: `onnxruntime-gpu[cuda,cudnn]` does not look there by itself."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            onnxruntime.preload_dlls()


@cache
def _warn_of_idle_gpu(*, installed: bool) -> None:
    """Warn once a process that a GPU is not used."""
    why = "CUDA does not load (CUDA 12 or 13 and cuDNN 9?)" if installed else "this onnxruntime is for CPUs alone"
    warnings.warn(f"a GPU is here, but {why}: the CPU is used", stacklevel=3)


def read_metadata(session: Any, path: Path, part: str = "") -> tuple[dict[str, str], Conventions]:
    """Return the metadata of a model or a half of one, as written, and the conventions in it, checked.

    Raises
    ------
    ValueError
        Not a refocal model: another interface, or metadata missing or malformed.
    """
    found = tuple(node.name for node in session.get_inputs())
    if set(found) != set(INPUTS[part]):
        raise ValueError(f"model {path} must take {', '.join(INPUTS[part])}, it takes {', '.join(found)}")
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    try:
        return metadata, _conventions(metadata)
    except KeyError as error:
        raise ValueError(f"model {path} lacks the metadata {error.args[0]}: it was not exported by refocal") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"model {path} has malformed metadata: {_line(error)}") from None


def _conventions(metadata: Mapping[str, str]) -> Conventions:
    far, near = (float(word) for word in metadata["focus_range"].split())
    smallest, largest = (float(word) for word in metadata["aperture_range"].split())
    conventions = Conventions(
        size_multiple=int(metadata["size_multiple"]),
        focus_range=(far, near),
        aperture_fraction=float(metadata["aperture_fraction"]),
        aperture_range=(smallest, largest),
        analysis_side=int(metadata.get("analysis_side", 0)),
        blur_limit=float(metadata.get("blur_limit", BLUR_LIMIT)),
        reach=tuple((float(b), int(pixels), int(grid)) for b, pixels, grid in json.loads(metadata.get("reach", "[]"))),
    )
    ranges = far < near and 0 <= smallest <= largest and conventions.blur_limit > 0
    grids = [grid for *_, grid in conventions.reach]
    if conventions.size_multiple < 1 or not ranges or any(g < 1 or conventions.size_multiple % g for g in grids):
        raise ValueError(f"{conventions}")
    return conventions


def run(session: Any, photo: NDArray[np.float32], **inputs: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Run a model on one photo (H, W, 3), H and W multiples of its size.

    Parameters
    ----------
    session, photo
        What to run, on what.
    inputs
        By name: the disparity (H, W), and numbers.

    Returns
    -------
    (H, W, 3), or (H, W) where the model gives a disparity.

    Raises
    ------
    ValueError
        The model failed (memory, mostly), or gave values that are not finite or another size.
    """
    height, width = photo.shape[:2]
    feed = {"photo": np.ascontiguousarray(photo.transpose(2, 0, 1))[None]}
    for name, value in inputs.items():
        feed[name] = value[None, None] if isinstance(value, np.ndarray) else np.array([value], np.float32)
    try:
        (out,) = session.run(None, feed)
    except Exception as error:  # noqa: BLE001  see above
        raise ValueError(f"the model failed on {width} x {height} pixels (a smaller tile?): {_line(error)}") from None
    if out.shape[:1] != (1,) or out.shape[2:] != (height, width) or not np.isfinite(out).all():
        raise ValueError(f"the model gave {out.shape} for {height} x {width} pixels, or values that are not finite")
    made: NDArray[np.float32] = out[0].transpose(1, 2, 0)
    return made[..., 0] if made.shape[2] == 1 else made


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""Depth of a photo by a depth-estimation model of Hugging Face transformers, by its name on the hub or its folder."""

import hashlib
import os
import re
import textwrap
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from refocal.depth.disparity import Depth, Kind, to_focus
from refocal.depth.onnx_network import shrunk
from refocal.depth.upsampling import enlarge
from refocal.images.image import Pixels, checked_pixels

_SIDE = 768  # what the pipeline sees: its networks work at less, and it gives back maps of this size
_TIMEOUT = 10  # seconds to wait for the hub

# Names of networks that were tuned to metres, which their configuration does not tell.
_METRIC = re.compile(r"nyu|kitti|metric|outdoor|indoor", re.IGNORECASE)


class TransformersNetwork:
    """A depth-estimation model of Hugging Face transformers, loaded once (needs the depth extra).

    Parameters
    ----------
    model_name
        A name on the hub, which is downloaded once, or a folder written by `save_pretrained`.
    gives
        "disparity" (larger is nearer), "depth" (metric) or "inverted" (larger is farther); None: according to the
        model's configuration, which does not say of a DPT that was tuned to metric depth.

    Attributes
    ----------
    digest
        Changes with the weights and with `gives`: what caches of its depth depend on.

    Raises
    ------
    ValueError
        The extra is not installed, or there is no such model.
    """

    def __init__(self, model_name: str, *, gives: str | None = None) -> None:
        if gives is not None and gives not in get_args(Kind):
            raise ValueError(f"gives must be one of {', '.join(get_args(Kind))}, got {gives!r}")
        self.name = model_name
        try:
            import transformers

            self._estimate = transformers.pipeline("depth-estimation", model=_found(os.fspath(model_name)))
        except ImportError as error:
            missing = error.name or "torch"
            raise ValueError(
                f"depth by transformers needs the depth extra: pip install 'refocal[depth]' (no {missing} here)"
            ) from None
        except Exception as error:  # noqa: BLE001  of many libraries
            raise ValueError(f"model_name {model_name!r} gives no depth: {_reason(error)}") from None
        self._kind = gives or _kind(self._estimate.model.config)
        if gives is None and self._kind == "disparity" and _METRIC.search(str(model_name)):
            line = f"{model_name} sounds as if it gave distances, and is taken to give their inverse: --is-depth?"
            warnings.warn(line, stacklevel=2)
        total = hashlib.sha256(f"{model_name} {self._kind}".encode())
        for key, value in self._estimate.model.state_dict().items():
            total.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        self.digest = total.hexdigest()

    def __call__(self, photo: Pixels) -> Depth:
        """Estimate the depth of a photo, a picture as in `images.Image`, upright.

        Raises
        ------
        ValueError
            No picture, or the model failed.
        """
        pixels = checked_pixels(photo, "photo")
        scale = min(1, _SIDE / max(pixels.shape[:2]))
        small = shrunk(pixels, *(max(1, round(side * scale)) for side in pixels.shape[:2]))
        try:
            found = self._estimate(Image.fromarray(np.rint(small * 255).astype(np.uint8)))["predicted_depth"]
        except Exception as error:  # noqa: BLE001  of many libraries
            raise ValueError(f"model_name {self.name!r} gives no depth: {_reason(error)}") from None
        disparity = enlarge(to_focus(found.detach().cpu().float().numpy().squeeze(), None, self._kind), pixels)
        return Depth(pixels, disparity, f"transformers model {self.name}")


def _found(name: str) -> str:
    """Return the name if the hub knows it, else the folder of an earlier download; folders stay as they are.

    The hub is asked once: transformers itself would retry for most of a minute, with a message each time.
    """
    if Path(name).is_dir():
        return name
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        huggingface_hub.model_info(name, timeout=_TIMEOUT)
        return name
    except HFValidationError:
        raise ValueError("it is neither a folder here nor a name on the hub, as owner/model") from None
    except RepositoryNotFoundError:
        reason = "the hub has no such model, or shows it to its friends alone"
    except Exception as error:  # noqa: BLE001  of many libraries
        reason = f"the hub cannot be asked ({error})"
    try:
        return str(huggingface_hub.snapshot_download(name, local_files_only=True))
    except FileNotFoundError:
        raise ValueError(f"{reason}, and no earlier download is here") from None


def _reason(error: Exception) -> str:
    """Return an error in a line, without addresses and cut between words: hubs and loaders write pages."""
    text = re.sub(r"\s*https?://[^\s,)]+", "", str(error))
    return textwrap.shorten(text, 200, placeholder=" …") or type(error).__name__


def _kind(config: Any) -> str:
    """Tell what a transformers model gives: DPT and the relative Depth Anything inverse depth, all others metres."""
    relative = getattr(config, "depth_estimation_type", "relative") == "relative"
    inverse = {"dpt", "depth_anything", "prompt_depth_anything"}
    return "disparity" if relative and config.model_type in inverse else "depth"

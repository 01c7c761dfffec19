"""Depth of a photo by a depth network in an ONNX file.

Refocal ships no such network; the user names one. What exports differ in (size, normalisation, what the output means)
is a `Conventions`, and known families have theirs in `PRESETS`. Whatever comes out is mapped to focus units by its own
percentiles and brought to the photo's size by `upsampling.enlarge`.
"""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.depth.disparity import Depth, Kind, to_focus
from refocal.depth.upsampling import enlarge
from refocal.images.image import Pixels, as_photo, checked_pixels
from refocal.inference.session import open_session

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
LONGEST = 4  # times its size that the long side of the input is at most
SQUARE = 2.5  # times as long as high: photos beyond it are squashed by a network of one size
_MAPS = ("depth", "predicted_depth", "disparity", "inverse_depth")  # names of outputs among others


@dataclass(frozen=True)
class Conventions:
    """What a family of exports expects and gives.

    Attributes
    ----------
    size
        Pixels of one side of the network's input, where the file itself does not fix it; the other follows the photo.
    side
        Which side of the photo that is, "short" or "long".
    multiple
        Both sides of the input are multiples of it.
    mean, std
        RGB values in [0, 1] are normalised as (value - mean) / std.
    gives
        "disparity": larger is nearer, in any unit; "depth": a distance.
    """

    size: int = 518
    side: str = "short"
    multiple: int = 14
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    gives: str = "disparity"


PRESETS: Mapping[str, Conventions] = MappingProxyType(
    {
        # Depth Anything V2, depth_anything_v2/dpt.py, image2tensor: short side 518, multiples of 14, ImageNet; relative
        # inverse depth. (Its metric variants: gives="depth".)
        "depth-anything-v2": Conventions(),
        # MiDaS v2.1, hubconf.py, transforms: long side 384 (small: 256), multiples of 32, ImageNet; inverse depth.
        "midas": Conventions(384, "long", 32),
        # The ONNX files that MiDaS itself released (tf/make_onnx_model.py): they normalise inside.
        "midas-release": Conventions(384, "long", 32, (0, 0, 0), (1, 1, 1)),
        # MiDaS v3 (DPT), hubconf.py, dpt_transform: resized as little as 384 allows, mean and standard deviation 0.5.
        "dpt": Conventions(384, "short", 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    }
)


class OnnxNetwork:
    """A monocular depth network in an ONNX file: one image in, one map out.

    The input is (N, 3, H, W) or (N, H, W, 3) floats of RGB, the output (N, h, w), (N, 1, h, w) or (N, h, w, 1), of any
    name. A size that the file fixes is used (the photo is stretched to it), otherwise that of the conventions.

    Parameters
    ----------
    path
        The ONNX file.
    preset
        A name in `PRESETS`; None: as "depth-anything-v2".
    size
        Pixels of the side that the preset names, rounded to its multiple. Not for files that fix their size.
    mean, std
        Three numbers each, for RGB in [0, 1], instead of the preset's.
    gives
        "disparity" (larger is nearer), "depth" (metric) or "inverted" (larger is farther), instead of the preset's.
    threads
        Of onnxruntime; 0: one a core.

    Attributes
    ----------
    name, digest
        Name of the file; a digest of the file and the conventions: what caches of its depth depend on.

    Raises
    ------
    ValueError
        No such file, another interface, or a setting out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        preset: str | None = None,
        *,
        size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        gives: str | None = None,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        self.conventions = _conventions(preset, size, mean, std, gives)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
            raise ValueError(f"threads must be an integer, at least 0, got {threads!r}")
        if not self.path.is_file():
            raise ValueError(f"the depth model must be an ONNX file, got {self.path}: no such file")
        self._session = open_session(self.path, threads=threads, providers=None, require_gpu=False)
        (image, *others), maps = self._session.get_inputs(), _maps(self._session.get_outputs())
        shape = [side if isinstance(side, int) else None for side in image.shape]
        self._last = shape[3:] == [3] and shape[1] != 3  # channels last
        self._name, self._sides = image.name, shape[1:3] if self._last else shape[2:]
        channels_fit = len(shape) == 4 and (self._last or shape[1] in {3, None})
        if others or len(maps) != 1 or image.type not in _TYPES or not channels_fit:
            found = ", ".join(f"{node.name} {node.type} {node.shape}" for node in (image, *others, *maps))
            raise ValueError(f"model {path} must take one float image (N, 3, H, W) and give one map, it has {found}")
        self._type, self._output = _TYPES[image.type], maps[0].name
        if size is not None and None not in self._sides:
            raise ValueError(f"size: the model {self.path} fixes it, {self._sides[0]} x {self._sides[1]}")
        self.name = self.path.name

    @cached_property
    def digest(self) -> str:  # computed when asked for: the file may be large
        """Digest of the file and the conventions."""
        with self.path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(f"{content} {self.conventions}".encode()).hexdigest()

    def __call__(self, photo: Pixels) -> Depth:
        """Estimate the depth of a photo.

        Parameters
        ----------
        photo
            A picture as in `images.Image`, upright.

        Raises
        ------
        ValueError
            No picture, the model failed, or what it gave is no map.
        """
        pixels = checked_pixels(photo, "photo")
        height, width = self._size(*pixels.shape[:2])
        aspect = pixels.shape[1] * height / (pixels.shape[0] * width)
        if None not in self._sides and not 1 / SQUARE <= aspect <= SQUARE:
            line = f"{self.name} sees the photo squashed to {width} x {height}: its depth is coarse"
            warnings.warn(line, stacklevel=2)
        mean, std = (np.array(colours, np.float32) for colours in (self.conventions.mean, self.conventions.std))
        values = shrunk(pixels, height, width)
        # A network that takes bytes normalises inside.
        values = np.rint(values * 255) if self._type == np.uint8 else (values - mean) / std
        feed = np.ascontiguousarray(values if self._last else values.transpose(2, 0, 1), self._type)[None]
        try:
            (out,) = self._session.run([self._output], {self._name: feed})
        except Exception as error:  # noqa: BLE001  onnxruntime's errors share no class of their own
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the model {self.path} failed on {width} x {height} pixels: {reason}") from None
        found = np.asarray(out)
        if found.ndim == 4 and 1 in {found.shape[1], found.shape[3]}:
            found = found[:, 0] if found.shape[1] == 1 else found[..., 0]
        if found.ndim != 3 or found.shape[0] != 1 or found.dtype.kind != "f" or not np.isfinite(found).any():
            raise ValueError(
                f"the model {self.path} must give a map (1, H, W) of finite floats, it gave {np.shape(out)}"
            )
        disparity = enlarge(to_focus(found[0], None, self.conventions.gives), pixels)
        return Depth(pixels, disparity, f"{self.path.name} at {width} x {height}")

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the network's input for a photo."""
        about = self.conventions
        scale = about.size / (min if about.side == "short" else max)(height, width)
        scale = min(scale, LONGEST * about.size / max(height, width))  # or a panorama would take all the memory
        wanted = (max(round(side * scale / about.multiple), 1) * about.multiple for side in (height, width))
        rows, columns = (fixed or free for fixed, free in zip(self._sides, wanted, strict=True))
        return rows, columns


def _maps(outputs: Sequence[Any]) -> list[Any]:
    """Return the output that is the map: the only one, the one called so, or the only one with two long sides."""
    if len(outputs) > 1:
        named = [node for node in outputs if node.name.lower() in _MAPS]
        wide = [node for node in outputs if sum(not isinstance(side, int) or side > 8 for side in node.shape) >= 2]
        return named[:1] or wide
    return list(outputs)


def _conventions(
    preset: str | None, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None, gives: str | None
) -> Conventions:
    """Return the preset's conventions with what was given instead, checked."""
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    about = PRESETS[preset or "depth-anything-v2"]
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 4096:
            raise ValueError(f"size must be an integer from 1 to 4096, got {size!r}")
        about = replace(about, size=size)
    if gives is not None:
        if gives not in get_args(Kind):
            raise ValueError(f"gives must be one of {', '.join(get_args(Kind))}, got {gives!r}")
        about = replace(about, gives=gives)
    for name, values in (("mean", mean), ("std", std)):
        if values is not None:
            given = np.asarray(values)
            if given.shape != (3,) or given.dtype.kind not in "if" or not (np.abs(given) < 1e3).all():
                raise ValueError(f"{name} must be three numbers, for red, green and blue in [0, 1], got {values!r}")
            if name == "std" and not (given > 0).all():
                raise ValueError(f"std must be above 0, got {values!r}")
            red, green, blue = given.tolist()
            colours = (red, green, blue)
            about = replace(about, mean=colours) if name == "mean" else replace(about, std=colours)
    return about


def shrunk(pixels: Pixels, height: int, width: int) -> NDArray[np.float32]:
    """Return the picture as a photo of that size, (h, w, 3) in [0, 1]; bicubic, as the networks were trained."""
    frame = Image.fromarray(np.rint(as_photo(pixels) * 255).astype(np.uint8))
    small = frame.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32) / np.float32(255)

"""Photos with their disparity, or with the mask of what stands in front, as scenes without a focal stack.

    FOLDER/image/ID.jpg  disparity/ID.png     or what else `read_disparity` reads; 0 = unknown, larger = nearer, each on a scale of its own
    FOLDER/image/ID.jpg  mask/ID.png          white = the thing in front; grey counts from the middle on

Targets of the former are rendered while training. The latter give an order: the thing is nearer than what is behind it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.depth.files import read_disparity
from refocal.lightfields.readers import PICTURES
from refocal.scenes.scene import write_scene
from refocal.images.image import read_image

IMAGE, DISPARITY, MASK = "image", "disparity", "mask"
ARRAYS = {".npy", ".npz", ".pfm"}
EDGE = 1  # percent of the known disparities beyond the ends of the focus range
LEAST = 0.05  # share of a photo whose disparity must be known
MASKED = (0.002, 0.98)  # share of a photo that may stand in front


def list_pairs(folder: Path, other: str = DISPARITY) -> dict[str, tuple[Path, Path]]:
    """Return photo and disparity, or photo and mask, by their common name, sorted.

    Raises
    ------
    ValueError
        One line: a folder that is missing or empty, a photo without the other file or the other way round.
    """
    found = []
    for part in (IMAGE, other):
        if not (folder / part).is_dir():
            raise ValueError(f"{folder} must have the folders {IMAGE} and {other}; {part} is missing")
        files = sorted((folder / part).iterdir())
        suffixes = PICTURES if part == IMAGE else PICTURES | ARRAYS
        found.append({file.stem: file for file in files if file.suffix.lower() in suffixes and file.name[0] != "."})
    images, others = found
    if not images:
        raise ValueError(f"{folder / IMAGE} holds no picture ({', '.join(sorted(PICTURES))})")
    for name in sorted(images.keys() ^ others.keys()):
        missing = other if name in images else IMAGE
        raise ValueError(f"{folder}: {name} has no file in {missing}")
    return {name: (images[name], others[name]) for name in images}


def prepare_pair(image: Path, disparity: Path, root: Path, name: str, *, group: str, source: str) -> Path:
    """Write one pair as a scene, whole or not at all.

    The 1st and 99th percentile of the known disparities become focus -1 and +1.

    Raises
    ------
    ValueError
        One line: a file that cannot be read, sizes that differ, a disparity that is flat or hardly known.
    """
    photo, values = _read(image, disparity)
    known = np.isfinite(values) & (values > 0)
    if known.mean() < LEAST:
        raise ValueError(
            f"{disparity}: {known.mean():.0%} of the pixels are known (not 0), at least {LEAST:.0%} are needed"
        )
    far, near = np.percentile(values[known], (EDGE, 100 - EDGE)).astype(np.float64)
    if not near > far:
        raise ValueError(f"{disparity} is flat: all that is known has the value {far:g}")
    focus = np.clip((values.astype(np.float64) - far) / (near - far) * 2 - 1, -1.2, 1.2)
    return write_scene(
        root,
        name,
        photo=photo,
        stack=np.empty((0, *photo.shape), np.uint8),
        disparity=np.where(known, focus, np.nan),
        focus=(),
        trained=(),
        aperture=1.0,
        slope_range=(-1.0, 1.0),
        grid=(1, 1),
        group=group,
        source=source,
        kind="rgbd",
    )


def prepare_mask(image: Path, mask: Path, root: Path, name: str, *, group: str, source: str) -> Path:
    """Write a photo and the mask of what stands in front as a scene, whole or not at all.

    Raises
    ------
    ValueError
        One line: a file that cannot be read, sizes that differ, a mask of nothing or of almost all.
    """
    photo, values = _read(image, mask)
    inside = values > (0.5 if values.dtype.kind == "f" else np.iinfo(values.dtype).max // 2)
    if not MASKED[0] <= inside.mean() <= MASKED[1]:
        raise ValueError(
            f"{mask}: {inside.mean():.1%} of the photo stand in front, {MASKED[0]:.1%} to {MASKED[1]:.0%} can be used"
        )
    return write_scene(
        root,
        name,
        photo=photo,
        stack=np.empty((0, *photo.shape), np.uint8),
        disparity=np.full(photo.shape[:2], np.nan, np.float16),
        focus=(),
        trained=(),
        aperture=1.0,
        slope_range=(-1.0, 1.0),
        grid=(1, 1),
        group=group,
        source=source,
        kind="mask",
        mask=inside,
    )


def _read(image: Path, other: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return a photo (H, W, 3) and the picture (H, W) that belongs to it; ValueError where their sizes differ."""
    photo, values = _eight_bit(read_image(image).pixels), read_disparity(other)
    if values.shape != photo.shape[:2]:
        raise ValueError(
            f"{other} is {values.shape[1]} x {values.shape[0]}, its photo {photo.shape[1]} x {photo.shape[0]}"
        )
    return photo, values


def _eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey, alpha, 16 bit and float pictures to (H, W, 3) uint8."""
    colour = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels[..., :3]
    if colour.dtype == np.uint16:
        return (colour // 257).astype(np.uint8)
    if colour.dtype == np.uint8:
        return np.ascontiguousarray(colour)
    return np.asarray(np.rint(np.clip(colour, 0, 1) * 255), np.uint8)

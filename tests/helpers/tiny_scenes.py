"""Prepared scenes small enough to train on in a test: the target is the photo, darker the nearer the focus."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refocal.scenes.arrays import Views
from refocal.scenes.scene import Scene, read_scenes, write_manifest, write_scene
from refocal.shiftadd.shift_and_add import focal_stack

FOCUS = (-1.0, -0.5, 0.0, 1.0)
TRAINED = (True, False, True, True)


def write_tiny_scenes(
    root: Path, splits: Mapping[str, str], *, size: tuple[int, int] = (40, 48), seed: int = 0
) -> list[Scene]:
    """Write a scene for each name; the pictures differ by name order and seed."""
    for number, name in enumerate(sorted(splits)):
        random = np.random.default_rng([seed, number])
        coarse = random.integers(40, 256, size=(size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
        photo = np.kron(coarse, np.ones((4, 4, 1), dtype=np.uint8))
        stack = np.stack([photo * (0.75 - 0.25 * level) for level in FOCUS]).astype(np.uint8)
        write_scene(
            root,
            name,
            photo=photo,
            stack=stack,
            disparity=np.zeros(size),
            focus=FOCUS,
            trained=TRAINED,
            aperture=4.0 + number,
            slope_range=(-1.0, 1.0),
            grid=(5, 5),
            source=f"{name}.png",
        )
    write_manifest(root, splits=splits, about={})
    return read_scenes(root)


def write_pairs(root: Path, splits: Mapping[str, str], *, size: tuple[int, int] = (40, 48)) -> list[Scene]:
    """Write scenes of a photo and its disparity alone: a slope from far to near, unknown in the first row."""
    for number, name in enumerate(sorted(splits)):
        random = np.random.default_rng(number)
        disparity = np.tile(np.linspace(-1, 1, size[1]), (size[0], 1))
        disparity[0] = np.nan
        write_scene(
            root,
            name,
            photo=random.integers(0, 256, (*size, 3), np.uint8),
            stack=np.empty((0, *size, 3), np.uint8),
            disparity=disparity,
            focus=(),
            trained=(),
            aperture=1.0,
            slope_range=(-1.0, 1.0),
            grid=(1, 1),
            source=f"kinect/{name}",
            kind="rgbd",
        )
    write_manifest(root, splits=splits, about={})
    return read_scenes(root)


def write_masks(root: Path, splits: Mapping[str, str], *, size: tuple[int, int] = (40, 48)) -> list[Scene]:
    """Write scenes of a photo and its mask: a box that stands in the middle."""
    for number, name in enumerate(sorted(splits)):
        mask = np.zeros(size, bool)
        mask[10:34, 14:34] = True
        write_scene(
            root,
            name,
            photo=np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8),
            stack=np.empty((0, *size, 3), np.uint8),
            disparity=np.full(size, np.nan),
            focus=(),
            trained=(),
            aperture=1.0,
            slope_range=(-1.0, 1.0),
            grid=(1, 1),
            source=f"people/{name}",
            kind="mask",
            mask=mask,
        )
    write_manifest(root, splits=splits, about={})
    return read_scenes(root)


def write_light_fields(
    root: Path,
    splits: Mapping[str, str],
    *,
    views: NDArray[np.uint8] | None = None,
    mask: NDArray[np.bool_] | None = None,
    linear: bool = True,
    keep: bool = True,
) -> list[Scene]:
    """Write scenes with the views that their stacks are the mean of: those given, else noise of 3 x 5 x 40 x 48."""
    for number, name in enumerate(sorted(splits)):
        random = np.random.default_rng(number)
        held = random.integers(0, 256, (3, 5, 40 + number, 48, 3), np.uint8) if views is None else views
        counted = np.ones(held.shape[:2], bool) if mask is None else mask
        slopes = (-1.5 - number, 0.5)
        stack = focal_stack(held, np.interp([-1, 0, 1], [-1, 1], slopes), mask=counted, pupil="square", linear=linear)
        places = tuple((int(u), int(v)) for u, v in np.argwhere(counted))
        write_scene(
            root,
            name,
            photo=held[held.shape[0] // 2, held.shape[1] // 2],
            stack=np.rint(255 * stack).astype(np.uint8),
            disparity=np.zeros(held.shape[2:4]),
            focus=(-1, 0, 1),
            trained=(True, True, True),
            aperture=8.0 + number,
            slope_range=slopes,
            grid=(held.shape[0], held.shape[1]),
            views=Views(places, (held[place] for place in places), linear) if keep else None,
        )
    write_manifest(root, splits=splits, about={})
    return read_scenes(root)

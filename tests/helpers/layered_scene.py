"""Prepared scenes of three textured layers whose light field, and with it every refocused picture, is known exactly."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refocal.scenes.scene import Scene, read_scenes, write_manifest, write_scene
from refocal.shiftadd.shift_and_add import focal_stack

FOCUS = (-1.0, -0.5, 0.0, 0.5, 1.0)
TRAINED = (True, False, True, False, True)
GRID, SIZE = (5, 5), (72, 96)


def layered(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return views (5, 5, H, W, 3) of layers at -1, 0 and 1 px/view, each a third of the width, and the disparity."""
    random = np.random.default_rng(seed)
    texture = gaussian_filter(random.normal(size=(3, *SIZE, 3)), (0, 0.8, 0.8, 0))
    layers = np.clip(128 + 90 * texture / texture.std(), 0, 255).astype(np.uint8)
    place = np.arange(SIZE[1]) * 3 // SIZE[1]
    views = np.empty((*GRID, *SIZE, 3), np.uint8)
    for u, v in np.ndindex(GRID):
        for depth, layer in enumerate(layers):  # from far to near, each over the ones before
            by = ((u - 2) * (depth - 1), (v - 2) * (depth - 1))
            shown = np.roll(np.broadcast_to(place >= depth, SIZE), by, (0, 1))
            views[u, v][shown] = np.roll(layer, by, (0, 1))[shown]
    return views, np.broadcast_to(place - 1.0, SIZE)


def write_layered_scenes(root: Path, splits: dict[str, str]) -> list[Scene]:
    """Write and read back a scene a name; they differ by their order."""
    for seed, name in enumerate(sorted(splits)):
        views, disparity = layered(seed)
        stack = np.rint(focal_stack(views, FOCUS) * 255).astype(np.uint8)
        write_scene(
            root,
            name,
            photo=views[2, 2],
            stack=stack,
            disparity=disparity,
            focus=FOCUS,
            trained=TRAINED,
            aperture=8.0,
            slope_range=(-1.0, 1.0),
            grid=GRID,
        )
    write_manifest(root, {"recipe": {"pupil": "circular", "linear": True}}, splits)
    return read_scenes(root)

"""Textures of rendered light fields: photographs that come with scikit-image, and procedural materials.

A texture is linear light, float32 (h, w, 3) in [0, 1]. The photographs are dealt out to groups once and for all; a
scene takes photographs of one group alone, so dividing scenes by group divides the photographs too.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from refocal.images.colour import to_linear
from refocal.images.image import as_photo, read_image

Texture = NDArray[np.float32]

# A colourful photograph and a material each: files inside scikit-image, which its package carries (no download).
GROUPS: dict[str, tuple[str, str]] = {
    "astronaut": ("astronaut.png", "gravel.png"),
    "cat": ("chelsea.png", "brick.png"),
    "coffee": ("coffee.png", "page.png"),
    "rocket": ("rocket.jpg", "grass.png"),
    "motorcycle": ("motorcycle_left.png", "coins.png"),
    "retina": ("retina.jpg", "text.png"),
    "galaxies": ("hubble_deep_field.jpg", "camera.png"),
    "tissue": ("ihc.png", "moon.png"),
}
MATERIALS = ("wood", "cloth", "stone", "pebbles")


@cache
def _read(file: str) -> NDArray[np.uint8]:
    path = Path(str(files("skimage"))) / "data" / file
    return np.round(255 * as_photo(read_image(path).pixels)).astype(np.uint8)


def photograph(file: str, rng: np.random.Generator, height: int, width: int) -> Texture:
    """Return a random crop of a photograph that scikit-image carries, reduced up to 2.5 times so that it is sharp.

    Half of them are mirrored, and grey ones tinted.
    """
    pixels = _read(file)
    largest = min(pixels.shape[0] / height, pixels.shape[1] / width)
    scale = min(largest, rng.uniform(1.3, 2.5))
    top, left = (
        rng.uniform(0, size - scale * wanted) for size, wanted in zip(pixels.shape, (height, width), strict=False)
    )
    box = (left, top, left + scale * width, top + scale * height)
    if rng.random() < 0.5:
        pixels, box = pixels[:, ::-1], (pixels.shape[1] - box[2], box[1], pixels.shape[1] - box[0], box[3])
    small = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.LANCZOS, box=box)
    light = to_linear(np.asarray(small, np.float32) / 255)
    if np.ptp(pixels.astype(np.int16), axis=2).max() == 0:
        light = light ** (1 - 0.5 * (colour(rng) - 0.5))
    return np.ascontiguousarray(light, np.float32)


def material(kind: str, rng: np.random.Generator, height: int, width: int) -> Texture:
    """Return a procedural texture, height x width, of one of `MATERIALS`; all of it comes from `rng`.

    Raises
    ------
    ValueError
        If the kind is not known.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    if kind == "wood":
        rings = across / rng.uniform(9, 18) + 0.6 * _cloud(rng, height, width, 24) + 0.004 * along
        value = 0.6 + 0.2 * np.sin(2 * np.pi * rings) + 0.12 * _cloud(rng, height, width, 1.2)
    elif kind == "cloth":
        period = rng.uniform(3, 5)
        weave = np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * across / period)
        bands = np.sign(np.sin(along / rng.uniform(5, 9))) + np.sign(np.sin(across / rng.uniform(5, 9)))
        value = gaussian_filter(0.5 + 0.2 * bands + 0.2 * weave, 0.6)
    elif kind == "stone":
        value = 0.5 + sum(0.22 * _cloud(rng, height, width, size) for size in (1.0, 4.0, 16.0))
    elif kind == "pebbles":
        value = _pebbles(rng, height, width)
    else:
        raise ValueError(f"kind must be one of {', '.join(MATERIALS)}, got {kind!r}")
    dark, light = 0.25 * colour(rng), colour(rng)
    mixed = dark + (light - dark) * np.clip(value, 0, 1)[..., None]
    return to_linear(mixed.astype(np.float32))


def colour(rng: np.random.Generator) -> Texture:
    """Return a colour that an object may have: sRGB (3,), bright but rarely glaring."""
    hue, strength, value = rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.55, 0.95)
    wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue - np.arange(3) / 3))
    return (value * (1 - strength * (1 - wheel))).astype(np.float32)


def _cloud(rng: np.random.Generator, height: int, width: int, size: float) -> Texture:
    """Return smooth noise of standard deviation 1, with features of about `size` pixels."""
    noise = gaussian_filter(rng.standard_normal((height, width)), size, mode="wrap")
    return np.asarray(noise / noise.std(), np.float32)


def _pebbles(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Return stones of even tone with dark joints: the nearest of scattered points, and how near the next one is."""
    points = rng.uniform(0, (height, width), (max(4, height * width // 90), 2))
    places = np.indices((height, width)).transpose(1, 2, 0)
    distance, index = (np.asarray(found) for found in cKDTree(points).query(places, k=2))
    joint = np.clip((distance[..., 1] - distance[..., 0]) / 2.5, 0, 1)
    return np.asarray(rng.uniform(0.35, 1, len(points))[index[..., 0]] * joint, np.float32)

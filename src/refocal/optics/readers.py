"""Light fields that are one file - lenslet mosaics, .npy, .npz - as one array (U, V, H, W, 3), in the order stored.

Which way round the axes are is not decided here: see `LightField.open`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.photo.images import read_image

Grid = tuple[int, int]
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
RAW = frozenset({".lfp", ".lfr"})
JPEG = frozenset({".jpg", ".jpeg"})
TOLD = 0.12  # share of the differences' variance that tells of N; photographs stay below .05, rough mosaics reach .15
MOSAIC_PIXELS = 1 << 29  # a Lytro Illum's ESLF has 40 million pixels, a large one may have ten times as many


def read_file(path: Path, grid: Grid | None) -> NDArray[Any]:
    """Read a light field that is one file: a lenslet mosaic, .npy or .npz.

    Raises
    ------
    ValueError
        One line: what is wrong with the file.
    """
    suffix = path.suffix.lower()
    if suffix in RAW:
        raise ValueError(
            f"{path} is a raw Lytro file; decode it first, with the Light Field Toolbox for MATLAB or plenopticam, "
            "and open the views or the ESLF picture that it writes"
        )
    if suffix in (".npy", ".npz"):
        return read_array(path)
    if suffix in PICTURES:
        return read_mosaic(path, grid)
    raise ValueError(f"{path} is no light field: a folder of views, a mosaic picture, .npy or .npz is read")


def read_array(path: Path) -> NDArray[Any]:
    """Read (U, V, H, W, 3) or (U, V, H, W) from .npy, memory-mapped, or from .npz (its only array, or "views")."""
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                names = [name for name in loaded.files if len(loaded.files) == 1 or name == "views"]
                loaded = loaded[names[0] if names else "views"]
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{path} cannot be read: {_line(error)}") from None
    if loaded.ndim == 4:
        loaded = np.repeat(loaded[..., None], 3, axis=-1)
    if loaded.ndim != 5 or loaded.shape[-1] != 3 or 0 in loaded.shape:
        raise ValueError(f"{path} has shape {loaded.shape}; (U, V, H, W, 3) or (U, V, H, W) is read")
    if loaded.dtype == np.uint8:
        whole: NDArray[Any] = np.asarray(loaded)
        return whole
    if loaded.dtype == np.uint16:
        return np.asarray(loaded / np.float32(65535), np.float32)
    if loaded.dtype.kind != "f":
        raise ValueError(f"{path} holds {loaded.dtype}; uint8, uint16, or floats of [0, 1] are read")
    views: NDArray[Any] = loaded.astype(np.float32)
    for u, v in np.ndindex(views.shape[:2]):
        low, high = float(views[u, v].min()), float(views[u, v].max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{path}: view ({u}, {v}) has values from {low:g} to {high:g}; floats must lie in [0, 1]")
    return views


def read_mosaic(path: Path, grid: Grid | None) -> NDArray[Any]:
    """Read a lenslet mosaic (ESLF): view (u, v) is every U-th row from u on, every V-th column from v on."""
    mosaic = as_view(read_image(path, max_pixels=MOSAIC_PIXELS).pixels)
    height, width = mosaic.shape[:2]
    rows, columns = grid or find_grid(mosaic, path)
    if height % rows or width % columns:
        raise ValueError(
            f"{path}: {rows} x {columns} views do not fit: its {height} rows and {width} columns are not multiples"
        )
    split = mosaic.reshape(height // rows, rows, width // columns, columns, 3)
    return np.ascontiguousarray(split.transpose(1, 3, 0, 2, 4))


def find_grid(mosaic: NDArray[Any], path: Path) -> Grid:
    """Find N of N x N interleaved views.

    From one pixel to the next of the same lens the view changes a step; from the last of a lens to the first of the
    next it jumps back. So differences of neighbouring columns repeat with period N, and so do those of rows. Of the N
    that divide both sides, the one is taken whose folding tells most of that signal: the smallest of those nearly as
    good, as multiples of N tell as much.
    """
    height, width = mosaic.shape[:2]
    grey = mosaic[..., 1].astype(np.float32)
    told = {}
    for n in range(2, 33):
        if height % n == 0 and width % n == 0:
            told[n] = min(_folded(np.sqrt(np.abs(np.diff(grey, axis=axis))).mean(axis=1 - axis), n) for axis in (0, 1))
    if path.suffix.lower() in JPEG:
        told = {n: share for n, share in told.items() if n % 8}  # its blocks have 8 x 8 pixels
    best = max(told.values(), default=0.0)
    if best < TOLD:
        raise ValueError(
            f"{path}: found no N of N x N interleaved views in {height} x {width} pixels; say it (grid, --grid), "
            "unless this is an ordinary picture"
        )
    n = min(n for n, share in told.items() if share > 0.9 * best)
    return n, n


def _folded(signal: NDArray[np.float32], n: int) -> float:
    """Return the share of a signal's variance, slow changes left aside, that repeats with period n."""
    smooth = np.convolve(signal, np.ones(64) / 64, mode="same")
    detail = (signal / np.maximum(smooth, 1e-6))[32:-32] if len(signal) > 128 else signal
    whole = detail[: len(detail) // n * n].reshape(-1, n)
    if len(whole) < 4:
        return 0.0
    noise = whole.var(axis=0, ddof=1).mean() / len(whole)  # what the means of any folding have by chance
    return float(max(whole.mean(axis=0).var() - noise, 0) / max(detail.var(), 1e-12))


def as_view(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, 3): grey three times, alpha dropped; 16 bit as float32."""
    colour = np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels[..., :3]
    if colour.dtype == np.uint16:
        return (colour / np.float32(65535)).astype(np.float32)
    return colour


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

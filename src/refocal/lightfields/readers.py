"""Light fields in one file (lenslet mosaics, .npy, .npz) to an array (U, V, H, W, 3), in the order stored.

Which way round the axes are is not decided here: see `LightField.open`.
"""

import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.images.decoding import MAX_PIXELS
from refocal.images.image import checked_pixels, read_image
from refocal.images.profiles import to_srgb

Grid = tuple[int, int]
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm", ".pnm"})
RAW = frozenset({".lfp", ".lfr"})
JPEG = frozenset({".jpg", ".jpeg"})
PERIODIC = 0.12  # share of the differences' variance with period N; photographs stay below .1, rough mosaics reach .15
NEARLY = 0.65  # of the best: N itself has .75 of its multiples in small images, its divisors .55 at most
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
        views = read_array(path)
        if grid not in (None, views.shape[:2]):
            raise ValueError(f"{path} holds {views.shape[0]} x {views.shape[1]} views, not {grid[0]} x {grid[1]}")
        return views
    if suffix in PICTURES:
        return read_mosaic(path, grid)
    raise ValueError(f"{path} is no light field: a folder of views, a mosaic picture, .npy or .npz is read")


def read_array(path: Path) -> NDArray[Any]:
    """Read (U, V, H, W, 3) or (U, V, H, W) from .npy, memory-mapped, or from .npz (its only array, or "views")."""
    try:
        with path.open("rb") as file:  # which np.load would leave open where an archive is damaged
            if zipped := file.read(2) == b"PK":
                file.seek(0)
                archive = np.load(file, allow_pickle=False)
                loaded = archive[_only(archive.files)]
        if not zipped:
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy takes what is no array file for a pickle, and advises to load that
        reason = "it is no array file, or holds Python objects" if "allow_pickle" in str(error) else _line(error)
        raise ValueError(f"{path} cannot be read: {reason}") from None
    loaded = _in_order(loaded, path)
    if loaded.dtype == np.uint8:
        whole: NDArray[Any] = np.asarray(loaded)
        return whole
    if loaded.dtype.newbyteorder("=") == np.uint16:
        views16 = np.asarray(loaded / np.float32(65535), np.float32)
        warn_if_dim(views16, path)
        return views16
    if loaded.dtype.kind != "f":
        raise ValueError(f"{path} holds {loaded.dtype}; uint8, uint16, or floats of [0, 1] are read")
    views: NDArray[Any] = loaded.astype(np.float32)
    for u, v in np.ndindex(views.shape[:2]):
        low, high = float(views[u, v].min()), float(views[u, v].max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{path}: view ({u}, {v}) has values from {low:g} to {high:g}; floats must lie in [0, 1]")
    return views


def _in_order(loaded: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return (U, V, H, W, 3) of an array as others lay it out: grey, with alpha, channels first, views in one row."""
    shape = loaded.shape
    if loaded.ndim == 4 and shape[3] in {3, 4} and min(shape[1:3]) > 4:  # (N, H, W, 3), not grey views 3 px wide
        side = math.isqrt(shape[0])
        if side**2 != shape[0]:
            raise ValueError(f"{path} has shape {shape}: {shape[0]} views in one row; reshape it to (U, V, H, W, 3)")
        loaded = loaded.reshape(side, side, *shape[1:])
    elif loaded.ndim == 4:
        loaded = np.repeat(loaded[..., None], 3, axis=-1)
    elif loaded.ndim == 5 and shape[2] in {3, 4} and shape[4] not in {3, 4}:
        loaded = np.moveaxis(loaded, 2, -1)
    if loaded.ndim != 5 or loaded.shape[-1] not in {3, 4} or 0 in loaded.shape:
        raise ValueError(f"{path} has shape {shape}; (U, V, H, W, 3) or (U, V, H, W) is read")
    return loaded[..., :3]


def warn_if_dim(views: NDArray[np.float32], path: Path) -> None:
    """Warn of views of 16 bit that use 10 or 12 of them: nearly black, until they are scaled."""
    top = round(float(views.max()) * 65535) if views.size else 0
    if 255 < top < 4096:
        bits = 10 if top < 1024 else 12
        warnings.warn(f"{path}: values reach {top} of 65535, as if they had {bits} bits; scale them", stacklevel=3)


def read_mosaic(path: Path, grid: Grid | None) -> NDArray[Any]:
    """Read a lenslet mosaic (ESLF): view (u, v) is every U-th row from u on, every V-th column from v on."""
    mosaic = read_view(path, MOSAIC_PIXELS)
    height, width = mosaic.shape[:2]
    rows, columns = grid or find_grid(mosaic, path)
    if height % rows or width % columns:
        raise ValueError(
            f"{path}: {rows} x {columns} views do not fit: its {height} rows and {width} columns are not multiples"
        )
    split = mosaic.reshape(height // rows, rows, width // columns, columns, 3)
    return split.transpose(1, 3, 0, 2, 4)


def find_grid(mosaic: NDArray[Any], path: Path) -> Grid:
    """Find N of N x N interleaved views.

    From one pixel to the next of the same lens the view changes a step; from the last of a lens to the first of the
    next it jumps back. So differences of neighbouring columns repeat with period N, and so do those of rows. Of the N
    that divide both sides, the one whose folding explains most of that signal is chosen: the smallest of those nearly
    as good, since multiples of N explain as much.
    """
    height, width = mosaic.shape[:2]
    grey = mosaic[..., 1].astype(np.float32)
    signals = [np.sqrt(np.abs(np.diff(grey, axis=axis))).mean(axis=1 - axis) for axis in (0, 1)]
    blocks = 16 if path.suffix.lower() in JPEG else 1  # of 8 x 8 pixels, of colour often 16 x 16
    shares = {
        n: min(_folded(signal, n, blocks) for signal in signals)
        for n in range(2, 33)
        if height % n == 0 and width % n == 0
    }
    best = max(shares.values(), default=0.0)
    if best < PERIODIC:
        raise ValueError(
            f"{path}: found no N of N x N interleaved views in {height} x {width} pixels; say it (grid, --grid), "
            "unless this is an ordinary picture"
        )
    n = min(n for n, share in shares.items() if share > NEARLY * best)
    return n, n


def _folded(signal: NDArray[np.float32], n: int, blocks: int) -> float:
    """Return the share of a signal's variance, slow changes and what repeats with blocks left aside, of period n."""
    smooth = np.convolve(signal, np.ones(64) / 64, mode="same")
    detail = (signal / np.maximum(smooth, 1e-6))[32:-32] if len(signal) > 128 else signal
    variance = max(detail.var(), 1e-12)
    if blocks > 1:
        detail = detail - np.resize(
            detail[: len(detail) // blocks * blocks].reshape(-1, blocks).mean(axis=0), len(detail)
        )
    whole = detail[: len(detail) // n * n].reshape(-1, n)
    if len(whole) < 4:
        return 0.0
    noise = whole.var(axis=0, ddof=1).mean() / len(whole)  # what the means of any folding have by chance
    return float(max(whole.mean(axis=0).var() - noise, 0) / variance)


def as_view(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, 3): grey three times, alpha dropped; 16 bit as float32."""
    colour = np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels[..., :3]
    if colour.dtype == np.uint16:
        return (colour / np.float32(65535)).astype(np.float32)
    return colour


def read_view(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """Read a picture as a view or a mosaic, (H, W, 3) uint8 or float32 in [0, 1], in sRGB."""
    image = read_image(path, max_pixels=max_pixels)
    return as_view(to_srgb(checked_pixels(image.pixels, str(path)), image.icc))


def _only(names: list[str]) -> str:
    """Return the name of the array to read."""
    if "views" in names or len(names) == 1:
        return "views" if "views" in names else names[0]
    raise ValueError(f"it holds {', '.join(names) or 'nothing'}; its only array, or one named views, is read")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

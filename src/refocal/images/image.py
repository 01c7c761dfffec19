"""`Image`: what an image file is in memory, and how it is written back.

A picture in memory is upright (turned as its EXIF says), grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), and keeps the
depth of its file: uint8, uint16 or float32. What is computed with is a *photo*: float32 (H, W, 3), sRGB, [0, 1].
`as_photo` and `like_input` go there and back. Pictures are written beside their place and renamed, so a file is never
half written.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from refocal.images.colour import LUMA
from refocal.images.decoding import MAX_PIXELS, decode
from refocal.images.encoding import encode
from refocal.images.metadata import Metadata
from refocal.resources import in_threads

Pixels = NDArray[Any]  # (H, W), (H, W, 3) or (H, W, 4) of uint8, uint16 or float32
LARGE = 2_000_000  # pixels, from which on threads are worth their start
_LIMITS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}


@dataclass(frozen=True)
class Image:
    """A picture: its upright pixels, and what its file said about them.

    Attributes
    ----------
    pixels
        (H, W), (H, W, 3) or (H, W, 4) of uint8, uint16 or float32 [0, 1]; the fourth channel is straight alpha.
    icc
        ICC profile that the values are in, if the file has one.
    exif
        EXIF block without its "Exif" header, orientation reset to 1 as the pixels are upright.
    xmp
        XMP packet, likewise.
    dpi
        Pixels an inch, across and down.
    orientation
        EXIF orientation of the stored pixels, 1 to 8: by it they were turned.
    """

    pixels: Pixels
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    orientation: int = 1

    @property
    def metadata(self) -> Metadata:
        """What goes along into another file, beside the profile."""
        return Metadata(self.exif, self.xmp, self.dpi)


def read_image(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, name: str = "the picture"
) -> Image:
    """Read a JPEG, PNG, WebP, TIFF, HEIC or AVIF picture (of several frames the first), upright.

    Parameters
    ----------
    source
        Path, or the bytes of a file.
    max_pixels
        Pictures of more pixels are refused before they are decoded.
    name
        What errors call bytes.

    Raises
    ------
    ValueError
        One line that names the file: absent, unreadable, no such picture, damaged, too large.
    """
    if isinstance(source, bytes):
        return Image(*decode(source, name, max_pixels))
    return Image(*decode(read_bytes(source), os.fspath(source), max_pixels))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return what a file holds; ValueError, in one line that names it, where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from None


def write_image(path: str | os.PathLike[str], pixels: Pixels, *, like: Image | None = None, quality: int = 95) -> None:
    """Write a picture in the format that the suffix names: .jpg, .jpeg, .png, .webp, .tif or .tiff.

    Parameters
    ----------
    path
        The file; its folder must exist. It is replaced at once, when all is written.
    pixels
        As in `Image`. Values are rounded where the format is coarser: JPEG and WebP hold 8 bit, PNG 8 and 16 (floats
        become 16), TIFF all.
    like
        The picture whose ICC profile, EXIF, XMP and density go along.
    quality
        1 to 100, of JPEG and WebP.

    Raises
    ------
    ValueError
        Unknown suffix, pixels that no picture has, transparency into JPEG, or a folder that cannot be written.
    """
    path = Path(path)
    data = encoded(path, pixels, like=like, quality=quality)
    with written_beside(path) as beside:
        beside.write_bytes(data)


def encoded(path: Path, pixels: Pixels, *, like: Image | None = None, quality: int = 95) -> bytes:
    """Return what `write_image` writes."""
    pixels = checked_pixels(pixels, "pixels")
    icc = like.icc if like is not None and (like.pixels.ndim == 2) == (pixels.ndim == 2) else None
    return encode(pixels, path, icc=icc, metadata=Metadata() if like is None else like.metadata, quality=quality)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a path in the same folder and of the same suffix to write to; renamed when all went well, else removed.

    Where the path is a link, it stays one, and what it leads to is written.

    Raises
    ------
    ValueError
        In one line, for any OSError: no such folder, no permission, disk full.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{secrets.token_hex(8)}{path.suffix}")  # short: names may be as long as is allowed
    try:
        yield beside
        beside.replace(place)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


def checked_pixels(pixels: Any, name: str) -> Pixels:
    """Return `pixels` if they are a picture in memory.

    Raises
    ------
    ValueError
        Other shape or dtype, no pixels, or floats that are NaN or outside [0, 1].
    """
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array, got {type(pixels).__name__}")  # noqa: TRY004  one kind of error
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4})) or 0 in pixels.shape:
        raise ValueError(f"{name} must be (H, W), (H, W, 3) or (H, W, 4) with pixels in it, got {pixels.shape}")
    if pixels.dtype not in _LIMITS:
        raise ValueError(f"{name} must be uint8, uint16 or float32 in [0, 1], got {pixels.dtype}")
    if pixels.dtype == np.float32:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ValueError(f"{name} of float32 must lie in [0, 1], got {low:g} to {high:g}")
    return pixels


def as_photo(pixels: Pixels) -> NDArray[np.float32]:
    """Turn a picture into a photo: float32 (H, W, 3) [0, 1]; grey is repeated, alpha left out."""
    colour = pixels[..., None].repeat(3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
    if colour.dtype == np.float32:
        return np.ascontiguousarray(colour)
    return colour * np.float32(1 / _LIMITS[colour.dtype])


def reduced(pixels: Pixels, side: int) -> NDArray[np.float32]:
    """Turn a picture into a photo whose short side is at most `side` pixels, antialiased; 0: its size stays."""
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    if side == 0 or scale >= 1:
        return as_photo(pixels)
    size, threads = (max(1, round(width * scale)), max(1, round(height * scale))), 0 if height * width > LARGE else 1
    colour = pixels[..., None].repeat(3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
    planes = in_threads(lambda c: _resized(np.asarray(colour[..., c], np.float32), size), range(3), threads)
    limit = np.float32(1 if colour.dtype == np.float32 else 1 / _LIMITS[colour.dtype])
    return np.asarray(np.clip(np.stack(planes, axis=-1) * limit, 0, 1), np.float32)


def _resized(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(PIL.Image.fromarray(plane).resize(size, PIL.Image.Resampling.BILINEAR))


def between(places: NDArray[Any], scale: float, length: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Return which two of `length` pixels a larger side's pixels lie between, and how far towards the second."""
    place = np.clip((places + 0.5) * scale - 0.5, 0, length - 1)
    first = np.minimum(place.astype(np.intp), max(length - 2, 0))
    return first, np.minimum(first + 1, length - 1), (place - first).astype(np.float32)


def stretched(
    small: NDArray[np.float32], rows: NDArray[Any], columns: NDArray[Any], scale: tuple[float, float]
) -> NDArray[np.float32]:
    """Return rows and columns of a picture (h, w, C) enlarged bilinearly; `scale`: its pixels to one of the larger."""
    upper, lower, down = between(rows, scale[0], small.shape[0])
    left, right, across = between(columns, scale[1], small.shape[1])
    tall = small[upper] * (1 - down)[:, None, None] + small[lower] * down[:, None, None]
    return np.asarray(tall[:, left] * (1 - across)[:, None] + tall[:, right] * across[:, None], np.float32)


def like_input(photo: NDArray[np.float32], pixels: Pixels) -> Pixels:
    """Turn a photo back into the kind of picture that `pixels` is: same dtype and channels, alpha untouched.

    Parameters
    ----------
    photo
        float32 (H, W, 3); clipped to [0, 1].
    pixels
        (H, W), (H, W, 3) or (H, W, 4): the picture that the photo came from.
    """
    photo = np.clip(photo, 0, 1)
    colour = photo @ LUMA if pixels.ndim == 2 else photo
    if pixels.dtype != np.float32:
        colour = np.rint(colour * _LIMITS[pixels.dtype]).astype(pixels.dtype)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return np.concatenate([colour, pixels[..., 3:]], axis=2)
    return np.clip(colour, 0, 1) if pixels.dtype == np.float32 else colour


def in_single(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return floats of another precision as float32, all else as it is."""
    other = isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f" and pixels.dtype != np.float32
    return pixels.astype(np.float32) if other else pixels


def in_precision_of(made: Pixels, pixels: NDArray[Any]) -> Pixels:
    """Return what was made of `in_single(pixels)` in the precision of the pixels, alpha to the last bit."""
    out = made.astype(pixels.dtype, copy=False)
    if out is not made and out.shape[2:] == (4,):
        out[..., 3] = pixels[..., 3]
    return out

"""Uploaded bytes to images: the one place where the service decodes, after checking what it was sent."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import to_focus
from refocal.images.image import Image, checked_pixels, read_image
from refocal.serving.errors import RequestError

_HEIF = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"}


def format_of(data: bytes) -> str | None:
    """Return jpeg, png, webp, tiff or heic by the first bytes, whatever name and type say; None for other formats."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in {b"II*\0", b"MM\0*"}:
        return "tiff"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF:
        return "heic"
    return None


def read_photo(data: bytes, max_pixels: int, field: str = "photo") -> Image:
    """Decode a photo: upright, with its colour profile and EXIF.

    Raises
    ------
    RequestError
        415 another format; 413 too many pixels, according to the header of the file; 400 damaged.
    """
    if not data:
        raise RequestError(422, f"{field} is empty; send a JPEG, PNG, WebP, TIFF or HEIC file", field)
    if format_of(data) is None:
        raise RequestError(
            415, f"{field} must be a JPEG, PNG, WebP, TIFF or HEIC file; what was sent is none of them", field
        )
    try:
        image = read_image(data, max_pixels=max_pixels)
        checked_pixels(image.pixels, "the picture")  # a TIFF may hold floats that are no photo
    except ValueError as error:
        line = str(error).replace("the picture", field, 1)
        if line.endswith("allowed") and "pixels, more than the" in line:
            raise RequestError(413, line, field) from None
        raise RequestError(415 if "needs the heif extra" in line else 400, line, field) from None
    except MemoryError:
        raise RequestError(413, f"{field} is too large to be decoded", field) from None
    return image


def read_disparity_map(data: bytes, max_pixels: int) -> NDArray[np.float32]:
    """Decode a disparity map, larger = nearer, to focus units: (h, w) in [-1, 1].

    Raises
    ------
    RequestError
        415 neither PNG nor TIFF; 400 damaged, in colour, or without known values; 413 too many pixels.
    """
    if data and format_of(data) not in {"png", "tiff"}:
        raise RequestError(415, "disparity must be a grey PNG or TIFF, larger values nearer", "disparity")
    if not data:
        raise RequestError(422, "disparity is empty; send a grey PNG or TIFF, or leave it out", "disparity")
    pixels: NDArray[Any]
    try:
        pixels = read_image(data, max_pixels=max_pixels).pixels
        if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
            pixels = pixels[..., 0]
        return to_focus(pixels)
    except ValueError as error:
        line = str(error).replace("the picture", "disparity", 1)
        raise RequestError(413 if "pixels, more than the" in line else 400, line, "disparity") from None

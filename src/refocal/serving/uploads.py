"""Bytes that strangers send to pictures: the one place where the service decodes, after it has looked at them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.photo.disparity import to_focus
from refocal.photo.images import Image, checked_pixels, read_image
from refocal.serving.refusals import Refusal

_HEIF = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"}


def format_of(data: bytes) -> str | None:
    """Return jpeg, png, webp, tiff or heic, by the first bytes (names and types are not asked); None: another."""
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
    """Decode a photo: upright, with its profile and EXIF.

    Raises
    ------
    Refusal
        415 no format that is allowed; 413 too many pixels, told by the file's head; 400 damaged.
    """
    if not data:
        raise Refusal(422, f"{field} is empty; send a JPEG, PNG, WebP, TIFF or HEIC file", field)
    if format_of(data) is None:
        raise Refusal(
            415, f"{field} must be a JPEG, PNG, WebP, TIFF or HEIC file; what was sent is none of them", field
        )
    try:
        image = read_image(data, max_pixels=max_pixels)
        checked_pixels(image.pixels, "the picture")  # a TIFF may hold floats that are no photo
    except ValueError as error:
        line = str(error).replace("the picture", field, 1)
        if line.endswith("allowed") and "pixels, more than the" in line:
            raise Refusal(413, line, field) from None
        raise Refusal(415 if "needs the heif extra" in line else 400, line, field) from None
    except MemoryError:
        raise Refusal(413, f"{field} is too large to be decoded", field) from None
    return image


def read_map(data: bytes, max_pixels: int) -> NDArray[np.float32]:
    """Decode a disparity map, larger = nearer, to focus units: (h, w) in [-1, 1].

    Raises
    ------
    Refusal
        415 neither PNG nor TIFF; 400 damaged, in colour, or nothing known in it; 413 too many pixels.
    """
    if data and format_of(data) not in {"png", "tiff"}:
        raise Refusal(415, "disparity must be a grey PNG or TIFF, larger values nearer", "disparity")
    if not data:
        raise Refusal(422, "disparity is empty; send a grey PNG or TIFF, or leave it out", "disparity")
    pixels: NDArray[Any]
    try:
        pixels = read_image(data, max_pixels=max_pixels).pixels
        if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
            pixels = pixels[..., 0]
        return to_focus(pixels)
    except ValueError as error:
        line = str(error).replace("the picture", "disparity", 1)
        raise Refusal(413 if "pixels, more than the" in line else 400, line, "disparity") from None

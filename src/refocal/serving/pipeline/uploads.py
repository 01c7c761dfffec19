"""Uploaded bytes to images: the one place where the service decodes, after checking what it was sent."""

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import to_focus
from refocal.depth.files import READ, laid_over, read_disparity
from refocal.images.decoding import FORMATS, is_avif
from refocal.images.image import Image, checked_pixels, read_image
from refocal.images.tiff import MAGICS
from refocal.serving.errors import RequestError
from refocal.serving.logs import LOG

_HEIF = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"}


def format_of(data: bytes) -> str | None:
    """Return jpeg, png, webp, tiff, heic, avif or bmp, by the first bytes, whatever the name says; None for others."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in MAGICS:
        return "tiff"
    if is_avif(data):
        return "avif"
    if data.startswith(b"BM"):
        return "bmp"
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
        raise RequestError(422, f"{field} is empty; send a {FORMATS} file", field)
    try:
        image = read_image(data, max_pixels=max_pixels)
        checked_pixels(image.pixels, "the picture")  # a TIFF may hold floats that are no photo
    except ValueError as error:
        line = str(error).replace("the picture", field, 1)
        if line.endswith("allowed") and "pixels, more than the" in line:
            raise RequestError(413, line, field) from None
        unread = any(words in line for words in ("needs the heif extra", "is a camera's raw", "is no picture that"))
        raise RequestError(415 if unread else 400, line, field) from None
    except MemoryError:
        raise RequestError(413, f"{field} is too large to be decoded", field) from None
    return image


def read_disparity_map(data: bytes, max_pixels: int, photo: Image) -> NDArray[np.float32]:
    """Decode the disparity map of a photo, larger = nearer, to focus units: (h, w) in [-1, 1].

    Raises
    ------
    RequestError
        415 no map that is read; 400 damaged, in colour, or without known values; 413 too many pixels.
    """
    if not data:
        raise RequestError(422, f"disparity is empty; send {READ}, or leave it out", "disparity")
    try:
        values = read_disparity(data, "disparity", max_pixels)
        return to_focus(laid_over(values, photo.pixels.shape[:2], photo.orientation, "disparity", say=LOG.debug))
    except ValueError as error:
        line = str(error)
        unread = "is no map that refocal reads" in line or "is not read" in line
        status = 413 if "more than the" in line else 415 if unread else 400
        raise RequestError(status, line, "disparity") from None

"""Disparity maps from and to files: pictures in grey, arrays of NumPy, PFM, and portrait photos of phones."""

import io
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.depth.portrait import depth_inside, grey
from refocal.images.decoding import MAX_PIXELS, decode, is_avif, turned
from refocal.images.image import read_bytes, write_image
from refocal.images.tiff import MAGICS, decode_map

READ = "a grey PNG, TIFF, JPEG or WebP, NPY, NPZ, PFM, or the portrait photo of a phone"
NAMES = ("disparity", "depth", "predicted_depth", "pred", "prediction", "inverse_depth", "arr_0")  # in an NPZ file
ASPECT = 1.12  # sides may be rounded, to 14 or 32 px, but 4:3 on 3:2 is another picture, or a part of it
_EXR = b"\x76\x2f\x31\x01"


def read_disparity(
    source: str | os.PathLike[str] | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[Any]:
    """Read a disparity map, in whatever file it comes.

    Parameters
    ----------
    source
        Path, or the bytes of a file: PNG of 8 or 16 bit, TIFF of integers or floats, JPEG or WebP that is grey (nearly,
        as lossy formats keep it), NPY and NPZ of (H, W) numbers (axes of length one don't count; of several arrays the
        one called depth or disparity), PFM, and HEIC (needs the heif extra) or JPEG of a phone with depth inside. The
        format is recognised by the first bytes.
    name
        What the file is called in errors.
    max_pixels
        Maps of more pixels are refused.

    Returns
    -------
    (h, w) of the file's type, values as in the file, infinite and NaN ones too; of a phone's photo float32, upright,
    larger where nearer.

    Raises
    ------
    ValueError
        One line that names the file: absent, damaged, no such format, in colour, or no depth in it.
    """
    name = name or ("the map" if isinstance(source, bytes) else os.fspath(source))
    data = source if isinstance(source, bytes) else read_bytes(source)
    if data.startswith((b"\x93NUMPY", b"PK\3\4")):
        return _from_numpy(data, name, max_pixels)
    if re.match(rb"P[fF]\s", data):
        return _from_pfm(data, name, max_pixels)
    if data.startswith(_EXR):
        raise ValueError(f"{name} is an EXR file, which is not read: save it as {READ}")
    if data[4:8] == b"ftyp" and not is_avif(data):
        inside = depth_inside(data, name)
        if inside is None:
            raise ValueError(f"{name} has no depth inside: it is no portrait photo, or was saved without")
        return inside
    if data[:4] in MAGICS:
        try:
            values = decode_map(data, max_pixels)
        except Exception:  # noqa: BLE001  what is wrong, decode says
            values = None
        if values is not None:
            return values
    inside = depth_inside(data, name)
    if inside is not None:
        return inside
    try:
        return grey(decode(data, name, max_pixels).pixels, name)
    except ValueError as error:
        if "is no picture that refocal reads" in str(error):
            raise ValueError(f"{name} is no map that refocal reads ({READ})") from None
        raise


def laid_over(
    values: NDArray[Any],
    size: tuple[int, int],
    orientation: int,
    name: str,
    say: Callable[[str], object] = warnings.warn,
) -> NDArray[Any]:
    """Return a map as it lies over an upright photo; one of a photo that was not turned is turned as the photo was.

    Parameters
    ----------
    values
        (h, w), as read.
    size
        Height and width of the upright photo.
    orientation
        EXIF orientation by which the photo was turned.
    name
        What the map is called.
    say
        Takes a line: that it is turned, that it may want turning, or that its shape is not the photo's.
    """
    fits, fits_stored = (_apart(values.shape, sides) <= ASPECT for sides in (size, size[::-1]))
    if orientation >= 5 and fits_stored and not fits:
        say(f"{name} is of the photo before it was turned (EXIF orientation); it is turned too")
        return turned(values, orientation)
    if not fits:
        (height, width), (rows, columns) = size, values.shape
        sizes = f"{columns} x {rows}, the photo {width} x {height}"
        say(f"{name} is {sizes}: it is stretched, and may belong to another picture")
    elif orientation > 1 and (orientation < 5 or fits_stored):
        taken = f"{name} is taken as it lies: turn it if its tool did not"
        say(f"the photo was turned (EXIF orientation {orientation}); {taken}")
    return values


def _apart(one: tuple[int, ...], other: tuple[int, int]) -> float:
    """Return by which factor the aspects of two sizes differ, 1 or more."""
    return math.exp(abs(math.log(one[0] * other[1] / (one[1] * other[0]))))


def write_disparity(path: str | os.PathLike[str], disparity: NDArray[np.float32]) -> None:
    """Write a disparity in focus units, (H, W) in [-1, 1], as a 16-bit PNG: 0 the farthest, 65535 the nearest."""
    write_image(path, np.rint((disparity + 1) / 2 * 65535).astype(np.uint16))


def _named(files: list[str]) -> str:
    """Return which array of an archive is the map."""
    if len(files) == 1:
        return files[0]
    found = next((key for key in NAMES if key in files), None)
    if found is None:
        raise ValueError(f"it holds {', '.join(files) or 'nothing'}; one called depth or disparity is read")
    return found


def _check_unpacked(data: bytes, max_pixels: int) -> None:
    """Refuse what is larger than a map of doubles could be, by what its header says, before memory is asked for."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = max((info.file_size for info in archive.infolist()), default=0)
    else:
        file = io.BytesIO(data)
        first = np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        size = math.prod(shape) * dtype.itemsize
        if size > len(data):
            raise ValueError(f"it is cut off: {shape} of {dtype} take {size} bytes, it has {len(data)}")
    if size > 8 * max_pixels + 4096:
        raise ValueError(f"it has {size} bytes unpacked, more than a map of the {max_pixels} pixels allowed")


def _from_numpy(data: bytes, name: str, max_pixels: int) -> NDArray[Any]:
    try:
        _check_unpacked(data, max_pixels)
        loaded: Any = np.load(io.BytesIO(data), allow_pickle=False)
        loaded = loaded if isinstance(loaded, np.ndarray) else loaded[_named(loaded.files)]
    except Exception as error:  # noqa: BLE001  NumPy raises anything on damaged headers and archives
        reason = "it holds Python objects, or is damaged" if "allow_pickle" in str(error) else str(error)
        raise ValueError(f"{name} cannot be decoded: {' '.join(reason.split())[:200]}") from None
    values: NDArray[Any] = loaded
    shape = values.shape
    while values.ndim > 2 and 1 in values.shape:
        values = values.squeeze(values.shape.index(1))
    if values.ndim != 2 or values.dtype.kind not in "uif" or 0 in values.shape:
        raise ValueError(f"{name} must hold (H, W) integers or floats, it holds {shape} of {values.dtype}")
    return values


def _from_pfm(data: bytes, name: str, max_pixels: int) -> NDArray[np.float32]:
    """Decode a portable float map: rows from the bottom up, little-endian where the scale is negative."""
    head = re.match(rb"P([fF])\s+(\d{1,6})\s+(\d{1,6})\s+([-+.\deE]+)\s", data)
    if head is None:
        raise ValueError(f"{name} cannot be decoded: its header is no PFM header")
    width, height, channels = int(head[2]), int(head[3]), 3 if head[1] == b"F" else 1
    if width * height > max_pixels:
        raise ValueError(f"{name} has {width * height} pixels, more than the {max_pixels} allowed")
    try:
        order = "<f4" if float(head[4]) < 0 else ">f4"
        values = np.frombuffer(data, order, width * height * channels, head.end()).astype(np.float32)
    except ValueError:
        raise ValueError(f"{name} cannot be decoded: it holds less than {width} x {height} numbers") from None
    stored = values.reshape(height, width, channels)[::-1]
    return stored[..., 0] if channels == 1 else grey(stored, name)

"""Disparity maps from and to files: PNG, TIFF and NPY, and the depth inside portrait photos of phones.

Phones keep it in three ways: HEIC as an auxiliary depth image (Apple; read by libheif), JPEG as a further picture
behind the photo, announced by its MPF segment and described in its own XMP (Apple, http://ns.apple.com/pixeldatainfo/1.0/),
and JPEG with the map in base64 inside the photo's XMP (Google, https://developers.google.com/depthmap-metadata). What
comes back is larger where it is nearer in all three. Google's later Dynamic Depth (a container behind the photo) is
not read.
"""

import base64
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile

from refocal.images.decoding import MAX_PIXELS, decode
from refocal.images.image import write_image
from refocal.images.metadata import ORIENTATION

_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PICTURES = 0xB002  # MPF tag: where each picture of the file lies (CIPA DC-007, 5.2.3.3)
# ITU-T H.265 (12/2016), table G.4, as libheif numbers them: 1 / z, disparity, z, disparity along a curve.
_UNIFORM_Z = 2


def read_disparity(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a disparity map: a grey PNG, TIFF, JPEG or WebP, an NPY file, or the depth inside a phone's portrait photo.

    Parameters
    ----------
    path
        PNG of 8 or 16 bit, TIFF of 8, 16 bit or float, NPY of (H, W) numbers; HEIC (needs the heif extra) or JPEG of a
        phone. The format is recognised by the first bytes.

    Returns
    -------
    (h, w) of the file's type, values as in the file; of a phone's photo float32, upright, larger where nearer.

    Raises
    ------
    ValueError
        One line that names the file: absent, damaged, no such format, in colour, or no depth in it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    name = str(path)
    if data.startswith(b"\x93NUMPY"):
        return _from_npy(data, name)
    if data[4:8] == b"ftyp":
        inside = _inside_heif(data, name)
        if inside is None:
            raise ValueError(f"{name} has no depth inside: it is no portrait photo, or was saved without")
        return inside
    inside = _inside_jpeg(data, name) if data.startswith(b"\xff\xd8\xff") else None
    return _grey(decode(data, name, MAX_PIXELS)[0], name) if inside is None else inside


def write_disparity(path: str | os.PathLike[str], disparity: NDArray[np.float32]) -> None:
    """Write a disparity in focus units, (H, W) in [-1, 1], as a 16-bit PNG: 0 the farthest, 65535 the nearest."""
    write_image(path, np.rint((disparity + 1) / 2 * 65535).astype(np.uint16))


def depth_inside(source: str | os.PathLike[str] | bytes) -> NDArray[np.float32] | None:
    """Return the depth inside a phone's portrait photo, as `read_disparity` does; None where there is none.

    Parameters
    ----------
    source
        Path, or the bytes of a file.

    Raises
    ------
    ValueError
        One line that names the file: it cannot be read, or its depth cannot.
    """
    if isinstance(source, bytes):
        data, name = source, "the picture"
    else:
        name = str(source)
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {name}: {error.strerror or error}") from None
    if data[4:8] == b"ftyp":
        return _inside_heif(data, name)
    return _inside_jpeg(data, name) if data.startswith(b"\xff\xd8\xff") else None


def _from_npy(data: bytes, name: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from None
    if values.ndim != 2 or values.dtype.kind not in "uif" or 0 in values.shape:
        raise ValueError(f"{name} must hold (H, W) integers or floats, it holds {values.shape} of {values.dtype}")
    return values


def _grey(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the one channel of a grey picture, however it is stored."""
    if pixels.ndim == 2:
        return pixels
    grey = pixels[..., 0]
    if not all(np.array_equal(grey, pixels[..., k], equal_nan=pixels.dtype.kind == "f") for k in (1, 2)):
        raise ValueError(f"{name} is a picture in colour with no depth inside; a disparity map is grey")
    return grey


def _inside_heif(data: bytes, name: str) -> NDArray[np.float32] | None:
    try:
        import pillow_heif
    except ImportError:
        raise ValueError(f"{name} needs the heif extra: pip install 'refocal[heif]' (no pillow_heif here)") from None
    try:
        found = [
            (np.asarray(depth), depth.info["metadata"])
            for depth in pillow_heif.open_heif(io.BytesIO(data)).info.get("depth_images", ())
        ]
    except Exception as error:  # noqa: BLE001  libheif's errors are of many classes
        raise ValueError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from None
    if not found:
        return None
    values, about = found[0]
    if about.get("representation_type") == _UNIFORM_Z:
        raise ValueError(f"{name} stores its depth as uniform z, which is not read; disparity and 1 / z are")
    near = about.get("d_max") if "d_max" in about else 1 / about["z_near"] if about.get("z_near") else 1.0
    far = about.get("d_min") if "d_min" in about else 1 / about["z_far"] if about.get("z_far") else 0.0
    share = _share(values if values.ndim == 2 else values[..., 0])
    return share if far >= near else (far + share * (near - far)).astype(np.float32)


def _inside_jpeg(data: bytes, name: str) -> NDArray[np.float32] | None:
    """Return the map that a phone put into its JPEG, upright; None if there is none."""
    try:
        picture = JpegImageFile(io.BytesIO(data))
        found = _google(picture, name)
        for part in _further_pictures(data, picture) if found is None else ():
            found = _apple(part, name) if found is None else found
        if found is None:
            return None
        stored = Image.fromarray(found)
        stored.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)  # the photo's counts for its map
        return np.asarray(ImageOps.exif_transpose(stored))
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged files
        reason = " ".join(str(error).split()).removeprefix(f"{name} cannot be decoded: ")
        raise ValueError(f"{name} cannot be decoded: {reason or type(error).__name__}") from None


def _further_pictures(data: bytes, picture: JpegImageFile) -> list[bytes]:
    if "mp" not in picture.info:
        return []
    entries = (MpoImageFile(io.BytesIO(data)).mpinfo or {})[_PICTURES][1:]
    starts = [entry["DataOffset"] + picture.info["mpoffset"] for entry in entries]
    return [data[start : start + entry["Size"]] for start, entry in zip(starts, entries, strict=True)]


def _apple(part: bytes, name: str) -> NDArray[np.float32] | None:
    """Decode a picture behind the photo if its XMP says that it is disparity or depth."""
    picture = JpegImageFile(io.BytesIO(part))
    xmp = picture.info.get("xmp", b"")
    kind = _field(xmp, "apdi:AuxiliaryImageType")
    if kind not in {"disparity", "depth"}:
        return None  # a gain map, a matte, a preview
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f"its depth has more than {MAX_PIXELS} pixels")
    share = _share(_grey(np.asarray(picture), name))  # as stored: the photo's orientation counts, not its own
    low, high = (float(_field(xmp, f"apdi:Float{end}Value") or default) for end, default in (("Min", 0), ("Max", 1)))
    values = low + share * (high - low)
    return (values if kind == "disparity" else 1 / np.maximum(values, 1e-3)).astype(np.float32)


def _google(picture: JpegImageFile, name: str) -> NDArray[np.float32] | None:
    """Decode the map in the photo's XMP: a share of the way from near to far, in 1 / z (RangeInverse) or in z."""
    xmp = picture.info.get("xmp", b"")
    chunks = [chunk[len(_EXTENDED_XMP) :] for app, chunk in picture.applist if chunk.startswith(_EXTENDED_XMP)]
    wanted = _field(xmp, "xmpNote:HasExtendedXMP")
    chunks = [chunk for chunk in chunks if wanted is None or chunk[:32] == wanted.encode()]
    # Each: GUID (32), length of all (4), offset of this (4), text.
    extended = b"".join(chunk[40:] for chunk in sorted(chunks, key=lambda chunk: chunk[36:40]))
    coded = _field(extended, "GDepth:Data") or _field(xmp, "GDepth:Data")
    if coded is None:
        return None
    pixels = decode(base64.b64decode(coded), name, MAX_PIXELS)[0]
    share = _share(pixels if pixels.ndim == 2 else pixels[..., 0])
    near, far = (
        float(_field(xmp, f"GDepth:{end}") or _field(extended, f"GDepth:{end}") or 0) for end in ("Near", "Far")
    )
    if not 0 < near < far:
        return 1 - share
    if (_field(xmp, "GDepth:Format") or _field(extended, "GDepth:Format")) == "RangeLinear":
        return (1 / (near + share * (far - near))).astype(np.float32)
    return (1 / near - share * (1 / near - 1 / far)).astype(np.float32)


def _field(xmp: bytes, key: str) -> str | None:
    """Return a property of an XMP packet, written as an attribute or as an element."""
    found = re.search(rb"\b" + key.encode() + rb"(?:\s*=\s*\"([^\"]*)\"|>([^<]*)<)", xmp)
    return None if found is None else (found[1] or found[2] or b"").decode("latin-1").strip()


def _share(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return integers as a share of their type's range, floats as they are."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return (values / np.float32(np.iinfo(values.dtype).max)).astype(np.float32)

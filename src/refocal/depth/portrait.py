"""The depth inside portrait photos of phones.

Phones keep it in four ways: HEIC as an auxiliary depth image (Apple; read by libheif), JPEG as a further picture behind
the photo, announced by its MPF segment and described in its own XMP (Apple, http://ns.apple.com/pixeldatainfo/1.0/), or
named in a container directory (Dynamic Depth, https://developer.android.com/media/camera/camera2/Dynamic-depth-v1.0.pdf),
and JPEG with the map in base64 inside the photo's XMP (Google, https://developers.google.com/depthmap-metadata). What
comes back is larger where it is nearer in all of them. Samsung's and Xiaomi's own kinds are named, not read.
"""

import base64
import html
import io
import os
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile

from refocal.depth.disparity import to_focus
from refocal.depth.upsampling import enlarge
from refocal.images.decoding import MAX_PIXELS, decode, is_avif
from refocal.images.image import read_bytes
from refocal.images.metadata import ORIENTATION, orientation_of

_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PICTURES = 0xB002  # MPF tag: where each picture of the file lies (CIPA DC-007, 5.2.3.3)
# ITU-T H.265 (12/2016), table G.4, as libheif numbers them: 1 / z, disparity, z, disparity along a curve.
_UNIFORM_Z = 2
# What kinds that are not read are known by: the first in the file, the second in its XMP too.
_OTHERS = {"Samsung": (b"DualShot_DepthMap",), "Xiaomi": (b"MiCamera:XMPMeta", b"depthmap")}
_DYNAMIC = b"http://ns.google.com/photos/dd/1.0/depthmap/"
_NEARLY_GREY = 0.03  # difference of the channels of a grey map that lossy formats make, of the range


def depth_inside(source: str | os.PathLike[str] | bytes, name: str = "the picture") -> NDArray[np.float32] | None:
    """Return the depth inside a phone's portrait photo, larger where nearer, upright; None where there is none.

    Parameters
    ----------
    source
        Path, or the bytes of a file.
    name
        What bytes are called in errors.

    Raises
    ------
    ValueError
        One line that names the file: it cannot be read, or its depth cannot.
    """
    if isinstance(source, bytes):
        data = source
    else:
        data, name = read_bytes(source), os.fspath(source)
    if data[4:8] == b"ftyp":
        return None if is_avif(data) else _inside_heif(data, name)
    return _inside_jpeg(data, name) if data.startswith(b"\xff\xd8\xff") else None


def portrait_disparity(source: str | os.PathLike[str] | bytes, pixels: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return the disparity inside a portrait photo, (H, W) in focus units; None without, or with a damaged one.

    Parameters
    ----------
    source
        Path, or the bytes of a file.
    pixels
        What it shows, upright.

    Warns
    -----
    UserWarning
        Of a damaged one.
    """
    try:
        found = depth_inside(source)
        return None if found is None else enlarge(to_focus(found), pixels)
    except ValueError as error:
        warnings.warn(f"{error}; the model's own is used instead", stacklevel=2)
        return None


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
    share = _share(values if values.ndim == 2 else values[..., 0])
    if about.get("representation_type") == _UNIFORM_Z:  # a share of the way from z_near to z_far
        z_near, z_far = float(about.get("z_near") or 0), float(about.get("z_far") or 0)
        return (1 / (z_near + share * (z_far - z_near))).astype(np.float32) if 0 < z_near < z_far else 1 - share
    near = about.get("d_max") if "d_max" in about else 1 / about["z_near"] if about.get("z_near") else 1.0
    far = about.get("d_min") if "d_min" in about else 1 / about["z_far"] if about.get("z_far") else 0.0
    return share if far >= near else (far + share * (near - far)).astype(np.float32)


def _inside_jpeg(data: bytes, name: str) -> NDArray[np.float32] | None:
    """Return the map that a phone put into its JPEG, upright; None if there is none."""
    try:
        picture = JpegImageFile(io.BytesIO(data))
        xmp = _whole_xmp(picture)
        found = _google(xmp, name)
        if found is None:
            further = (_apple(part, name) for part in _further_pictures(data, picture))
            found = next((depth for depth in further if depth is not None), None)
        if found is None:
            found = _dynamic(data, xmp, name)
        if found is None:
            _refuse_others(data)
            return None
        stored = Image.fromarray(found)
        stored.getexif()[ORIENTATION] = orientation_of(picture.getexif())  # the photo's counts for its map
        return np.asarray(ImageOps.exif_transpose(stored))
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged files
        reason = " ".join(str(error).split()).removeprefix(f"{name} cannot be decoded: ")
        raise ValueError(f"the depth inside {name} cannot be read: {reason or type(error).__name__}") from None


def _refuse_others(data: bytes) -> None:
    for maker, words in _OTHERS.items():
        if all(word in data for word in words):
            raise ValueError(f"it is of {maker}'s own kind")


def _further_pictures(data: bytes, picture: JpegImageFile) -> list[bytes]:
    """Return the pictures behind the photo that its MPF segment names, those that are there."""
    if "mp" not in picture.info:
        return []
    try:  # what a tool cut off, or moved, is still named: then there are none
        entries = (MpoImageFile(io.BytesIO(data)).mpinfo or {})[_PICTURES][1:]
        starts = [entry["DataOffset"] + picture.info["mpoffset"] for entry in entries]
    except Exception:  # noqa: BLE001  see above
        return []
    parts = [data[start : start + entry["Size"]] for start, entry in zip(starts, entries, strict=True)]
    return [part for part in parts if part.startswith(b"\xff\xd8\xff")]


def _apple(part: bytes, name: str) -> NDArray[np.float32] | None:
    """Decode a picture behind the photo if its XMP says that it is disparity or depth."""
    picture = JpegImageFile(io.BytesIO(part))
    xmp = picture.info.get("xmp", b"")
    kind = _field(xmp, "apdi:AuxiliaryImageType")
    if kind not in {"disparity", "depth"}:
        return None  # a gain map, a matte, a preview
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f"its depth has more than {MAX_PIXELS} pixels")
    share = _share(grey(np.asarray(picture), name))  # as stored: the photo's orientation counts, not its own
    low, high = (float(_field(xmp, f"apdi:Float{end}Value") or default) for end, default in (("Min", 0), ("Max", 1)))
    values = low + share * (high - low)
    return (values if kind == "disparity" else 1 / np.maximum(values, 1e-3)).astype(np.float32)


def _google(xmp: bytes, name: str) -> NDArray[np.float32] | None:
    """Decode the map in the photo's XMP."""
    coded = _field(xmp, "GDepth:Data")
    if coded is None:
        return None
    return _ranged(decode(base64.b64decode(coded), name, MAX_PIXELS)[0], xmp, "GDepth")


def _dynamic(data: bytes, xmp: bytes, name: str) -> NDArray[np.float32] | None:
    """Decode the map behind the photo that Dynamic Depth names: items follow each other up to the end of the file."""
    items = re.findall(rb"<(?:\w+:)?Item\b[^>]*?>", xmp)
    ends, end = [], len(data)
    for item in reversed(items):
        length = _field(item, "Item:Length")
        start = end - (int(length) if length and length.isdigit() else 0)
        ends.append((_field(item, "Item:Semantic"), start, end))
        end = start - int(_field(item, "Item:Padding") or 0)
    place = next(((start, end) for kind, start, end in ends if kind == "Depth" and 0 < start < end), None)
    if place is None and _DYNAMIC in xmp:  # no directory: what lies behind the photo
        start = data.rfind(b"\xff\xd8\xff")
        place = (start, len(data)) if start > 0 and data[start - 2 : start] == b"\xff\xd9" else None
        if place is None:
            _refuse_others(data)
            raise ValueError("Dynamic Depth names a map that is not there")
    if place is None:
        return None
    return _ranged(decode(data[slice(*place)], name, MAX_PIXELS)[0], xmp, "DepthMap")


def _ranged(pixels: NDArray[Any], xmp: bytes, prefix: str) -> NDArray[np.float32]:
    """Turn a share of the way from near to far, in 1 / z (RangeInverse) or in z (RangeLinear), into 1 / z."""
    share = _share(pixels if pixels.ndim == 2 else pixels[..., 0])
    near, far = (float(_field(xmp, f"{prefix}:{end}") or 0) for end in ("Near", "Far"))
    if not 0 < near < far:
        return 1 - share
    if _field(xmp, f"{prefix}:Format") == "RangeLinear":
        return (1 / (near + share * (far - near))).astype(np.float32)
    return (1 / near - share * (1 / near - 1 / far)).astype(np.float32)


def _whole_xmp(picture: JpegImageFile) -> bytes:
    """Return the photo's XMP packet, and the extended one behind it."""
    xmp: bytes = picture.info.get("xmp", b"")
    chunks = [chunk[len(_EXTENDED_XMP) :] for app, chunk in picture.applist if chunk.startswith(_EXTENDED_XMP)]
    wanted = _field(xmp, "xmpNote:HasExtendedXMP")
    chunks = [chunk for chunk in chunks if wanted is None or chunk[:32] == wanted.encode()]
    # Each: GUID (32), length of all (4), offset of this (4), text.
    return xmp + b"".join(chunk[40:] for chunk in sorted(chunks, key=lambda chunk: chunk[36:40]))


def _field(xmp: bytes, key: str) -> str | None:
    """Return a property of an XMP packet, written as an attribute or as an element."""
    found = re.search(rb"\b" + key.encode() + rb"(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)')|>([^<]*)<)", xmp)
    if found is None:
        return None
    text = (found[1] or found[2] or found[3] or b"").decode("latin-1")
    return html.unescape(text).strip()


def grey(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the one channel of a grey picture, however it is stored; ValueError for one in colour."""
    if pixels.ndim == 2:
        return pixels
    first = pixels[..., 0]
    if pixels.dtype.kind == "f":
        alike = all(np.array_equal(first, pixels[..., k], equal_nan=True) for k in (1, 2))
    else:  # JPEG and WebP keep grey only nearly
        apart = np.ptp(pixels[..., :3].astype(np.int32), axis=2)
        alike = float(np.percentile(apart, 99)) <= _NEARLY_GREY * np.iinfo(pixels.dtype).max
    if not alike:
        raise ValueError(f"{name} is a picture in colour with no depth inside; a disparity map is grey")
    return np.asarray(first if pixels.dtype.kind == "f" else pixels[..., 1])


def _share(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return integers as a share of their type's range, floats as they are."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return (values / np.float32(np.iinfo(values.dtype).max)).astype(np.float32)

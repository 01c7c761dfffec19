"""Pixels to image files: JPEG and WebP by Pillow, PNG by imagecodecs, TIFF by tifffile."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from refocal.images.metadata import EXIF_HEADER, EXIF_IFD, GPS_IFD, Metadata, fitted_exif, fitted_xmp
from refocal.images.tiff import PHOTO_TAGS, XMP_TAG

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
LONGEST = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # px a side that a format, or its library, holds


NOTHING = Metadata()
_PNG_XMP = "XML:com.adobe.xmp"


def check_format(pixels: NDArray[Any], path: Path, quality: int) -> None:
    """Refuse what cannot be written to such a path, before any work is done for it.

    Raises
    ------
    ValueError
        Unknown suffix, sides that the format cannot hold, quality out of range, or transparency into JPEG.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot write {path}: the suffix must be one of {', '.join(SUFFIXES)}")
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST.get(suffix, max(height, width)):
        kind = "WebP" if suffix == ".webp" else "JPEG"
        raise ValueError(
            f"cannot write {path}: {kind} holds {LONGEST[suffix]} pixels a side, the photo is {width} x {height}; "
            "write PNG or TIFF"
        )
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, got {quality}")
    if suffix in {".jpg", ".jpeg"} and pixels.ndim == 3 and pixels.shape[2] == 4:
        opaque = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
        if pixels[..., 3].min() < opaque:
            raise ValueError(f"cannot write {path}: JPEG holds no transparency; write PNG, WebP or TIFF")


def encode(
    pixels: NDArray[Any], path: Path, *, icc: bytes | None = None, metadata: Metadata = NOTHING, quality: int = 95
) -> bytes:
    """Encode checked pixels in the format of the path's suffix; see `images.write_image`."""
    check_format(pixels, path, quality)
    suffix = path.suffix.lower()
    try:
        if suffix in {".tif", ".tiff"}:
            return _encode_tiff(pixels, icc, metadata)
        if suffix == ".png":
            return _encode_png(pixels, icc, metadata)
        return _encode_pillow(_to_8bit(pixels), suffix, icc, metadata, quality)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot write {path}: {error}") from None


def _encode_pillow(
    pixels: NDArray[np.uint8], suffix: str, icc: bytes | None, metadata: Metadata, quality: int
) -> bytes:
    kind = "WEBP" if suffix == ".webp" else "JPEG"
    exif, xmp, dpi = metadata
    if kind == "JPEG":
        exif, xmp = fitted_exif(exif), fitted_xmp(xmp)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            pixels = np.ascontiguousarray(pixels[..., :3])
    options: dict[str, Any] = {"quality": quality, "icc_profile": icc, "lossless": quality == 100}  # that of WebP alone
    if exif:
        options["exif"] = EXIF_HEADER + exif
    if dpi:
        options["dpi"] = dpi
    if xmp:
        options["xmp"] = xmp
    if quality >= 90:
        options["subsampling"] = 0  # full colour resolution
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _to_8bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    scale = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 1 / 257, np.dtype(np.float32): 255.0}[pixels.dtype]
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * np.float32(scale)).astype(np.uint8)


def _encode_png(pixels: NDArray[Any], icc: bytes | None, metadata: Metadata) -> bytes:
    if pixels.dtype == np.float32:
        pixels = np.rint(pixels * np.float32(65535)).astype(np.uint16)
    # Much faster than zlib's level 6 with all filters, for a few more bytes.
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=4, filter=imagecodecs.PNG.FILTER.FAST))
    chunks = b""
    if icc:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if metadata.exif:
        chunks += _png_chunk(b"eXIf", metadata.exif)
    if metadata.dpi:
        across, down = (round(dots / 0.0254) for dots in metadata.dpi)
        chunks += _png_chunk(b"pHYs", struct.pack(">IIB", across, down, 1))  # a metre
    if metadata.xmp:
        chunks += _png_chunk(b"iTXt", _PNG_XMP.encode() + bytes(5) + metadata.xmp)
    return data[:33] + chunks + data[33:]  # signature (8) and IHDR (25) come first


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    """PNG specification (ISO/IEC 15948), 5.3: length, type, data, CRC of type and data."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _encode_tiff(pixels: NDArray[Any], icc: bytes | None, metadata: Metadata) -> bytes:
    exif, xmp, dpi = metadata
    tags = Image.Exif()
    if exif:
        tags.load(EXIF_HEADER + exif)
    extra: list[tuple[Any, ...]] = [
        (tag, "s", 0, _text(tags[tag]), True) for tag in PHOTO_TAGS if tag in tags and tag not in {270, 305}
    ]
    if xmp:
        extra.append((XMP_TAG, "B", len(xmp), xmp, True))
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        byteorder="<",
        photometric="minisblack" if pixels.ndim == 2 else "rgb",
        extrasamples=["unassalpha"] if pixels.ndim == 3 and pixels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        description=_text(tags[270]) if 270 in tags else None,
        software=_text(tags[305]) if 305 in tags else None,
        resolution=dpi,
        resolutionunit="INCH" if dpi else None,
        metadata=None,
        iccprofile=icc,
        extratags=extra,
    )
    inner = {number: dict(tags.get_ifd(number)) for number in (EXIF_IFD, GPS_IFD)}
    return _with_directories(buffer.getvalue(), inner)


def _text(value: object) -> bytes:
    """Return a tag as its bytes: TIFF has ASCII alone, but names are not."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def _with_directories(data: bytes, inner: Mapping[int, dict[int, Any]]) -> bytes:
    """Put directories of EXIF and GPS into a little-endian TIFF file: behind it, and its own, longer, behind them.

    tifffile leaves them out.
    """
    made = bytearray(data + bytes(len(data) % 2))
    start = int.from_bytes(made[4:8], "little")
    count = int.from_bytes(made[start : start + 2], "little")
    entries = [bytes(made[start + 2 + 12 * k : start + 14 + 12 * k]) for k in range(count)]
    for number, values in inner.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=number)
        try:
            for tag, value in values.items():
                directory[tag] = value
            block = directory.tobytes(len(made)) if values else b""
        except Exception:  # noqa: BLE001  what Pillow cannot write: the photo is worth more
            block = b""
        if block:
            entries.append(struct.pack("<HHII", number, 4, 1, len(made)))  # 4: LONG
            made += block + bytes(len(block) % 2)
    if len(entries) == count:
        return data
    in_order = sorted(entries, key=lambda entry: int.from_bytes(entry[:2], "little"))  # of tags
    made[4:8] = struct.pack("<I", len(made))
    return bytes(made) + struct.pack("<H", len(entries)) + b"".join(in_order) + bytes(4)

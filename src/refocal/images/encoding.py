"""Pixels to image files: JPEG, PNG and WebP by Pillow, 16-bit PNG by imagecodecs, TIFF by tifffile."""

import io
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from refocal.images.decoding import EXIF_HEADER, TIFF_TAGS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def check_format(pixels: NDArray[Any], path: Path, quality: int) -> None:
    """Refuse what cannot be written to such a path, before any work is done for it.

    Raises
    ------
    ValueError
        Unknown suffix, quality out of range, or transparency into JPEG.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"cannot write {path}: the suffix must be one of {', '.join(SUFFIXES)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, got {quality}")
    if path.suffix.lower() in {".jpg", ".jpeg"} and pixels.ndim == 3 and pixels.shape[2] == 4:
        opaque = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
        if pixels[..., 3].min() < opaque:
            raise ValueError(f"cannot write {path}: JPEG holds no transparency; write PNG, WebP or TIFF")


def encode(pixels: NDArray[Any], path: Path, *, icc: bytes | None, exif: bytes | None, quality: int) -> bytes:
    """Encode checked pixels in the format of the path's suffix; see `images.write_image`."""
    check_format(pixels, path, quality)
    suffix = path.suffix.lower()
    try:
        if suffix in {".tif", ".tiff"}:
            return _encode_tiff(pixels, icc, exif)
        if suffix == ".png" and pixels.dtype != np.uint8:
            return _encode_png16(pixels, icc, exif)
        return _encode_pillow(_to_8bit(pixels), suffix, icc, exif, quality)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot write {path}: {error}") from None


def _encode_pillow(
    pixels: NDArray[np.uint8], suffix: str, icc: bytes | None, exif: bytes | None, quality: int
) -> bytes:
    kind = {".png": "PNG", ".webp": "WEBP"}.get(suffix, "JPEG")
    if kind == "JPEG" and pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = np.ascontiguousarray(pixels[..., :3])
    options: dict[str, Any] = {
        "quality": quality,
        "icc_profile": icc,
        "lossless": quality == 100,
    }  # lossless: WebP alone
    if exif:
        options["exif"] = EXIF_HEADER + exif
    if quality >= 90:
        options["subsampling"] = 0  # full colour resolution
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _to_8bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    scale = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 1 / 257, np.dtype(np.float32): 255.0}[pixels.dtype]
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * np.float32(scale)).astype(np.uint8)


def _encode_png16(pixels: NDArray[Any], icc: bytes | None, exif: bytes | None) -> bytes:
    if pixels.dtype == np.float32:
        pixels = np.rint(pixels * np.float32(65535)).astype(np.uint16)
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    chunks = b""
    if icc:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        chunks += _png_chunk(b"eXIf", exif)
    return data[:33] + chunks + data[33:]  # signature (8) and IHDR (25) come first


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    """PNG specification (ISO/IEC 15948), 5.3: length, type, data, CRC of type and data."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _encode_tiff(pixels: NDArray[Any], icc: bytes | None, exif: bytes | None) -> bytes:
    tags = Image.Exif()
    if exif:
        tags.load(EXIF_HEADER + exif)
    extra = [(tag, "s", 0, str(tags[tag]), True) for tag in TIFF_TAGS if tag in tags and tag not in {270, 305}]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="minisblack" if pixels.ndim == 2 else "rgb",
        extrasamples=["unassalpha"] if pixels.ndim == 3 and pixels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        description=str(tags[270]) if 270 in tags else None,
        software=str(tags[305]) if 305 in tags else None,
        metadata=None,
        iccprofile=icc,
        extratags=extra,
    )
    return buffer.getvalue()

"""Image files to pixels: JPEG, PNG, WebP by Pillow, 16-bit PNG by imagecodecs, TIFF by tifffile, HEIC by libheif.

The format is recognised by the first bytes of a file, never by its name. Pillow's `Image.open` is not used: it would
warn of 100-megapixel photos, which cameras make, and try forty formats; the size is checked here, before decoding.
"""

import io
import warnings
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 2**28  # 268 megapixels: phones make 200
ORIENTATION = 0x0112
EXIF_HEADER = b"Exif\0\0"
# Of a TIFF file's own tags, those that speak of the photo and not of the file's layout: description, maker, model,
# software, date, artist, copyright.
TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432)
# EXIF orientation -> how stored rows and columns become upright ones (CIPA DC-008, 4.6.5.A): transposed first, then
# rows and columns reversed.
_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}

EXIF_KEYS = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # of Pillow's info: what getexif looks into

Decoded = tuple[NDArray[Any], bytes | None, bytes | None]  # upright pixels, ICC profile, EXIF


def decode(data: bytes, name: str, max_pixels: int) -> Decoded:
    """Decode a picture file: upright pixels, ICC profile, EXIF with the orientation reset.

    Raises
    ------
    ValueError
        One line that begins with `name`: no such picture, damaged, or more than `max_pixels`.
    """
    try:
        if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
            pixels, icc, exif = _decode_tiff(data, max_pixels)
        elif data[4:8] == b"ftyp":
            pixels, icc, exif = _decode_heif(data, max_pixels)
        else:
            pixels, icc, exif = _decode_pillow(data, max_pixels)
        turn = exif.get(ORIENTATION, 1)
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        block = exif.tobytes().removeprefix(EXIF_HEADER) if len(exif) else None
        return _upright(pixels, turn), icc, block
    except _TooLargeError as error:
        raise ValueError(f"{name} has {error.args[0]} pixels, more than the {max_pixels} allowed") from None
    except _NoPictureError:
        raise ValueError(f"{name} is no picture that refocal reads (JPEG, PNG, WebP, TIFF, HEIC)") from None
    except ImportError:
        raise ValueError(f"{name} needs the heif extra: pip install 'refocal[heif]' (no pillow_heif here)") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} cannot be decoded: {reason}") from None


class _TooLargeError(Exception):
    """Width times height, above the limit."""


class _NoPictureError(Exception):
    """Not a format that is read here."""


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _TooLargeError(width * height)


def _upright(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    transpose, rows, columns = _TURNS.get(orientation, (0, 0, 0))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])


def _decode_pillow(data: bytes, max_pixels: int) -> tuple[NDArray[Any], bytes | None, Image.Exif]:
    kinds: dict[bytes, type[ImageFile]] = {b"\xff\xd8\xff": JpegImageFile, b"\x89PNG": PngImageFile}
    kind = next((kinds[magic] for magic in kinds if data.startswith(magic)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = WebPImageFile
    if kind is None:
        raise _NoPictureError
    picture = kind(io.BytesIO(data))
    _check_size(*picture.size, max_pixels)
    if kind is PngImageFile and _is_plain_png(data):  # libpng is nearly twice as fast: benchmarks/lightfields.py
        exif = picture.getexif() if EXIF_KEYS & picture.info.keys() else Image.Exif()
        return _with_known_channels(imagecodecs.png_decode(data)), picture.info.get("icc_profile"), exif
    picture.load()  # also reads what stands behind the pixels: a PNG may hold its EXIF there
    exif, icc = picture.getexif(), picture.info.get("icc_profile")
    if kind is PngImageFile and data[24] == 16:  # IHDR: bit depth. Pillow cuts 16-bit colour to 8 bit
        return _with_known_channels(imagecodecs.png_decode(data)), icc, exif
    if picture.mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(picture, icc)), None, exif
    if "transparency" in picture.info or picture.mode in {"LA", "PA", "RGBa"}:
        return np.asarray(picture.convert("RGBA")), icc, exif
    if picture.mode not in {"L", "RGB", "RGBA"}:
        return np.asarray(picture.convert("L" if picture.mode == "1" else "RGB")), icc, exif
    return np.asarray(picture), icc, exif


def _is_plain_png(data: bytes) -> bool:
    """Tell whether a PNG file is grey, RGB or RGBA of 8 bits, with nothing to be known behind its pixels."""
    if data[24] != 8 or data[25] not in {0, 2, 6}:  # IHDR: bit depth, colour type
        return False
    at, seen = 8, set()
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind == b"tRNS" or (b"IDAT" in seen and kind not in {b"IDAT", b"IEND"}):
            return False
        seen.add(kind)
        at += 12 + int.from_bytes(data[at : at + 4])
    return b"IEND" in seen


def _decode_heif(data: bytes, max_pixels: int) -> tuple[NDArray[Any], bytes | None, Image.Exif]:
    import pillow_heif

    if not pillow_heif.is_supported(data):
        raise _NoPictureError
    picture = pillow_heif.open_heif(io.BytesIO(data))
    width, height = picture.size
    _check_size(width, height, max_pixels)
    exif = Image.Exif()
    exif.load(picture.info.get("exif") or b"")
    exif.pop(ORIENTATION, None)  # libheif has turned it
    return _with_known_channels(np.asarray(picture)), picture.info.get("icc_profile"), exif


def _cmyk_to_rgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert by the embedded profile where there is a valid one, else by the plain formula; warns that it does."""
    warnings.warn("the photo is CMYK; it is turned into sRGB", stacklevel=5)
    if icc:
        try:
            srgb = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(picture, io.BytesIO(icc), srgb, outputMode="RGB")
            return turned if turned is not None else picture.convert("RGB")
        except ImageCms.PyCMSError:
            pass
    return picture.convert("RGB")


def _with_known_channels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Make (H, W, 1) to (H, W), and grey with alpha to RGBA; refuse what is no picture."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        return pixels[..., [0, 0, 0, 1]]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4}):
        return pixels
    raise ValueError(f"a picture has 1 to 4 channels, got {pixels.shape}")


def _decode_tiff(data: bytes, max_pixels: int) -> tuple[NDArray[Any], bytes | None, Image.Exif]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        _check_size(page.imagewidth, page.imagelength, max_pixels)
        pixels = page.asarray()
        if page.axes == "SYX":  # channels stored one after the other
            pixels = np.moveaxis(pixels, 0, -1)
        icc = page.iccprofile
        exif = Image.Exif()
        for tag in (*TIFF_TAGS, ORIENTATION):
            if tag in page.tags and isinstance(page.tags[tag].value, str | int):
                exif[tag] = page.tags[tag].value
        pixels = _with_known_channels(_plain_dtype(pixels))
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = (1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max) - pixels
        elif page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            pixels = np.rint(page.colormap.T[pixels] / 257).astype(np.uint8)  # 16-bit entries
        elif page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
            if pixels.dtype != np.uint8:
                raise ValueError(f"CMYK of {pixels.dtype} is not read, 8 bit is")
            return np.asarray(_cmyk_to_rgb(Image.fromarray(pixels, "CMYK"), icc)), None, exif
    return pixels, icc, exif


def _plain_dtype(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32)
    if pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        raise ValueError(f"values of {pixels.dtype} are not read; uint8, uint16 and floats are")
    return pixels

"""Image files to pixels: JPEG, PNG, WebP, AVIF by Pillow, 16-bit PNG by imagecodecs, TIFF by tifffile, HEIC by libheif.

The format is recognised by the first bytes of a file, never by its name. Pillow's `Image.open` is not used: it would
warn of 100-megapixel photos, which cameras make, and try forty formats; the size is checked here, before decoding.
"""

import io
import re
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import PurePath
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Image as AnyPicture
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from refocal.images.errors import NoPictureError, RawFileError, TooLargeError, check_size
from refocal.images.metadata import ORIENTATION, kept_xmp, loaded_exif, orientation_of, readable_exif, written_exif
from refocal.images.profiles import cmyk_to_rgb, fitting, nclx_of, png_profile, profile_of_code
from refocal.images.tiff import MAGICS, Stored, decode_tiff

MAX_PIXELS = 2**28  # 268 megapixels: phones make 200
FORMATS = "JPEG, PNG, WebP, TIFF, HEIC, AVIF, BMP, PNM"
_KINDS = {b"\xff\xd8\xff": JpegImageFile, b"\x89PNG": PngImageFile, b"BM": BmpImageFile}  # by the first bytes
# EXIF orientation -> how stored rows and columns become upright ones (CIPA DC-008, 4.6.5.A): transposed first, then
# rows and columns reversed.
_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
# Of raw files that do not begin as TIFF does: Olympus, Panasonic, Fuji, Sigma, Minolta.
_RAW_MAGICS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILM", b"FOVb", b"\0MRM")
_RAW_SUFFIX = re.compile(
    r"\.(3fr|arw|cr[23w]|dcr|dng|erf|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw[2l]|sr[2fw]|x3f)", re.IGNORECASE
)
_NOT_CLIPPED = 0.5  # share of a float photo's values that may lie beyond white before it is taken for none


class Decoded(NamedTuple):
    """What a file holds: upright pixels, ICC profile, EXIF and XMP made true to them, pixels an inch."""

    pixels: NDArray[Any]
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    dpi: tuple[float, float] | None
    orientation: int


def decode(data: bytes, name: str, max_pixels: int) -> Decoded:
    """Decode a picture file: upright pixels, ICC profile, metadata with the orientation reset.

    Raises
    ------
    ValueError
        One line that begins with `name`: no such picture, damaged, or more than `max_pixels`.

    Warns
    -----
    UserWarning
        Of metadata, profiles and values that could not be kept as they are.
    """
    try:
        stored = _decode(data, name, max_pixels)
        turn = orientation_of(stored.exif)
        upright = turned(_clipped(stored.pixels), turn)
        size = upright.shape[1], upright.shape[0]
        pixels, icc = fitting(upright, stored.icc)
        exif, xmp = written_exif(stored.exif, size), kept_xmp(stored.xmp, size)
        return Decoded(pixels, icc, exif, xmp, _sound(stored.dpi), turn)
    except TooLargeError as error:
        raise ValueError(f"{name} has {error.args[0]} pixels, more than the {max_pixels} allowed") from None
    except NoPictureError:
        raise ValueError(f"{name} is no picture that refocal reads ({FORMATS})") from None
    except RawFileError:
        raise ValueError(f"{name} is a camera's raw file: develop it first (darktable, RawTherapee …)") from None
    except ImportError:
        raise ValueError(f"{name} needs the heif extra: pip install 'refocal[heif]' (no pillow_heif here)") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} cannot be decoded: {reason}") from None


def is_avif(data: bytes) -> bool:
    """Tell whether a file is AVIF, by its brands."""
    return data[4:8] == b"ftyp" and any(brand in data[8:64] for brand in (b"avif", b"avis"))


def _decode(data: bytes, name: str, max_pixels: int) -> Stored:
    if data[:4] in MAGICS:
        if _RAW_SUFFIX.fullmatch(PurePath(name).suffix):
            raise RawFileError
        return decode_tiff(data, max_pixels)
    if data.startswith(_RAW_MAGICS) or data[4:12] == b"ftypcrx ":
        raise RawFileError
    if data[4:8] == b"ftyp" and not is_avif(data):
        return _decode_heif(data, max_pixels)
    return _decode_pillow(data, max_pixels)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels upright, according to an EXIF orientation."""
    transpose, rows, columns = _TURNS.get(orientation, (0, 0, 0))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])


def _clipped(pixels: NDArray[Any]) -> NDArray[Any]:
    """Clip floats to [0, 1], with a warning; ValueError where most lie beyond."""
    if pixels.dtype != np.float32:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not (low < 0 or high > 1):  # NaN stays, and is refused as pixels that no picture has
        return pixels
    if float(np.mean(pixels > 1)) > _NOT_CLIPPED:
        raise ValueError(f"its values reach from {low:.4g} to {high:.4g}; those of a photo lie in [0, 1]")
    warnings.warn(f"the photo's values reach from {low:.4g} to {high:.4g}; they are clipped to 0 … 1", stacklevel=4)
    return np.asarray(np.clip(pixels, 0, 1))


def _sound(dpi: object) -> tuple[float, float] | None:
    """Return pixels an inch as a file may hold them; None for nonsense."""
    if not (isinstance(dpi, tuple) and len(dpi) == 2 and all(isinstance(dots, int | float) for dots in dpi)):
        return None
    across, down = round(float(dpi[0]), 2), round(float(dpi[1]), 2)
    return (across, down) if 1 <= across < 65535 and 1 <= down < 65535 else None  # NaN fails too


def _decode_pillow(data: bytes, max_pixels: int) -> Stored:
    picture = _kind_of(data)(io.BytesIO(data))
    check_size(*picture.size, max_pixels)
    is_png = isinstance(picture, PngImageFile)
    plain = is_png and _is_plain_png(data)
    if not plain:
        picture.load()  # also reads what stands behind the pixels: a PNG may hold its EXIF there
    about = picture.info
    # Of a PNG file without EXIF before its pixels, getexif would decode them all to look behind.
    find = partial(AnyPicture.getexif, picture) if plain else picture.getexif
    exif, icc, dpi = readable_exif(find), about.get("icc_profile"), about.get("dpi")
    xmp = about.get("xmp") or about.get("XML:com.adobe.xmp")
    if picture.mode == "CMYK":
        return Stored(np.asarray(cmyk_to_rgb(picture, icc)), None, exif, xmp, dpi)
    # libpng is nearly twice as fast (benchmarks/lightfields.py); Pillow cuts 16-bit colour to 8 bit (24: bit depth).
    by_libpng = plain or (is_png and data[24] == 16)
    pixels = _with_known_channels(imagecodecs.png_decode(_pixels_alone(data)) if by_libpng else _by_pillow(picture))
    if icc is None and is_png:
        icc = png_profile(data, about, grey=pixels.ndim == 2)
    elif icc is None and is_avif(data):
        icc = profile_of_code(*nclx_of(data))
    return Stored(pixels, icc, exif, xmp, dpi)


def _by_pillow(picture: ImageFile) -> NDArray[Any]:
    if picture.mode.startswith("I"):  # grey of 16 bit, as PGM has it
        return np.asarray(picture).clip(0, 65535).astype(np.uint16)
    plain = {"1": "L", "LA": "RGBA", "PA": "RGBA", "RGBa": "RGBA", "L": "L", "RGBA": "RGBA"}
    wanted = "RGBA" if "transparency" in picture.info else plain.get(picture.mode, "RGB")
    return np.asarray(picture if picture.mode == wanted else picture.convert(wanted))


def _kind_of(data: bytes) -> type[ImageFile]:
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return PpmImageFile
    if is_avif(data):
        from PIL.AvifImagePlugin import AvifImageFile

        return AvifImageFile
    raise NoPictureError


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give name, start and end of each chunk of a PNG file, as far as they can be told."""
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], at, end
        at = end


def _pixels_alone(data: bytes) -> bytes:
    """Return a PNG file without what stands beside its pixels: libpng prints what it dislikes there."""
    kept, start = [], 0
    for name, at, end in _png_chunks(data):
        if name not in {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}:
            kept.append(memoryview(data)[start:at])
            start = end
    return data if not kept else b"".join([*kept, memoryview(data)[start:]])


def _is_plain_png(data: bytes) -> bool:
    """Tell whether a PNG file is grey, RGB or RGBA of 8 bits, with nothing to be known behind its pixels."""
    if data[24] != 8 or data[25] not in {0, 2, 6}:  # IHDR: bit depth, colour type
        return False
    seen = set()
    for name, _, _ in _png_chunks(data):
        if name == b"tRNS" or (b"IDAT" in seen and name not in {b"IDAT", b"IEND"}):
            return False
        seen.add(name)
    return b"IEND" in seen


def _decode_heif(data: bytes, max_pixels: int) -> Stored:
    import pillow_heif

    if not pillow_heif.is_supported(data):
        raise NoPictureError
    picture = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    width, height = picture.size
    check_size(width, height, max_pixels)
    about = picture.info
    icc, code = about.get("icc_profile"), about.get("nclx_profile") or {}
    if not icc and code:
        icc = profile_of_code(int(code.get("color_primaries", 1)), int(code.get("transfer_characteristics", 13)))
    exif = loaded_exif(about.get("exif"))
    exif.pop(ORIENTATION, None)  # libheif has turned it
    pixels = _with_known_channels(np.asarray(picture))
    if pixels.dtype == np.uint16:  # 10 or 12 bits, left-aligned: white is all ones
        depth = int(about.get("bit_depth", 16))
        white = 2**16 - 2 ** (16 - depth)
        pixels = np.rint(pixels * np.float32(65535 / white)).clip(0, 65535).astype(np.uint16)
    return Stored(pixels, icc, exif, about.get("xmp"))


def _with_known_channels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Make (H, W, 1) to (H, W), and grey with alpha to RGBA; refuse what is no picture."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        return pixels[..., [0, 0, 0, 1]]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4}):
        return pixels
    raise ValueError(f"a picture has 1 to 4 channels, got {pixels.shape}")

"""TIFF files, by tifffile: the page that is the picture, its channels and colours as plain ones, and its EXIF.

TIFF 6.0 and its supplements hold more kinds of pictures than any other format. What is not turned into grey, RGB or
RGBA is refused by its name, never shown as something else.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from refocal.images.errors import RawFileError, check_size
from refocal.images.metadata import EXIF_HEADER, EXIF_IFD, GPS_IFD, ORIENTATION
from refocal.images.profiles import cmyk_to_rgb

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said here, in one line

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of the file's own tags, those that speak of the photo and not of the file's layout: description, maker, model,
# software, date, artist, copyright.
PHOTO_TAGS = (270, 271, 272, 305, 306, 315, 33432)
XMP_TAG, DNG_VERSION = 700, 50706
SENSOR = {32803, 34892}  # photometric interpretations of raw files: colour filter array, linear raw
DEEP = (10, 12, 14)  # bits a sample
REDUCED, MASK = 1, 4  # bits of NewSubfileType
_ASSOCIATED, _UNASSOCIATED = 1, 2  # of ExtraSamples: premultiplied and straight alpha


class Stored(NamedTuple):
    """What a file holds, as it lies there: pixels, ICC profile, EXIF, XMP, and pixels an inch."""

    pixels: NDArray[Any]
    icc: bytes | None
    exif: Image.Exif
    xmp: bytes | str | None = None
    dpi: tuple[float, float] | None = None


def decode_tiff(data: bytes, max_pixels: int) -> Stored:
    """Decode the first page that is neither a thumbnail nor a mask."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _picture(file, data)
        check_size(page.imagewidth, page.imagelength, max_pixels)
        pixels = page.asarray()
        if page.axes == "SYX":  # channels stored one after the other
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.dtype == np.uint16 and page.bitspersample in DEEP:  # unpacked, but not to the whole range
            pixels = np.rint(pixels * np.float32(65535 / (2**page.bitspersample - 1))).astype(np.uint16)
        icc = page.iccprofile
        xmp = page.tags[XMP_TAG].value if XMP_TAG in page.tags else None
        pixels, icc = _coloured(page, _plain_dtype(pixels), icc)
        return Stored(pixels, icc, _tags(page, data), xmp if isinstance(xmp, bytes) else None, _density(page))


def decode_map(data: bytes, max_pixels: int) -> NDArray[Any] | None:
    """Decode one channel of numbers of any type, as maps of depth have them; None where the file holds a picture."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _picture(file, data)
        check_size(page.imagewidth, page.imagelength, max_pixels)
        if page.samplesperpixel != 1 or page.photometric != tifffile.PHOTOMETRIC.MINISBLACK:
            return None
        values: NDArray[Any] = page.asarray()
        exif = _tags(page, data)
    return values if values.ndim == 2 and values.dtype.kind in "uif" and ORIENTATION not in exif else None


def _picture(file: tifffile.TiffFile, data: bytes) -> Any:
    """Return the page that is the picture; RawFileError where the file is a camera's."""
    first = file.pages.first
    if data[8:10] == b"CR" or DNG_VERSION in first.tags:
        raise RawFileError
    pages = [*_pages(file)]
    if any(int(page.photometric) in SENSOR for page in pages):
        raise RawFileError
    whole = (page for page in pages if not _kind(page) & (REDUCED | MASK))
    return next(whole, first)


def _pages(file: tifffile.TiffFile) -> Iterator[Any]:
    """Give the first page, and those behind and inside it as long as none is the picture."""
    for page in file.pages:
        if not isinstance(page, tifffile.TiffPage):
            page = page.aspage()  # noqa: PLW2901
        yield page
        inner = []
        with contextlib.suppress(Exception):  # an offset that leads nowhere
            inner = [one if isinstance(one, tifffile.TiffPage) else one.aspage() for one in page.pages or ()]
        yield from inner
        if not _kind(page) & (REDUCED | MASK):
            return


def _kind(page: Any) -> int:
    return int(page.subfiletype or 0)


def _tags(page: Any, data: bytes) -> Image.Exif:
    """Return what the page's tags say of the photo, with the directories of EXIF and GPS."""
    exif, stored = Image.Exif(), Image.Exif()
    for tag in (*PHOTO_TAGS, ORIENTATION):
        if tag in page.tags and isinstance(page.tags[tag].value, str | int):
            exif[tag] = page.tags[tag].value
    with contextlib.suppress(Exception):  # Pillow knows no BigTIFF, and raises anything on odd tags
        stored.load(EXIF_HEADER + data)
        for number in (EXIF_IFD, GPS_IFD):
            if found := dict(stored.get_ifd(number)):
                exif.get_ifd(number).update(found)
    return exif


def _density(page: Any) -> tuple[float, float] | None:
    unit = int(page.tags[296].value) if 296 in page.tags else 2
    found = []
    for tag in (282, 283):
        value = page.tags[tag].value if tag in page.tags else None
        if not (isinstance(value, tuple) and len(value) == 2 and all(isinstance(x, int) and x > 0 for x in value)):
            return None
        found.append(value[0] / value[1] * {2: 1.0, 3: 2.54}.get(unit, 0.0))
    return (found[0], found[1]) if min(found) > 1 else None


def _coloured(page: Any, pixels: NDArray[Any], icc: bytes | None) -> tuple[NDArray[Any], bytes | None]:
    """Return pixels as grey, RGB or RGBA, and the profile that they are in."""
    kind, known = page.photometric, tifffile.PHOTOMETRIC
    if kind == known.PALETTE and page.colormap is not None:
        return np.rint(page.colormap.T[pixels] / 257).astype(np.uint8), icc  # 16-bit entries
    if kind in {known.MINISBLACK, known.MINISWHITE}:
        pixels = _with_alpha(page, pixels, 1)
        if kind == known.MINISWHITE:
            pixels = _limit(pixels) - pixels
        return pixels, icc
    if kind == known.RGB or (kind == known.YCBCR and page.compression in {6, 7, 34892}):  # JPEG's is decoded to RGB
        return _with_alpha(page, pixels, 3), icc
    if pixels.dtype != np.uint8:
        raise ValueError(f"{kind.name} of {pixels.dtype} is not read, 8 bit is")
    if kind == known.SEPARATED and pixels.ndim == 3 and pixels.shape[2] >= 4:
        return np.asarray(cmyk_to_rgb(Image.fromarray(np.ascontiguousarray(pixels[..., :4]), "CMYK"), icc)), None
    if kind == known.YCBCR and pixels.ndim == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels[..., :3]), "YCbCr").convert("RGB")), icc
    if kind in {known.CIELAB, known.ICCLAB} and pixels.ndim == 3:
        return _lab_to_rgb(pixels[..., :3], signed=kind == known.CIELAB), None
    raise ValueError(
        f"a TIFF of {getattr(kind, 'name', kind)} is not read; grey, RGB, CMYK, YCbCr, Lab and palettes are"
    )


def _with_alpha(page: Any, pixels: NDArray[Any], colours: int) -> NDArray[Any]:
    """Keep colours and straight alpha; leave out what other channels there are."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] < colours:
        raise ValueError(f"a picture has 1 to 4 channels, got {pixels.shape}")
    colour, further = pixels[..., :colours], pixels.shape[2] - colours
    kinds = [int(kind) for kind in page.extrasamples][:further]
    alpha = next((k for k, kind in enumerate(kinds) if kind in {_ASSOCIATED, _UNASSOCIATED}), None)
    if alpha is None and further == 1 and not kinds:
        alpha = 0  # not said: what a fourth channel mostly is
    if further > (alpha is not None):
        warnings.warn("channels that are no transparency (saved selections, masks) are left out", stacklevel=6)
    if alpha is None:
        return colour[..., 0] if colours == 1 else np.ascontiguousarray(colour)
    opacity = pixels[..., colours + alpha]
    if kinds and kinds[alpha] == _ASSOCIATED:
        colour = _divided(colour, opacity)
    return np.concatenate([colour.repeat(3 // colours, axis=2), opacity[..., None]], axis=2)


def _divided(colour: NDArray[Any], opacity: NDArray[Any]) -> NDArray[Any]:
    """Undo premultiplication."""
    limit = _limit(colour)
    share = np.maximum(opacity[..., None].astype(np.float32) / np.float32(limit), 1e-6)
    straight = np.clip(colour / share, 0, limit)
    return np.asarray((straight if colour.dtype == np.float32 else np.rint(straight)).astype(colour.dtype))


def _lab_to_rgb(pixels: NDArray[np.uint8], *, signed: bool) -> NDArray[np.uint8]:
    """Turn L*a*b* into sRGB; a* and b* are signed bytes, or have 128 added (ICC)."""
    warnings.warn("the photo is Lab; it is turned into sRGB", stacklevel=6)
    shift = 0 if signed else 128  # Pillow has them signed
    packed = np.stack([pixels[..., 0], pixels[..., 1] + np.uint8(shift), pixels[..., 2] + np.uint8(shift)], axis=-1)
    lab = Image.frombytes("LAB", (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(packed).tobytes())
    made = ImageCms.profileToProfile(
        lab, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return np.asarray(made)


def _limit(pixels: NDArray[Any]) -> Any:
    return np.float32(1) if pixels.dtype == np.float32 else pixels.dtype.type(np.iinfo(pixels.dtype).max)


def _plain_dtype(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32)
    if pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        raise ValueError(f"values of {pixels.dtype} are not read; uint8, uint16 and floats are")
    return pixels

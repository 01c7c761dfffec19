"""Colour profiles (ICC): which belongs to which pixels, turning values into sRGB, and the few that we make.

Pictures keep their profile where the output has a place for one. Where it has none (animations, living pictures), and
where values would be blurred wrongly or could not be labelled (linear light, grey beside colour), they become sRGB.
"""

import io
import struct
import warnings
from functools import cache, lru_cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Pixels = NDArray[Any]
# Primaries by ITU-T H.273, table 2, adapted to the white D50 of ICC profiles: columns of XYZ for red, green and blue.
_D50 = (0.9642, 1.0, 0.8249)
_PRIMARIES = {
    1: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),  # sRGB, BT.709
    9: ((0.67351, 0.27904, -0.00194), (0.16566, 0.67534, 0.02998), (0.12508, 0.04563, 0.79690)),  # BT.2020
    12: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),  # Display P3
}
_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
_PQ, _HLG = 16, 18  # transfer characteristics of H.273 that hold more than white
_SDR_GAMMA = 1 / 2.2  # of a PNG's gAMA: what sRGB is about
_ALIKE = 2  # of 255: a profile that changes colours by no more is sRGB
_LINEAR = 0.1  # a profile under which mid grey becomes so much brighter in sRGB holds linear light, or almost


@cache
def srgb_profile() -> bytes:
    """Return a profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def matrix_profile(primaries: int, gamma: float | None = None, *, grey: bool = False) -> bytes | None:
    """Return an RGB or grey profile (ICC.1:2010, 8.3 and 9.2).

    Parameters
    ----------
    primaries
        Number of H.273; 1: those of sRGB, 12: of Display P3.
    gamma
        Light is value ** gamma; None: as in sRGB.
    grey
        For grey pictures: primaries don't count.

    Returns
    -------
    bytes, or None for primaries that are not known here.
    """
    if primaries not in _PRIMARIES:
        return None
    if gamma is None:  # ICC.1:2010, 10.16, function type 3
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, numbers))
    else:
        curve = b"para\0\0\0\0" + struct.pack(">HH", 0, 0) + _fixed(gamma)
    text = "refocal".encode("utf-16-be")
    named = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", named), (b"cprt", named), (b"wtpt", _xyz(_D50))]
    if grey:
        tags.append((b"kTRC", curve))
    else:
        for colour, column in zip((b"r", b"g", b"b"), _PRIMARIES[primaries], strict=True):
            tags += [(colour + b"XYZ", _xyz(column)), (colour + b"TRC", curve)]
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"GRAY" if grey else b"RGB "
    about = (0x04200000, b"mntr", space, b"XYZ ", _DATE, b"acsp")
    head = struct.pack(">I4sI4s4s4s12s4s", start + len(body), bytes(4), *about)
    return head.ljust(68, b"\0") + b"".join(map(_fixed, _D50)).ljust(60, b"\0") + table + body


def _fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def _xyz(numbers: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, numbers))


def png_profile(data: bytes, about: dict[Any, Any], *, grey: bool) -> bytes | None:
    """Return a profile for what a PNG without one says of its colours: cICP, else gAMA unless sRGB is said too."""
    at = data.find(b"cICP", 8, 4096)
    if at > 0:
        return profile_of_code(data[at + 4], data[at + 5])
    gamma = about.get("gamma")
    if "srgb" in about or not isinstance(gamma, float) or not 0.1 < gamma < 10 or abs(gamma / _SDR_GAMMA - 1) < 0.05:
        return None
    return matrix_profile(1, 1 / gamma, grey=grey)


def nclx_of(data: bytes) -> tuple[int, int]:
    """Return primaries and transfer that an AVIF file names (ISO 14496-12, 12.1.5.2); those of sRGB if it does not."""
    at = data.find(b"colrnclx")
    if at < 0:
        return 1, 13
    return int.from_bytes(data[at + 8 : at + 10]), int.from_bytes(data[at + 10 : at + 12])


def profile_of_code(primaries: int, transfer: int) -> bytes | None:
    """Return the profile of colours that are coded by H.273; None for sRGB, and for what is not known."""
    if transfer in {_PQ, _HLG}:
        raise ValueError("it holds HDR (PQ or HLG), which is not read: export it as SDR")
    return None if primaries == 1 else matrix_profile(primaries)


def fitting(pixels: Pixels, icc: bytes | None) -> tuple[Pixels, bytes | None]:
    """Return pixels and the profile that they are in, as far as both can be kept.

    A profile that cannot be read is left out. Values become sRGB, without a profile, where the profile is of grey and
    the pixels are not or the other way round, and where they are linear light, which would be blurred wrongly.

    Warns
    -----
    UserWarning
        Of the first and the last.
    """
    if not icc:
        return pixels, None
    space = _space(icc)
    if space is None:
        warnings.warn("the photo's colour profile cannot be read; it is left out", stacklevel=4)
        return pixels, None
    if space not in {"GRAY", "RGB"}:  # of what the pixels were before they were decoded
        return pixels, None
    if _is_linear(icc):
        warnings.warn("the photo's colour profile is that of linear light; it is turned into sRGB", stacklevel=4)
        return to_srgb(pixels, icc), None
    if (space == "GRAY") != (pixels.ndim == 2):
        return to_srgb(pixels, icc), None
    return pixels, icc


def to_srgb(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return the pixels in sRGB, of the same shape and type; without a profile they are taken for sRGB.

    Parameters
    ----------
    pixels
        As in `images.Image`; alpha stays as it is.
    icc
        Of grey or RGB.
    """
    space = _space(icc) if icc else None
    if icc is None or space not in {"GRAY", "RGB"} or _is_srgb(icc):
        return pixels
    colour = pixels if pixels.ndim == 2 else pixels[..., :3]
    if space == "GRAY":
        grey = colour if colour.ndim == 2 else colour[..., 0]
        made = _transformed(grey, icc, "gray")
    else:
        made = _transformed(colour if colour.ndim == 3 else np.stack([colour] * 3, axis=-1), icc, "rgb")
    if pixels.ndim == 2:
        return np.ascontiguousarray(made[..., 1])
    return np.concatenate([made, pixels[..., 3:]], axis=2)


def cmyk_to_rgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert by the embedded profile where there is a valid one, else by the plain formula; warns that it does."""
    warnings.warn("the photo is CMYK; it is turned into sRGB", stacklevel=6)
    if icc:
        try:
            srgb = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(picture, io.BytesIO(icc), srgb, outputMode="RGB")
            return turned if turned is not None else picture.convert("RGB")
        except ImageCms.PyCMSError:
            pass
    return picture.convert("RGB")


def _transformed(values: Pixels, icc: bytes, space: str) -> Pixels:
    made = imagecodecs.cms_transform(
        np.ascontiguousarray(values),
        icc,
        srgb_profile(),
        colorspace=space,
        outcolorspace="rgb",
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
    )
    return np.asarray(np.clip(made, 0, 1) if values.dtype == np.float32 else made)


@lru_cache(maxsize=64)
def _space(icc: bytes) -> str | None:
    """Return the colour space of a profile; None where it cannot be read."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError, ValueError):
        return None


@lru_cache(maxsize=64)
def _probed(icc: bytes) -> NDArray[np.float32]:
    """Return what sRGB values a few colours have, grey of a half the first."""
    space = _space(icc)
    levels = np.linspace(0, 1, 5, dtype=np.float32)
    if space == "GRAY":
        values = np.array([[0.5, *levels]], np.float32)
    else:
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        values = np.concatenate([np.full((1, 1, 3), 0.5, np.float32), cube], axis=1)
    found: NDArray[np.float32] = _transformed(values, icc, "gray" if space == "GRAY" else "rgb")[0]
    return found


def _is_linear(icc: bytes) -> bool:
    return float(_probed(icc)[0].mean()) > 0.5 + _LINEAR


def _is_srgb(icc: bytes) -> bool:
    if _space(icc) != "RGB":
        return False
    levels = np.linspace(0, 1, 5, dtype=np.float32)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    return float(np.abs(_probed(icc)[1:] - cube).max()) <= _ALIKE / 255

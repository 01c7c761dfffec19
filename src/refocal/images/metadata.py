"""What a picture's file says about it beside the pixels: EXIF, XMP and density, made true and fit to be written again.

Metadata is odd more often than pixels are: tags of the wrong type, numbers that are none, garbage. It never costs the
photo; what cannot be read or written is left out, with a warning.
"""

import re
import warnings
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from PIL.Image import Exif

ORIENTATION = 0x0112
EXIF_HEADER = b"Exif\0\0"
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# Of the main directory, the tags that tell the size of the picture; of EXIF's own (CIPA DC-008, 4.6.5.A, 4.6.6.B).
_SIZE, _EXIF_SIZE = (0x0100, 0x0101), (0xA002, 0xA003)
_JPEG_EXIF = 65533 - len(EXIF_HEADER)  # bytes that a segment of JPEG holds
_JPEG_XMP = 65533 - 29
# What XMP says of things behind or beside the pixels, which are not written again: depth, gain maps, films, more XMP.
_NOT_OURS = (
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/dd/1.0/",
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.apple.com/",
)
# Prefixes that readers look for; of other namespaces the parser invents some. The table is the library's own, for all
# threads: nothing that a file brings may be put into it.
_PREFIXES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
}
for _prefix, _uri in _PREFIXES.items():
    ET.register_namespace(_prefix, _uri)


class Metadata(NamedTuple):
    """What is kept of a picture's metadata.

    Attributes
    ----------
    exif
        EXIF block without its "Exif" header: orientation 1, sizes those of the pixels.
    xmp
        XMP packet: orientation 1, sizes those of the pixels.
    dpi
        Pixels an inch, across and down.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def loaded_exif(block: bytes | None) -> Exif:
    """Return the tags of an EXIF block; empty, with a warning, where it cannot be read."""
    return readable_exif(partial(_loaded, block)) if block else Exif()


def _loaded(block: bytes) -> Exif:
    exif = Exif()
    exif.load(block)
    return exif


def readable_exif(load: Callable[[], Exif]) -> Exif:
    """Return the tags that a function loads, without those that cannot be read; warns of these."""
    try:
        exif = load()
    except Exception:  # noqa: BLE001  Pillow raises anything on odd tags
        warnings.warn("the photo's EXIF cannot be read; it is left out", stacklevel=5)
        return Exif()
    unread = [tag for tag in list(exif) if not _reads(exif, tag)]
    if unread:
        warnings.warn("part of the photo's EXIF cannot be read; it is left out", stacklevel=5)
        kept = Exif()
        for tag in exif:
            if tag in {EXIF_IFD, GPS_IFD}:
                kept.get_ifd(tag).update(_directory(exif, tag))
            elif tag not in unread:
                kept[tag] = exif[tag]
        return kept
    return exif


def _reads(exif: Exif, tag: int) -> bool:
    try:
        exif[tag]
    except Exception:  # noqa: BLE001  see above
        return False
    return True


def orientation_of(exif: Exif) -> int:
    """Return the orientation, 1 to 8; 1 where none is told, or nonsense."""
    value = exif.get(ORIENTATION, 1)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def written_exif(exif: Exif, size: tuple[int, int]) -> bytes | None:
    """Return the block of an upright picture of this (width, height), without header; None where nothing is left.

    Tags that cannot be written again are left out, with a warning.
    """
    if not len(exif):
        return None
    if ORIENTATION in exif:
        exif[ORIENTATION] = 1
    block = _block(exif)
    if block is None:
        dropped = [tag for tag in list(exif) if tag not in {EXIF_IFD, GPS_IFD} and not _writes(exif, tag)]
        for tag in dropped:
            del exif[tag]
        for number in (EXIF_IFD, GPS_IFD):
            _clean_directory(exif, number)
        block = _block(exif)
        warnings.warn("part of the photo's EXIF cannot be written again; it is left out", stacklevel=5)
    if block is None:
        return None
    for names, directory in ((_SIZE, exif), (_EXIF_SIZE, _directory(exif, EXIF_IFD))):
        for tag, side in zip(names, size, strict=True):
            if tag in directory:
                directory[tag] = side
    block = _block(exif)
    return block if block and len(exif) else None


def _block(exif: Exif) -> bytes | None:
    try:
        return exif.tobytes().removeprefix(EXIF_HEADER)
    except Exception:  # noqa: BLE001  struct.error, ValueError, TypeError, OverflowError …
        return None


def _directory(exif: Exif, number: int) -> MutableMapping[int, Any]:
    try:
        return exif.get_ifd(number) if number in exif else {}
    except Exception:  # noqa: BLE001  see above
        return {}


def _writes(exif: Exif, tag: int) -> bool:
    try:
        one = Exif()
        one[tag] = exif[tag]
    except Exception:  # noqa: BLE001  see above
        return False
    return _block(one) is not None


def _clean_directory(exif: Exif, number: int) -> None:
    """Leave out what a directory inside EXIF cannot write again."""
    found = _directory(exif, number)
    for tag in list(found):
        one = Exif()
        one.get_ifd(number)[tag] = found[tag]
        if _block(one) is None:
            del found[tag]
    if number in exif and not found:
        del exif[number]


def fitted_exif(block: bytes | None) -> bytes | None:
    """Return an EXIF block that fits into a JPEG: the largest tags go until it does, with a warning."""
    if block is None or len(block) <= _JPEG_EXIF:
        return block
    warnings.warn("the photo's EXIF is too large for JPEG; its largest parts are left out", stacklevel=5)
    exif = loaded_exif(block)
    made: bytes | None = block
    while made is not None and len(made) > _JPEG_EXIF:
        inner = _directory(exif, EXIF_IFD)
        sizes = {(0, tag): _length(value) for tag, value in exif.items() if tag not in {EXIF_IFD, GPS_IFD}}
        sizes |= {(1, tag): _length(value) for tag, value in inner.items()}
        if not sizes:
            return None
        where, tag = max(sizes, key=sizes.__getitem__)
        del (inner if where else exif)[tag]
        made = _block(exif)
    return made


def _length(value: object) -> int:
    return len(value) if isinstance(value, bytes | str) else 8 * len(value) if isinstance(value, tuple) else 8


def fitted_xmp(packet: bytes | None) -> bytes | None:
    """Return an XMP packet that fits into a JPEG, or None with a warning."""
    if packet is None or len(packet) <= _JPEG_XMP:
        return packet
    warnings.warn("the photo's XMP is too large for JPEG; it is left out", stacklevel=5)
    return None


def kept_xmp(packet: bytes | str | None, size: tuple[int, int]) -> bytes | None:
    """Return the XMP of an upright picture of this (width, height); None where there is none that can be kept.

    What it says of depth, gain maps and films behind the pixels is left out, for they are not written again.
    """
    if not packet:
        return None
    xmp = (packet.encode() if isinstance(packet, str) else bytes(packet)).strip(b"\0 \t\r\n")
    if any(name.encode() in xmp for name in _NOT_OURS):
        made = _without_foreign(xmp)
        if made is None:
            return None
        xmp = made
    xmp = re.sub(rb"(tiff:Orientation\s*=\s*[\"'])\d+|(<tiff:Orientation>)\d+", rb"\g<1>\g<2>1", xmp)
    named = (b"tiff:ImageWidth|exif:PixelXDimension", b"tiff:ImageLength|exif:PixelYDimension")
    for names, side in zip(named, size, strict=True):
        xmp = re.sub(rb"((?:%s)(?:\s*=\s*[\"']|>))\d+" % names, rb"\g<1>%d" % side, xmp)
    return xmp


def _without_foreign(xmp: bytes) -> bytes | None:
    """Take out what belongs to namespaces of things that are not kept; None where nothing can be."""
    start, end = xmp.find(b"<x:xmpmeta"), xmp.rfind(b"</x:xmpmeta>")
    if start < 0 or end < 0 or b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
        return None
    try:
        root = ET.fromstring(xmp[start : end + len(b"</x:xmpmeta>")])  # noqa: S314  no entities, see above
    except (ET.ParseError, ValueError):
        return None
    for node in root.iter(f"{{{_PREFIXES['rdf']}}}Description"):
        for name in [name for name in node.attrib if _is_foreign(name)]:
            del node.attrib[name]
        for child in [child for child in node if _is_foreign(child.tag)]:
            node.remove(child)
    return ET.tostring(root)


def _is_foreign(name: str) -> bool:
    return name.startswith(tuple(f"{{{uri}" for uri in _NOT_OURS))

"""Portrait photos as phones write them, with the depth inside."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image


def apple_xmp(kind: str) -> bytes:
    """As an iPhone writes it behind the photo."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/">'
        b"<apdi:FloatMaxValue>1.800781</apdi:FloatMaxValue><apdi:FloatMinValue>0.360596</apdi:FloatMinValue>"
        b"<apdi:AuxiliaryImageType>" + kind.encode() + b"</apdi:AuxiliaryImageType>"
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


COLOUR = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
MAP = np.tile(np.linspace(0, 255, 24).astype(np.uint8), (16, 1))  # smooth: JPEG keeps it


def write_portrait(path: Path, kind: str, orientation: int = 1) -> Path:
    """Write a JPEG of three pictures: photo, a matte, and `kind`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    further = [Image.fromarray(MAP.max() - MAP), Image.fromarray(MAP)]
    for picture, name in zip(further, ("matte", kind), strict=True):
        picture.encoderinfo = {"xmp": apple_xmp(name), "quality": 100}
    Image.fromarray(COLOUR).save(path, "MPO", save_all=True, append_images=further, exif=exif, quality=95)
    return path


def write_heic(path: Path, pillow_heif: object) -> Path:
    """Write a HEIC of a photo and a depth image, the way phones do: a second item, referred to as auxiliary."""
    file = io.BytesIO()
    heif = pillow_heif.from_pillow(Image.fromarray(COLOUR.repeat(4, 0).repeat(4, 1)))
    heif.add_from_pillow(Image.fromarray(MAP.repeat(8, 0).repeat(8, 1)))
    heif.save(file, quality=95)
    path.write_bytes(with_auxiliary(file.getvalue()))
    return path


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def parts(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def with_auxiliary(data: bytes) -> bytes:
    """Make item 2 of a HEIC the depth image of item 1: ISO 23008-12, auxC property and auxl reference."""
    kind = b"urn:mpeg:hevc:2015:auxid:2\0"
    top = dict(parts(data))
    meta = dict(parts(top[b"meta"][4:]))
    properties = dict(parts(meta[b"iprp"]))
    index = len(parts(properties[b"ipco"])) + 1
    properties[b"ipco"] += box(b"auxC", bytes(4) + kind)
    ipma, at = bytearray(properties[b"ipma"]), 8
    while ipma[at : at + 2] != b"\0\2":
        at += 3 + ipma[at + 2]
    ipma[at + 2] += 1
    ipma[at + 3 : at + 3] = bytes([0x80 | index])
    properties[b"ipma"] = bytes(ipma)
    meta[b"iprp"] = b"".join(box(*part) for part in properties.items())
    meta[b"iref"] = bytes(4) + box(b"auxl", struct.pack(">HHH", 2, 1, 1))
    before = len(top[b"meta"])
    top[b"meta"] = bytes(4) + b"".join(box(*part) for part in meta.items())
    return shifted(b"".join(box(*part) for part in top.items()), len(top[b"meta"]) - before)


def shifted(data: bytes, by: int) -> bytes:
    """Move the places in iloc (4-byte offsets and lengths) by what was put before them."""
    at = data.index(b"iloc") + 4
    version, sizes = data[at], data[at + 4 : at + 6]
    assert sizes[0] == 0x44
    out, base = bytearray(data), sizes[1] >> 4
    (count,), at = struct.unpack_from(">H", data, at + 6), at + 8
    for _ in range(count):
        method = data[at + 3] & 15 if version else 0
        at += (6 if version else 4) + base
        (extents,) = struct.unpack_from(">H", data, at)
        for place in range(at + 2, at + 2 + 8 * extents, 8):
            if method == 0:
                struct.pack_into(">I", out, place, struct.unpack_from(">I", data, place)[0] + by)
        at += 2 + 8 * extents
    return bytes(out)

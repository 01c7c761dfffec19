"""Files that are broken or built to harm, at least ten of each class: class -> name -> bytes."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from service_worker import file_of, photo_of

KINDS = ("JPEG", "PNG", "WEBP", "TIFF")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(
    width: int, height: int, depth: int = 8, colour: int = 2, body: bytes | None = None, extra: bytes = b""
) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = zlib.compress(b"\0" * 1000) if body is None else body
    return b"\x89PNG\r\n\x1a\n" + head + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _tiff(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _as(mode: str, kind: str, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo_of(size[1], size[0])).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def truncated() -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        data = file_of(kind=kind)
        for share in (0.02, 0.1, 0.5, 0.9, 0.999):
            yield f"{kind} {share}", data[: int(len(data) * share)]


def flipped() -> Iterator[tuple[str, bytes]]:
    """Bytes replaced at random places."""
    random = np.random.default_rng(1)
    for kind in KINDS:
        for k in range(10):
            data = bytearray(file_of(kind=kind))
            for place in random.integers(4, len(data), 12):
                data[place] = random.integers(256)
            yield f"{kind} {k}", bytes(data)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that say they are enormous, or unpack to much."""
    for side in (20_000, 65_535, 2**31 - 1):
        yield f"png {side}", _png(side, side)
        yield f"png {side} x 1000", _png(side, 1000)
    yield "png unpacks to much more", _png(8, 8, body=zlib.compress(b"\0" * 50_000_000, 9))
    yield "png text unpacks", _png(8, 8, extra=_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 50_000_000, 9)))
    yield "png profile unpacks", _png(8, 8, extra=_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 50_000_000, 9)))
    tiff = bytearray(_tiff(np.zeros((8, 8, 3), np.uint8), photometric="rgb", compression="zlib"))
    for tag in (256, 257):  # width and height
        place = bytes(tiff).index(struct.pack("<HH", tag, 3)) if struct.pack("<HH", tag, 3) in tiff else None
        if place is not None:
            tiff[place + 8 : place + 10] = struct.pack("<H", 65_535)
    yield "tiff says 65535 x 65535", bytes(tiff)
    yield "tiff that is all zero", _tiff(np.zeros((6000, 9000), np.uint8), compression="zlib")
    jpeg = bytearray(file_of(kind="JPEG"))
    frame = bytes(jpeg).index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    yield "jpeg says 65500 x 65500", bytes(jpeg)
    webp = bytearray(file_of(kind="WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield "webp says 16384 x 16384", bytes(webp)


def polyglots() -> Iterator[tuple[str, bytes]]:
    """Pictures that are something else as well, or something else that begins as a picture."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.txt", "x")
    for kind in KINDS:
        yield f"{kind} and zip", file_of(kind=kind) + archive.getvalue()
        yield f"{kind} and html", file_of(kind=kind) + b"<script>alert(1)</script>"
        yield f"head of {kind}, then html", file_of(kind=kind)[:12] + b"<script>alert(1)</script>" * 50
    yield "jpeg with php in a comment", file_of(kind="JPEG", comment=b"<?php system('id'); ?>")


def wrong() -> Iterator[tuple[str, bytes]]:
    """Give what is no picture at all."""
    yield "empty", b""
    yield "text", b"hello"
    yield "html", b"<html></html>"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "pdf", b"%PDF-1.7\n"
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    yield "pickle", b"\x80\x04cos\nsystem\n"
    yield "npy", b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    yield "bmp", b"BM" + b"\0" * 100
    yield "gif", _as("P", "GIF")
    yield "ico", _as("RGB", "ICO")
    yield "elf", b"\x7fELF" + b"\0" * 100
    yield "webp head alone", b"RIFF\0\0\0\0WEBP"
    yield "wav", b"RIFF\x24\0\0\0WAVEfmt "
    yield "heic head alone", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    yield "avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"


def cmyk() -> Iterator[tuple[str, bytes]]:
    for k in range(6):
        yield f"jpeg {k}", _as("CMYK", "JPEG", (40 + k, 30), quality=50 + 8 * k)
        yield f"tiff {k}", _as("CMYK", "TIFF", (40, 30 + k))


def thin() -> Iterator[tuple[str, bytes]]:
    """One pixel, and strips."""
    for width, height in ((1, 1), (1, 2), (2, 1), (1, 20_000), (20_000, 1), (3, 5000)):
        for kind in ("JPEG", "PNG", "TIFF"):
            yield f"{kind} {width} x {height}", file_of(photo_of(height, width), kind=kind)
    yield "webp 1 x 1", file_of(photo_of(1, 1), kind="WEBP")
    yield "png 0 x 0", _png(0, 0)


def animated() -> Iterator[tuple[str, bytes]]:
    frames = [Image.fromarray(photo_of(32, 32 + 0 * k)) for k in range(4)]
    for kind in ("PNG", "WEBP", "TIFF"):
        for number in (2, 3, 4):
            buffer = io.BytesIO()
            frames[0].save(buffer, kind, save_all=True, append_images=frames[1:number])
            yield f"{kind} {number}", buffer.getvalue()
    many = io.BytesIO()
    frames[0].save(many, "WEBP", save_all=True, append_images=frames * 50, duration=1)
    yield "WEBP 201", many.getvalue()


def deep() -> Iterator[tuple[str, bytes]]:
    """16 bits, 32 bits, 1 bit, floats."""
    ramp = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    yield "png grey 16", file_of(ramp)
    for name in ("uint16", "uint32", "int16", "int32", "float16", "float32", "float64", "bool", "int8", "uint64"):
        yield f"tiff {name}", _tiff(ramp.astype(name))
    yield "tiff rgb 16", _tiff(np.stack([ramp] * 3, -1), photometric="rgb")
    yield "tiff five channels", _tiff(np.stack([ramp] * 5, -1), photometric="minisblack", planarconfig="contig")
    yield "tiff volume", _tiff(np.zeros((7, 9, 11), np.uint16), photometric="minisblack")
    yield "tiff complex", _tiff(np.zeros((8, 8), np.complex64))


def palette() -> Iterator[tuple[str, bytes]]:
    for colours in (2, 4, 16, 256):
        picture = Image.fromarray(photo_of()).quantize(colours)
        for kind in ("PNG", "TIFF"):
            buffer = io.BytesIO()
            picture.save(buffer, kind)
            yield f"{kind} {colours}", buffer.getvalue()
    yield "see-through", _as("P", "PNG", transparency=0)
    yield (
        "index beyond the palette",
        _png(4, 4, 8, 3, zlib.compress(b"\0\xff\xff\xff\xff" * 4), _chunk(b"PLTE", b"abc")),
    )
    yield "no palette", _png(4, 4, 8, 3, zlib.compress(b"\0\1\1\1\1" * 4))
    yield "1 bit", _as("1", "PNG")


def not_numbers() -> Iterator[tuple[str, bytes]]:
    """TIFF of floats: NaN, infinite, negative, huge, tiny."""
    base = np.random.default_rng(0).random((24, 32)).astype(np.float32)
    for name, value in (
        ("nan", np.nan),
        ("inf", np.inf),
        ("-inf", -np.inf),
        ("1e30", 1e30),
        ("-5", -5),
        ("1e-40", 1e-40),
    ):
        some = base.copy()
        some[3:5, 2:9] = value
        yield f"some {name}", _tiff(some)
        yield f"all {name}", _tiff(np.full_like(base, value))
    yield (
        "rgb with nan",
        _tiff(np.where(np.stack([base] * 3, -1) > 0.9, np.nan, 0.5).astype(np.float32), photometric="rgb"),
    )


CORPUS = {
    make.__name__: dict(make())
    for make in (truncated, flipped, bombs, polyglots, wrong, cmyk, thin, animated, deep, palette, not_numbers)
}

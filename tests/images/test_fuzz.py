"""Files that were damaged or made up: read, or refused in one line that names them; never another exception.

`make fuzz` tries REFOCAL_FUZZ examples of each instead of a few.
"""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from refocal.depth.disparity import to_focus
from refocal.depth.files import read_disparity
from refocal.images.encoding import encode
from refocal.images.image import checked_pixels, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
EXAMPLES = int(os.environ.get("REFOCAL_FUZZ", "40"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


def array(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.save)(buffer, PIXELS[..., 0].astype(np.float32))
    return buffer.getvalue()


def tiff(**options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, photometric="rgb", **options)
    return buffer.getvalue()


FILES: dict[str, bytes] = {kind: saved(kind) for kind in ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "PPM")}
FILES |= {"TIFF": tiff(), "deflated TIFF": tiff(compression="zlib"), "NPY": array(False), "NPZ": array(True)}
FILES["PFM"] = b"Pf\n16 12\n-1.0\n" + PIXELS[..., 0].astype("<f4").tobytes()


def either(read: Callable[[], object]) -> bool:
    """Return whether a file was read; a refusal must be one line that names it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except ValueError as error:
            text = str(error)
            assert "\n" not in text
            assert "the picture" in text or "the map" in text or "disparity must hold known values" in text, text
            return False
    return True


def read_and_write(data: bytes) -> None:
    image = read_image(data, max_pixels=1 << 20)
    checked_pixels(image.pixels, "the picture")
    for suffix in (".jpg", ".png", ".tif", ".webp") if max(image.pixels.shape) < 16383 else (".png",):
        opaque = image.pixels[..., :3] if suffix == ".jpg" and image.pixels.ndim == 3 else image.pixels
        again = encode_like(opaque, suffix, image.metadata, image.icc if opaque.ndim == image.pixels.ndim else None)
        assert read_image(again).pixels.shape[:2] == image.pixels.shape[:2]


def encode_like(pixels: np.ndarray, suffix: str, metadata: object, icc: bytes | None) -> bytes:
    from pathlib import Path

    return encode(pixels, Path(f"a{suffix}"), icc=icc, metadata=metadata)  # type: ignore[arg-type]


@fuzz
@given(st.sampled_from(sorted(FILES)), st.data())
def test_files_with_bytes_changed_or_cut_off(kind: str, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del file[data.draw(st.integers(0, len(file))) :]
    either(lambda: read_and_write(bytes(file)))
    either(lambda: to_focus(read_disparity(bytes(file), max_pixels=1 << 20)))


VALUES = st.binary(max_size=24)
TAGS = st.one_of(
    st.sampled_from([*range(256, 260), 262, 270, 271, 273, 274, 277, 282, 283, 296, 305, 306, 513, 700, 34665, 34853]),
    st.integers(0, 65535),
)
ENTRY = st.tuples(TAGS, st.integers(0, 14), st.one_of(st.integers(0, 4), st.integers(0, 2**32 - 1)), VALUES)


def directory(entries: list[tuple[int, int, int, bytes]], first: bytes = b"") -> bytes:
    """Return a little-endian TIFF directory of (tag, type, count, value), as it stands in EXIF."""
    start = 8 + 2 + 12 * len(entries) + 4
    out, behind = b"II*\0" + struct.pack("<IH", 8, len(entries)), b""
    for tag, kind, count, value in entries:
        out += struct.pack("<HHI", tag, kind, count)
        out += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(behind))
        behind += value if len(value) > 4 else b""
    return out + struct.pack("<I", 0) + behind + first


@fuzz
@given(st.lists(ENTRY, max_size=5), st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF"]))
def test_any_exif_costs_no_photo(entries: list[tuple[int, int, int, bytes]], kind: str) -> None:
    block = b"Exif\0\0" + directory(entries)
    if kind == "JPEG":
        plain = FILES["JPEG"]
        data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]
    elif kind == "PNG":
        chunk = b"eXIf" + block[6:]
        framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = FILES["PNG"][:33] + framed + FILES["PNG"][33:]
    else:
        try:
            data = saved(kind, exif=block)
        except Exception:  # noqa: BLE001  what Pillow does not write cannot be brought
            return
    assert either(lambda: read_and_write(data))


@fuzz
@given(st.lists(ENTRY, min_size=1, max_size=12))
def test_tiffs_of_any_tags(entries: list[tuple[int, int, int, bytes]]) -> None:
    either(lambda: read_and_write(directory(entries, PIXELS.tobytes())))
    either(lambda: to_focus(read_disparity(directory(entries, PIXELS.tobytes()), max_pixels=1 << 20)))


@fuzz
@given(st.text(max_size=60), st.binary(max_size=80))
def test_array_headers_of_any_text(text: str, rest: bytes) -> None:
    head = text.encode()
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + rest
    either(lambda: to_focus(read_disparity(data, max_pixels=1 << 20)))


SHAPES = st.lists(st.integers(-2, 2**40), max_size=4).map(tuple)
DTYPES = st.sampled_from(["<f4", "<f8", "|u1", "<i8", "|O", "<U3", "<c8", "|b1", "<f2", "nonsense"])


@fuzz
@given(SHAPES, DTYPES, st.booleans())
def test_array_headers_of_any_shape(shape: tuple[int, ...], dtype: str, fortran: bool) -> None:
    head = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + bytes(64)
    either(lambda: to_focus(read_disparity(data, max_pixels=1 << 20)))


@pytest.mark.parametrize("kind", sorted(FILES))
def test_whole_files_are_read(kind: str) -> None:
    """What the others damage is good."""
    if kind in {"NPY", "NPZ", "PFM"}:
        assert either(lambda: to_focus(read_disparity(FILES[kind])))
    else:
        assert either(lambda: read_and_write(FILES[kind]))

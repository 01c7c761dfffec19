"""Odd metadata never costs the photo; what is kept is true of the pixels."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from refocal.images.image import Image, read_image, write_image
from refocal.images.metadata import kept_xmp

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
UP = (0x0112, 3, 1, struct.pack("<HH", 6, 0))  # orientation 6


def ifd(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return a little-endian EXIF block of (tag, type, count, bytes)."""
    out, place, further = b"II*\0" + struct.pack("<IH", 8, len(entries)), 8 + 2 + 12 * len(entries) + 4, b""
    for tag, kind, count, value in sorted(entries):
        out += struct.pack("<HHI", tag, kind, count)
        out += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", place + len(further))
        further += value if len(value) > 4 else b""
    return out + struct.pack("<I", 0) + further


def jpeg(exif: bytes) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(PIXELS).save(buffer, "JPEG", quality=100, subsampling=0)
    plain, segment = buffer.getvalue(), b"Exif\0\0" + exif
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


ODD = {
    "a width as a byte": (0x0100, 1, 1, b"\x60"),
    "a resolution as text": (0x011A, 2, 3, b"72\0"),
    "a resolution that is no number": (0x011A, 11, 1, struct.pack("<f", float("nan"))),
    "a photometric interpretation twice": (0x0106, 3, 2, struct.pack("<HH", 2, 2)),
    "a description as a fraction": (0x010E, 5, 1, struct.pack("<II", 1, 2)),
    "bits a sample as a large number": (0x0102, 4, 1, struct.pack("<I", 2**31)),
}


@pytest.mark.filterwarnings("ignore:part of the photo's EXIF")
@pytest.mark.parametrize("tag", ODD.values(), ids=ODD)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_an_odd_tag_costs_neither_the_photo_nor_its_orientation(
    tmp_path: Path, tag: tuple[int, int, int, bytes], suffix: str
) -> None:
    maker = (0x010F, 2, 6, b"Maker\0")
    image = read_image(jpeg(ifd(maker, tag, UP)))
    assert image.pixels.shape == (64, 48, 3)
    write_image(tmp_path / f"a{suffix}", image.pixels, like=image)
    with Pillow.open(tmp_path / f"a{suffix}") as written:
        assert written.getexif()[0x010F] == "Maker"
        assert written.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_garbage_in_place_of_exif_is_left_out_with_a_line(tmp_path: Path, kind: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / "a", kind, exif=b"Exif\0\0no tiff here", lossless=True)
    with pytest.warns(UserWarning, match="EXIF cannot be read; it is left out"):
        image = read_image(tmp_path / "a")
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.exif is None


def test_libraries_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / "a.png", exif=b"Exif\0\0no tiff here")
    with pytest.warns(UserWarning, match="EXIF"):
        read_image(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


def test_sizes_in_exif_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112], exif[0x0100], exif[0x0101] = 6, 64, 48
    exif.get_ifd(0x8769).update({0xA002: 64, 0xA003: 48})
    Pillow.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    image = read_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg", image.pixels, like=image)
    with Pillow.open(tmp_path / "b.jpg") as written:
        assert written.size == (48, 64)
        found = written.getexif()
        assert (found[0x0100], found[0x0101]) == (48, 64)
        assert [found.get_ifd(0x8769)[tag] for tag in (0xA002, 0xA003)] == [48, 64]


def test_exif_too_large_for_jpeg_loses_its_largest_parts_alone(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[270], exif[0x010F] = "x" * 70000, "Maker"
    exif.get_ifd(0x8769).update({0x927C: b"m" * 50000, 0x9003: "2026:01:02 03:04:05"})
    Pillow.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="EXIF is too large for JPEG; its largest parts are left out"):
        write_image(tmp_path / "b.jpg", image.pixels, like=image)
    with Pillow.open(tmp_path / "b.jpg") as written:
        found = written.getexif()
        assert 270 not in found
        assert found[0x010F] == "Maker"
        assert found.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"
    write_image(tmp_path / "b.png", image.pixels, like=image)
    with Pillow.open(tmp_path / "b.png") as written:
        assert len(written.getexif()[270]) == 70000


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:rights="me"'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:ImageWidth="64" tiff:ImageLength="48"'
    b' xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" GDepth:Near="0.5"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_xmp_and_density_go_along(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(PIXELS).save(tmp_path / "a.jpg", xmp=XMP, dpi=(300, 300), exif=ifd(UP))
    image = read_image(tmp_path / "a.jpg")
    assert image.dpi == (300, 300)
    for dtype in (np.uint8, np.uint16):
        pixels = image.pixels.astype(dtype) * (257 if dtype is np.uint16 else 1)
        write_image(tmp_path / f"b{suffix}", pixels, like=image)
        back = read_image(tmp_path / f"b{suffix}")
        assert back.xmp is not None
        assert b'rights="me"' in back.xmp
        assert b'Orientation="1"' in back.xmp
        assert b'ImageWidth="48"' in back.xmp
        assert b'ImageLength="64"' in back.xmp
        assert b"Near" not in back.xmp  # the depth inside is not written again
        if suffix != ".webp":  # has no place for it
            assert back.dpi == (300, 300)


def test_xmp_that_is_no_xml_is_kept_unless_it_speaks_of_what_is_lost() -> None:
    assert kept_xmp("<not closed", (1, 1)) == b"<not closed"
    assert kept_xmp(b"http://ns.google.com/photos/1.0/depthmap/ <not closed", (1, 1)) is None
    bomb = b'<!DOCTYPE x [<!ENTITY a "aa">]><x:xmpmeta>http://ns.adobe.com/xmp/note/</x:xmpmeta>'
    assert kept_xmp(bomb, (1, 1)) is None
    assert kept_xmp(None, (1, 1)) is None


def test_a_tiff_keeps_exposure_and_place(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({0x829A: (1, 125), 0x9003: "2026:01:02 03:04:05"})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0)})
    like = Image(PIXELS, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    write_image(tmp_path / "a.tif", PIXELS, like=like)
    write_image(tmp_path / "b.jpg", PIXELS, like=read_image(tmp_path / "a.tif"))
    for name in ("a.tif", "b.jpg"):
        with Pillow.open(tmp_path / name) as written:
            found = written.getexif()
            assert found.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05", name
            assert found.get_ifd(0x8769)[0x829A] in {(1, 125), 1 / 125}, name
            assert found.get_ifd(0x8825)[1] == "N", name
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize(("side", "suffix", "limit"), [(16384, ".webp", 16383), (65501, ".jpg", 65500)])
def test_what_a_format_cannot_hold_is_said_before_it_is_tried(
    tmp_path: Path, side: int, suffix: str, limit: int
) -> None:
    with pytest.raises(ValueError, match=rf"holds {limit} pixels a side, the photo is {side} x 1"):
        write_image(tmp_path / f"a{suffix}", np.zeros((1, side, 3), np.uint8))
    assert not list(tmp_path.iterdir())

"""Every file that is a picture comes in upright and plain; what is none, or hostile, ends in one line."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, PngImagePlugin

from refocal.images.decoding import _is_plain_png
from refocal.images.image import Image, as_photo, read_image, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(channels: int = 3, dtype: type = np.uint8, size: tuple[int, int] = (16, 24)) -> NDArray:
    """Return a smooth picture whose corners all differ, so that no turn or flip goes unseen."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    planes = np.stack([y, x, (x + y) / 2, 0.25 + x / 2], axis=-1)[..., : channels or 1]
    values = planes if channels else planes[..., 0]
    return values.astype(dtype) if dtype is np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_each_orientation_is_turned_upright_and_reset(tmp_path: Path, orientation: int, suffix: str) -> None:
    """Pillow's own exif_transpose is the reference."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    stored = Pillow.fromarray(picture())
    stored.save(tmp_path / f"a{suffix}", exif=exif, quality=100)
    with Pillow.open(tmp_path / f"a{suffix}") as reference:
        expected = np.asarray(ImageOps.exif_transpose(reference).convert("RGB"))
    image = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(image.pixels, expected)
    write_image(tmp_path / f"b{suffix}", image.pixels, like=image)
    with Pillow.open(tmp_path / f"b{suffix}") as written:
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "Maker"
    assert read_image(tmp_path / f"b{suffix}").pixels.shape == expected.shape


def test_the_rest_of_exif_and_the_profile_are_kept(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"  # taken
    exif.get_ifd(0x8825)[1] = "N"  # where
    Pillow.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif, icc_profile=SRGB)
    image = read_image(tmp_path / "a.jpg")
    for name in ("b.jpg", "b.png", "b.webp"):
        write_image(tmp_path / name, image.pixels, like=image)
        with Pillow.open(tmp_path / name) as written:
            assert written.getexif().get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05", name
            assert written.getexif().get_ifd(0x8825)[1] == "N", name
            assert written.info["icc_profile"] == SRGB, name


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_files_carry_exif_and_profile_too(tmp_path: Path, name: str) -> None:
    exif = Pillow.Exif()
    exif[0x0110] = "Model"
    like = Image(picture(3, np.uint16), SRGB, exif.tobytes().removeprefix(b"Exif\0\0"))
    write_image(tmp_path / name, like.pixels, like=like)
    back = read_image(tmp_path / name)
    np.testing.assert_array_equal(back.pixels, like.pixels)
    assert back.icc == SRGB
    assert back.exif is not None
    again = Pillow.Exif()
    again.load(b"Exif\0\0" + back.exif)
    assert again[0x0110] == "Model"


def test_a_profile_for_colour_is_not_put_on_a_grey_picture(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(0), like=Image(picture(3), SRGB))
    assert read_image(tmp_path / "a.png").icc is None


def test_palettes_bits_and_grey_with_alpha_become_plain_pictures(tmp_path: Path) -> None:
    rgb = Pillow.fromarray(picture())
    rgb.quantize(16).save(tmp_path / "palette.png")
    rgb.quantize(16).save(tmp_path / "clear.png", transparency=3)
    rgb.convert("1").save(tmp_path / "bits.png")
    rgb.convert("LA").save(tmp_path / "la.png")
    rgb.save(tmp_path / "key.png", transparency=(1, 2, 3))
    expected = {"palette": (16, 24, 3), "clear": (16, 24, 4), "bits": (16, 24), "la": (16, 24, 4), "key": (16, 24, 4)}
    for name, shape in expected.items():
        pixels = read_image(tmp_path / f"{name}.png").pixels
        assert pixels.shape == shape, name
        assert pixels.dtype == np.uint8
    assert set(np.unique(read_image(tmp_path / "bits.png").pixels)) == {0, 255}


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    Pillow.fromarray(picture()).convert("CMYK").save(tmp_path / "a.jpg", quality=100, icc_profile=b"no profile")
    with pytest.warns(UserWarning, match="^the photo is CMYK; it is turned into sRGB$"):
        image = read_image(tmp_path / "a.jpg")
    assert image.icc is None
    assert np.abs(as_photo(image.pixels) - as_photo(picture())).max() < 0.05


def test_tiff_of_other_layouts_is_read(tmp_path: Path) -> None:
    grey, rgb = picture(0), picture()
    tifffile.imwrite(tmp_path / "white.tif", 255 - grey, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "planes.tif", np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "double.tif", grey / 255.0)
    Pillow.fromarray(rgb).quantize(256).save(tmp_path / "palette.tif")
    Pillow.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "white.tif").pixels, grey)
    np.testing.assert_array_equal(read_image(tmp_path / "planes.tif").pixels, rgb)
    assert read_image(tmp_path / "double.tif").pixels.dtype == np.float32
    assert np.abs(read_image(tmp_path / "palette.tif").pixels.astype(int) - rgb).max() < 40
    with pytest.warns(UserWarning, match="CMYK"):
        assert np.abs(read_image(tmp_path / "cmyk.tif").pixels.astype(int) - rgb).max() < 4


def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    tifffile.imwrite(tmp_path / "ints.tif", np.zeros((4, 4), np.int32))
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((4, 4, 5), np.uint8), photometric="rgb", planarconfig="contig")
    for name in ("text.jpg", "empty.png", "absent.png", "ints.tif", "five.tif", "."):
        with pytest.raises(ValueError, match=f"{tmp_path}") as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_truncated_files_are_refused_by_name(tmp_path: Path, suffix: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    write_image(tmp_path / f"a{suffix}", (rng.random((64, 64, 3)) * np.iinfo(dtype).max).astype(dtype))
    data = (tmp_path / f"a{suffix}").read_bytes()
    for size in (8, 30, len(data) // 2, len(data) * 9 // 10):
        (tmp_path / f"b{suffix}").write_bytes(data[:size])
        with pytest.raises(ValueError, match=f"b{suffix} ") as caught:
            read_image(tmp_path / f"b{suffix}")
        assert "\n" not in str(caught.value)


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for depth in (8, 16):
        header = struct.pack(">IIBBBBB", 60_000, 60_000, depth, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        with pytest.raises(ValueError, match="the picture has 3600000000 pixels, more than the 268435456 allowed"):
            read_image(bomb)
    write_image(tmp_path / "a.tif", picture())
    with pytest.raises(ValueError, match=r"a\.tif has 384 pixels, more than the 383 allowed"):
        read_image(tmp_path / "a.tif", max_pixels=383)
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 10_000_000, zip=True)
    buffer = io.BytesIO()
    Pillow.fromarray(picture()).save(buffer, "PNG", pnginfo=text)
    with pytest.raises(ValueError, match="the picture cannot be decoded"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize("key", ["tRNS", "eXIf", "iTXt"])
def test_png_chunks_that_change_the_picture_or_stand_behind_it_count(key: str) -> None:
    """A colour that is transparent, EXIF behind the pixels: by Pillow; plain files by libpng, which knows neither."""

    def chunk(kind: str, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind.encode() + body + struct.pack(">I", zlib.crc32(kind.encode() + body))

    plain = io.BytesIO()
    Pillow.fromarray(picture()).save(plain, "PNG")
    data = plain.getvalue()
    assert _is_plain_png(data)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    bodies = {
        "tRNS": struct.pack(">3H", *picture()[0, 0].tolist()),
        "eXIf": exif.tobytes()[6:],
        "iTXt": b"a\0\0\0\0\0b",
    }
    at = data.index(b"IDAT" if key == "tRNS" else b"IEND") - 4
    more = data[:at] + chunk(key, bodies[key]) + data[at:]
    assert not _is_plain_png(more)
    told = read_image(more).pixels
    assert told.shape == {"tRNS": (16, 24, 4), "eXIf": (24, 16, 3), "iTXt": (16, 24, 3)}[key]
    if key == "tRNS":
        assert told[0, 0, 3] == 0 < told[5, 5, 3]

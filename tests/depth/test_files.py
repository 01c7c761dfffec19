"""Depth maps of all doors read alike: pictures, arrays, and what phones hide in their photos."""

import base64
import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from portraits import COLOUR, MAP, write_heic, write_portrait

from refocal.depth.files import read_disparity
from refocal.images.image import write_image

GREY = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)


@pytest.mark.parametrize("values", [GREY, GREY.astype(np.uint16) * 257])
def test_png_is_read_as_it_is(tmp_path: Path, values: NDArray) -> None:
    write_image(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_disparity(tmp_path / "a.png"), values)
    write_image(tmp_path / "rgb.png", np.repeat(values[..., None], 3, axis=2))  # grey stored as colour
    np.testing.assert_array_equal(read_disparity(tmp_path / "rgb.png"), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint16, np.int32, np.float64])
def test_tiff_and_npy_are_read_as_they_are(tmp_path: Path, dtype: type) -> None:
    values = np.linspace(0, 200, 48).reshape(6, 8).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    assert read_disparity(tmp_path / "a.npy").dtype == dtype
    np.testing.assert_array_equal(read_disparity(tmp_path / "a.npy"), values)
    if dtype is not np.int32:
        tifffile.imwrite(tmp_path / "a.tif", values)
        np.testing.assert_allclose(read_disparity(str(tmp_path / "a.tif")), values, rtol=1e-6)


def jpeg(pixels: NDArray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=100, **options)
    return file.getvalue()


def test_the_disparity_behind_an_iphones_jpeg_is_read_upright(tmp_path: Path) -> None:
    wanted = 0.360596 + MAP / 255 * (1.800781 - 0.360596)
    path = write_portrait(tmp_path / "a.jpg", "disparity")
    np.testing.assert_allclose(read_disparity(path), wanted, atol=0.02)
    turned = write_portrait(tmp_path / "b.jpg", "disparity", orientation=6)
    np.testing.assert_allclose(read_disparity(turned), np.rot90(wanted, -1), atol=0.02)
    depth = write_portrait(tmp_path / "c.jpg", "depth")
    np.testing.assert_allclose(read_disparity(depth), 1 / wanted, atol=0.06)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("form", ["RangeInverse", "RangeLinear"])
def test_the_depth_in_a_google_photos_xmp_is_read(tmp_path: Path, form: str, *, extended: bool) -> None:
    file = io.BytesIO()
    Image.fromarray(MAP).save(file, "PNG")
    data = b'GDepth:Data="' + base64.b64encode(file.getvalue()) + b'"'
    guid = b"36BE52D449F3E6B9760D7602FF75168D"
    about = f'GDepth:Format="{form}" GDepth:Near="0.5" GDepth:Far="8" '.encode()
    photo = jpeg(COLOUR, xmp=about + (b'xmpNote:HasExtendedXMP="' + guid + b'"' if extended else data))
    for start in range(0, len(data), 100) if extended else ():  # the later chunks first
        body = b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", len(data), start)
        body += data[start : start + 100]
        photo = photo[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + photo[2:]
    (tmp_path / "a.jpg").write_bytes(photo)
    share = MAP / 255
    metres = 0.5 + share * 7.5 if form == "RangeLinear" else 0.5 * 8 / (8 - share * 7.5)
    np.testing.assert_allclose(read_disparity(tmp_path / "a.jpg"), 1 / metres, rtol=1e-4)


def test_the_depth_in_a_heic_is_read(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = read_disparity(write_heic(tmp_path / "a.heic", pillow_heif))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, MAP.repeat(8, 0).repeat(8, 1) / 255, atol=0.03)
    pillow_heif.from_pillow(Image.fromarray(COLOUR.repeat(4, 0).repeat(4, 1))).save(tmp_path / "b.heic")
    with pytest.raises(ValueError, match=r"b\.heic has no depth inside"):
        read_disparity(tmp_path / "b.heic")
    (tmp_path / "c.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"c\.heic cannot be decoded: [^\n]*$"):
        read_disparity(tmp_path / "c.heic")


def test_a_heic_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(
        ValueError, match=r"needs the heif extra: pip install 'refocal\[heif\]' \(no pillow_heif here\)"
    ):
        read_disparity(tmp_path / "a.heic")


def test_a_file_without_depth_is_refused_in_one_line(tmp_path: Path) -> None:
    write_image(tmp_path / "colour.png", COLOUR)
    (tmp_path / "colour.jpg").write_bytes(jpeg(COLOUR))
    write_portrait(tmp_path / "mattes.jpg", "matte")
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "names.npy", np.array(["a"], object), allow_pickle=True)
    (tmp_path / "text.png").write_text("depth")
    portrait = write_portrait(tmp_path / "a.jpg", "disparity").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(portrait[:-400])
    (tmp_path / "base64.jpg").write_bytes(jpeg(COLOUR, xmp=b'GDepth:Data="abcde"'))
    for name, message in {
        "colour.png": "is a picture in colour with no depth inside",
        "colour.jpg": "is a picture in colour with no depth inside",
        "mattes.jpg": "is a picture in colour with no depth inside",
        "cube.npy": r"must hold \(H, W\) integers or floats, it holds \(2, 3, 4\)",
        "names.npy": "cannot be decoded",
        "text.png": "is no map that refocal reads",
        "cut.jpg": "the depth inside .* cannot be read",
        "base64.jpg": "the depth inside .* cannot be read",
        "none.png": "cannot read .*No such file",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            read_disparity(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_grey_jpeg_is_a_map_itself(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(MAP))
    np.testing.assert_allclose(read_disparity(tmp_path / "a.jpg"), MAP, atol=2)

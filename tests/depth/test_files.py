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

from refocal.depth.disparity import is_known, to_focus
from refocal.depth.files import laid_over, read_disparity
from refocal.depth.portrait import depth_inside
from refocal.images.decoding import turned
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


RAMP = np.linspace(0.5, 3, 6 * 8, dtype=np.float32).reshape(6, 8)


def pfm(values: NDArray, order: str = "<", kind: bytes = b"Pf") -> bytes:
    scale = b"-1.0" if order == "<" else b"1.0"
    return kind + b"\n8 6\n" + scale + b"\n" + values[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (6, 8, 1), (1, 1, 6, 8), (1, 6, 8, 1)])
def test_axes_of_length_one_do_not_count(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", RAMP.reshape(shape))
    np.testing.assert_array_equal(read_disparity(tmp_path / "a.npy"), RAMP)


def test_archives_of_numpy_give_their_only_array_or_the_one_of_depth(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", whatever=RAMP)
    np.savez_compressed(tmp_path / "b.npz", image=np.zeros((6, 8, 3)), depth=RAMP, focal=np.float32(1))
    for name in ("a.npz", "b.npz"):
        np.testing.assert_array_equal(read_disparity(tmp_path / name), RAMP)
    np.savez(tmp_path / "c.npz", x=RAMP, y=RAMP)
    with pytest.raises(ValueError, match=r"c\.npz .* it holds x, y; one called depth or disparity is read"):
        read_disparity(tmp_path / "c.npz")


def test_a_portable_float_map_lies_the_right_way_up(tmp_path: Path) -> None:
    for order in "<>":
        np.testing.assert_array_equal(read_disparity(pfm(RAMP, order)), RAMP)
    grey = pfm(np.repeat(RAMP[..., None], 3, axis=2), kind=b"PF")
    np.testing.assert_array_equal(read_disparity(grey), RAMP)
    for damaged in (pfm(RAMP)[:-1], b"Pf\nx y\n-1\n", b"Pf\n999999 999999\n-1.0\n"):
        with pytest.raises(ValueError, match=r"the map (cannot be decoded|has 999998000001 pixels)"):
            read_disparity(damaged)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.uint8, np.float64, np.float16])
def test_tiffs_of_any_numbers_are_maps(tmp_path: Path, dtype: type) -> None:
    values = (RAMP * 40).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    found = read_disparity(tmp_path / "a.tif")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_grey_that_a_lossy_format_tinted_is_still_grey(tmp_path: Path) -> None:
    grey = np.repeat((RAMP * 80).astype(np.uint8).repeat(8, 0).repeat(8, 1)[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "a.webp", quality=60)
    noisy = grey.astype(int) + np.random.default_rng(0).integers(-2, 3, grey.shape)
    write_image(tmp_path / "b.png", noisy.clip(0, 255).astype(np.uint8))
    for name in ("a.webp", "b.png"):
        assert np.corrcoef(read_disparity(tmp_path / name).ravel(), grey[..., 0].ravel())[0, 1] > 0.99


def test_what_is_no_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01\2\0\0\0")
    with pytest.raises(ValueError, match=r"a\.exr is an EXR file, which is not read: save it as a grey PNG, TIFF"):
        read_disparity(tmp_path / "a.exr")
    buffer = io.BytesIO()
    np.save(buffer, RAMP)
    huge = buffer.getvalue().replace(b"(6, 8)", b"(60000, 80000)"[:6].ljust(6))
    for damaged in (buffer.getvalue()[:-1], buffer.getvalue()[:9], b"\x93NUMPY\x01\0\xff\xff{", b"PK\3\4nothing", huge):
        with pytest.raises(ValueError, match="the map cannot be decoded"):
            read_disparity(damaged)


def dynamic_depth(near_left: NDArray[np.uint8], directory: bool) -> bytes:
    """Return a photo as Pixels have made them since 2019: its map behind it, named in a container directory."""
    behind = io.BytesIO()
    Image.fromarray(near_left).save(behind, "PNG")
    items = (
        '<Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary" Item:Length="0"/>'
        f'<Container:Item Item:Mime="image/png" Item:Semantic="Depth" Item:Length="{len(behind.getvalue())}"/>'
        '<Container:Item Item:Mime="image/jpeg" Item:Semantic="Confidence" Item:Length="7"/>'
    )
    fields = {"Format": "RangeInverse", "Near": "0.5", "Far": "4"}
    about = "".join(f"<DepthMap:{name}>{value}</DepthMap:{name}>" for name, value in fields.items())
    xmp = f'<x xmlns:DepthMap="http://ns.google.com/photos/dd/1.0/depthmap/">{items if directory else ""}{about}</x>'
    return jpeg(COLOUR, xmp=xmp.encode()) + behind.getvalue() + (b"another" if directory else b"")


def test_dynamic_depth_is_read(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    found = depth_inside(dynamic_depth(ramp, directory=True))
    assert found is not None
    np.testing.assert_allclose(found[0, [0, -1]], [2, 0.25], rtol=1e-5)
    with pytest.raises(ValueError, match="Dynamic Depth names a map that is not there"):
        depth_inside(dynamic_depth(ramp, directory=False))  # a PNG that no directory names
    (tmp_path / "s.jpg").write_bytes(jpeg(COLOUR) + b"DualShot_DepthMap_1" + bytes(99))
    with pytest.raises(ValueError, match=r"the depth inside .*s\.jpg cannot be read: it is of Samsung's own kind"):
        read_disparity(tmp_path / "s.jpg")
    with pytest.raises(ValueError, match="it is of Xiaomi's own kind"):
        depth_inside(jpeg(COLOUR, xmp=b'<x MiCamera:XMPMeta="&lt;depthmap offset=1/&gt;"/>'))


def test_xmp_may_be_quoted_and_broken_into_lines_as_it_likes() -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    stored = io.BytesIO()
    Image.fromarray(ramp).save(stored, "PNG")
    coded = base64.encodebytes(stored.getvalue()).decode()
    for quote, text in (('"', coded.replace("\n", "&#xA;")), ("'", coded.replace("\n", "")), ('"', coded)):
        fields = {"Format": "RangeInverse", "Near": "0.5", "Far": "5.0", "Data": text}
        xmp = " ".join(f"GDepth:{key}={quote}{value}{quote}" for key, value in fields.items())
        found = depth_inside(jpeg(COLOUR, xmp=f"<x {xmp}/>".encode()))
        assert found is not None
        np.testing.assert_allclose(found[0, [0, -1]], [2, 0.2], rtol=1e-5)


def test_pictures_that_are_named_and_not_there_are_no_depth() -> None:
    stored = io.BytesIO()
    photo = Image.fromarray(COLOUR)
    photo.save(stored, "MPO", save_all=True, append_images=[photo])
    data = stored.getvalue()
    assert depth_inside(data[: data.find(b"\xff\xd9") + 2]) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_map_of_the_photo_before_it_was_turned_is_turned_too(orientation: int) -> None:
    stored = np.arange(24 * 48).reshape(24, 48)
    upright = turned(stored, orientation)
    told: list[str] = []
    found = laid_over(stored, upright.shape, orientation, "d.npy", told.append)
    if orientation >= 5:
        np.testing.assert_array_equal(found, upright)
        assert "it is turned too" in told[0]
    else:
        np.testing.assert_array_equal(found, stored)
        assert [f"EXIF orientation {orientation}" in line for line in told] == [True] * (orientation > 1)
    told.clear()
    if orientation >= 5:
        np.testing.assert_array_equal(laid_over(upright, upright.shape, orientation, "d.npy", told.append), upright)
        assert not told


def test_holes_of_stereo_are_unknown_and_a_far_wall_is_not() -> None:
    disparity = np.full((40, 40), 30, np.uint8)
    disparity[10:30, 10:30] = 90
    holes = disparity.copy()
    holes[15:18, 15:18] = 0
    np.testing.assert_array_equal(to_focus(holes), to_focus(disparity))
    wall = disparity.copy()
    wall[:, :20] = 0  # half of the map: what is farthest
    assert to_focus(wall)[0, 0] == -1
    assert to_focus(wall)[20, 25] == 1
    assert to_focus(wall)[0, 30] == pytest.approx(-1 / 3, abs=0.01)  # between the wall and the nearest
    smooth = np.arange(1600).reshape(40, 40).astype(np.uint16)
    assert is_known(smooth).all()
    signed = disparity.astype(np.int16) * 16
    signed[:, :3] = -16  # OpenCV's mark
    np.testing.assert_array_equal(to_focus(signed)[:, 3:], to_focus(disparity)[:, 3:])

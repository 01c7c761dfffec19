"""Any depth map becomes focus units, at the photo's size and along its edges; files of all doors read alike."""

import base64
import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from refocal.photo.disparity import Depth, enlarge, read_disparity, to_focus
from refocal.photo.images import write_image

SIDES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
MAPS = st.one_of(
    hnp.arrays(np.float32, SIDES, elements=st.floats(-1000, 1000, width=32)),
    hnp.arrays(np.float64, SIDES),  # NaN, infinities, the smallest and the largest
    hnp.arrays(np.uint16, SIDES),
    hnp.arrays(np.int8, SIDES),
)
METRES = hnp.arrays(np.float64, SIDES, elements=st.floats(0.125, 64))


@given(MAPS, st.sampled_from(["disparity", "depth"]))
def test_focus_units_lie_in_their_range_whatever_the_map(disparity: NDArray, kind: str) -> None:
    known = np.isfinite(disparity) & ((disparity > 0) if kind == "depth" else True)
    if kind == "depth":
        with np.errstate(over="ignore", divide="ignore"):
            known &= np.isfinite(1 / disparity.astype(np.float32 if disparity.itemsize <= 2 else np.float64))
    if not known.any():
        with pytest.raises(ValueError, match="disparity must hold known values"):
            to_focus(disparity, kind=kind)
        return
    focus = to_focus(disparity, kind=kind)
    assert (focus.dtype, focus.shape) == (np.float32, disparity.shape)
    assert np.abs(focus).max() <= 1


@given(hnp.arrays(np.int16, SIDES))
def test_what_is_nearer_is_never_mapped_farther(disparity: NDArray) -> None:
    order = np.argsort(disparity, axis=None)
    assert (np.diff(to_focus(disparity).ravel()[order]) >= 0).all()
    assert (np.diff(to_focus(disparity, (-100, 100)).ravel()[order]) >= 0).all()


@given(METRES)
def test_depth_is_inverted_first(depth: NDArray) -> None:
    np.testing.assert_array_equal(to_focus(depth, kind="depth"), to_focus(1 / depth))
    assert (np.diff(to_focus(depth, kind="depth").ravel()[np.argsort(depth, axis=None)]) <= 0).all()
    np.testing.assert_allclose(to_focus(depth, (32, 0.5), "depth"), to_focus(1 / depth, (1 / 32, 2)), atol=1e-6)


@given(hnp.arrays(np.float32, SIDES, elements=st.floats(-10, 10, width=32)), st.floats(0.5, 8), st.floats(-9, 9))
def test_unit_and_origin_of_a_disparity_do_not_matter(disparity: NDArray, gain: float, lift: float) -> None:
    if np.ptp(disparity) > 0.1:
        np.testing.assert_allclose(to_focus(disparity * gain + lift), to_focus(disparity), atol=2e-3)


def test_without_a_range_the_1_and_99_percentiles_are_the_ends() -> None:
    disparity = np.random.default_rng(0).permutation(np.arange(1001.0)).reshape(7, 143)
    focus = to_focus(disparity)
    np.testing.assert_allclose(focus, np.clip((disparity - 10) / 490 - 1, -1, 1), atol=1e-6)


def test_a_range_maps_linearly_and_clips() -> None:
    np.testing.assert_allclose(to_focus(np.array([[-5, 0, 1, 2, 4, 9]]), (0, 4)), [[-1, -1, -0.5, 0, 1, 1]])
    metres = np.array([[0.25, 0.5, 1, 2, np.inf]])  # what is not measured is as its neighbour, not infinitely far
    np.testing.assert_allclose(to_focus(metres, (np.inf, 0.5), "depth"), [[1, 1, 0, -0.5, -0.5]])


def test_a_small_object_before_a_plane_is_still_nearer() -> None:
    disparity = np.zeros((20, 20))
    disparity[3, 4] = 2
    assert (to_focus(disparity)[3, 4], to_focus(disparity)[0, 0]) == (1, -1)


@given(st.floats(0.001, 1e6), SIDES, st.sampled_from(["disparity", "depth"]))
def test_a_constant_map_is_in_the_middle(value: float, size: tuple[int, int], kind: str) -> None:
    np.testing.assert_array_equal(to_focus(np.full(size, value), kind=kind), 0)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30), st.floats(0, 0.98))
def test_unknown_pixels_get_the_value_of_the_nearest_known_or_one_about_as_near(
    seed: int, height: int, width: int, holes: float
) -> None:
    random = np.random.default_rng(seed)
    disparity = random.random((height, width))
    unknown = random.random((height, width)) < holes
    unknown[random.integers(height), random.integers(width)] = False
    full = to_focus(np.where(unknown, np.nan, disparity), (0, 1))
    rows, columns = np.nonzero(~unknown)
    for y, x in np.argwhere(unknown):
        distance = np.hypot(rows - y, columns - x)
        taken = np.abs(full[rows, columns] - full[y, x]) < 1e-6
        assert distance[taken].min() <= 1.5 * distance.min() + 1


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf, -np.inf])
def test_no_depth_is_not_infinitely_near(wrong: float) -> None:
    np.testing.assert_allclose(to_focus(np.array([[1, wrong, 4, 4, 4, 4]]), (4, 1), "depth"), [[1, 1, -1, -1, -1, -1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2, 3)),), r"disparity must be an \(H, W\) array"),
        (([[1, 2]],), r"disparity must be an \(H, W\) array of integers or floats, got <class 'list'>"),
        ((np.zeros((2, 2), complex),), "disparity must be .*complex"),
        ((np.zeros((2, 2), bool),), "disparity must be .*bool"),
        ((np.zeros((0, 2)),), "disparity must hold known values"),
        ((np.full((2, 2), np.nan),), "disparity must hold known values"),
        ((np.zeros((2, 2)), None, "depth"), "disparity must hold known values"),
        ((np.zeros((2, 2)), None, "metres"), "kind must be one of disparity, depth, got 'metres'"),
        ((np.zeros((2, 2)), (1, 0)), r"disparity_range of a disparity must be \(far, near\), far < near, got \(1, 0\)"),
        ((np.zeros((2, 2)), (0, np.nan)), "disparity_range"),
        ((np.zeros((2, 2)), (0, np.inf)), "disparity_range"),
        ((np.zeros((2, 2)), (0, 1, 2)), "disparity_range"),
        ((np.zeros((2, 2)), "far"), "disparity_range"),
        ((np.zeros((2, 2)), 3), "disparity_range"),
        ((np.zeros((2, 2)), (1, 2), "depth"), r"disparity_range of a depth must be \(far, near\), far > near > 0"),
        ((np.zeros((2, 2)), (1, 0), "depth"), "far > near > 0"),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        to_focus(*arguments)
    assert "\n" not in str(caught.value)


def scene(height: int, width: int, texture: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a photo of a disc before a plane, and its disparity."""
    y, x = np.mgrid[:height, :width]
    near = (x - 0.45 * width) ** 2 + (y - 0.5 * height) ** 2 < (0.3 * height) ** 2
    colour = np.where(near[..., None], [0.7, 0.4, 0.3], [0.3, 0.45, 0.6])
    colour += texture * np.random.default_rng(0).normal(size=colour.shape)
    return np.clip(colour, 0, 1).astype(np.float32), np.where(near, 0.8, -0.6).astype(np.float32)


def blocks(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    height, width = image.shape
    return image.reshape(height // size, size, width // size, size).mean((1, 3))


def bilinear(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("texture", "share"), [(0, 0.3), (0.03, 0.45), (0.05, 0.65)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_edges_of_the_photo_are_kept(texture: float, share: float, dtype: type) -> None:
    """Wrong by less than `share` of what plain bilinear enlargement is wrong by."""
    photo, truth = scene(240, 320, texture)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    out = enlarge(blocks(truth, 8), (photo * top).astype(dtype))
    error, plain = (np.abs(got - truth).mean() for got in (out, bilinear(blocks(truth, 8), truth.shape)))
    assert error < share * plain


def test_an_edge_in_the_photo_alone_does_not_leak() -> None:
    photo, _ = scene(240, 320, 0.05)
    ramp = np.linspace(-1, 1, 320, dtype=np.float32)[None].repeat(240, axis=0)
    plain = bilinear(blocks(ramp, 8), ramp.shape)
    assert np.abs(enlarge(blocks(ramp, 8), photo) - plain).mean() < 0.01  # of a range of 2


def test_an_edge_in_the_disparity_alone_stays_as_sharp_as_it_was() -> None:
    _, truth = scene(240, 320, 0)
    grey = np.full((240, 320), 128, np.uint8)
    np.testing.assert_allclose(enlarge(blocks(truth, 8), grey), bilinear(blocks(truth, 8), truth.shape), atol=1e-4)


@given(st.floats(-1, 1, width=32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 300))
def test_a_constant_stays_at_any_size(value: float, height: int, width: int, rows: int, columns: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (rows, columns, 4), np.uint8)
    out = enlarge(np.full((height, width), value, np.float32), photo)
    assert (out.dtype, out.shape) == (np.float32, (rows, columns))
    np.testing.assert_allclose(out, value, atol=1e-6)


@given(hnp.arrays(np.float32, SIDES, elements=st.floats(-1, 1, width=32)), st.integers(0, 2**32))
def test_enlarged_values_stay_in_range(disparity: NDArray, seed: int) -> None:
    photo = np.random.default_rng(seed).random((33, 47, 3), np.float32)
    out = enlarge(disparity, photo)
    assert disparity.min() - 1e-6 <= out.min() <= out.max() <= disparity.max() + 1e-6


def test_a_map_of_the_photos_size_stays() -> None:
    photo, truth = scene(48, 64, 0.1)
    np.testing.assert_array_equal(enlarge(truth, photo), truth)
    assert enlarge(truth, photo[::2, ::2]).shape == (24, 32)  # a larger one is made smaller


def test_bands_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, truth = scene(240, 320, 0.1)
    whole = enlarge(blocks(truth, 8), photo)
    monkeypatch.setattr("refocal.photo.disparity.BAND", 17)
    np.testing.assert_allclose(enlarge(blocks(truth, 8), photo), whole, atol=1e-5)


def test_enlarging_to_24_megapixels_takes_little_beside_the_result() -> None:
    code = """
import resource, numpy as np
from refocal.photo.disparity import enlarge
photo = np.full((4000, 6000, 3), 128, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
enlarge(np.zeros((346, 518), np.float32), photo)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250_000  # kB; the result has 96 000


@pytest.mark.parametrize(
    ("disparity", "message"),
    [
        (np.zeros((2, 2, 1)), r"disparity must be an \(H, W\) array"),
        (np.zeros((0, 2)), "disparity must be"),
        ("near", "disparity must be"),
        (np.full((2, 2), 2.0), r"disparity must lie in \[-1, 1\]: to_focus maps it there"),
        (np.full((2, 2), np.nan), r"disparity must lie in \[-1, 1\]"),
    ],
)
def test_only_focus_units_are_enlarged(disparity: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        enlarge(disparity, np.zeros((4, 4, 3), np.uint8))


def test_a_depth_is_a_photo_a_map_and_a_source() -> None:
    depth = Depth(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), "depth.png")
    with pytest.raises(AttributeError):
        depth.source = "elsewhere"  # type: ignore[misc]


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
        "text.png": "is no picture that refocal reads",
        "cut.jpg": "cannot be decoded",
        "base64.jpg": "cannot be decoded",
        "none.png": "cannot read .*No such file",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            read_disparity(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_grey_jpeg_is_a_map_itself(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(MAP))
    np.testing.assert_allclose(read_disparity(tmp_path / "a.jpg"), MAP, atol=2)

"""Colours stay what they look like: profiles are kept, or the values become sRGB."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from refocal.images.image import read_image, write_image
from refocal.images.profiles import matrix_profile, srgb_profile, to_srgb

P3 = matrix_profile(12) or b""
REC2020 = matrix_profile(9) or b""


def colours() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def by_lcms(pixels: NDArray[np.uint8], icc: bytes) -> NDArray[np.uint8]:
    """Pillow's own binding is the reference."""
    made = ImageCms.profileToProfile(
        Pillow.fromarray(pixels), io.BytesIO(icc), ImageCms.createProfile("sRGB"), renderingIntent=1
    )
    return np.asarray(made)


@pytest.mark.parametrize("icc", [P3, REC2020, matrix_profile(1, 2.2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_values_of_a_profile_become_srgb_at_every_depth(icc: bytes, dtype: type) -> None:
    limit = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    pixels = (colours().astype(np.float64) / 255 * limit).astype(dtype)
    made = to_srgb(pixels, icc)
    assert made.dtype == pixels.dtype
    ours = made.astype(np.float64) / limit * 255
    apart = np.abs(ours - by_lcms(colours(), icc))
    assert apart.mean() < 0.4
    assert apart[by_lcms(colours(), icc) > 80].max() < 2.5  # 8 bits are coarse in the dark


def test_display_p3_is_more_colourful_than_srgb() -> None:
    red = np.full((2, 2, 3), (230, 60, 50), np.uint8)
    made = to_srgb(red, P3)[0, 0].astype(int)
    assert made[0] > 240
    assert made[1] < 50


@pytest.mark.parametrize("icc", [None, srgb_profile(), matrix_profile(1)])
def test_srgb_stays_bit_for_bit(icc: bytes | None) -> None:
    np.testing.assert_array_equal(to_srgb(colours(), icc), colours())


def test_alpha_and_grey_keep_their_shape() -> None:
    alpha = np.dstack([colours(), np.arange(768, dtype=np.uint8).reshape(24, 32)])
    made = to_srgb(alpha, P3)
    np.testing.assert_array_equal(made[..., 3], alpha[..., 3])
    np.testing.assert_array_equal(made[..., :3], to_srgb(colours(), P3))
    grey = colours()[..., 0]
    assert to_srgb(grey, P3).shape == grey.shape
    assert np.abs(to_srgb(grey, P3).astype(int) - grey).max() <= 1  # neutral stays neutral
    darker = to_srgb(grey, matrix_profile(1, 1.8, grey=True)).astype(int)
    assert darker[(grey > 60) & (grey < 200)].min() > 60


def test_grey_with_alpha_and_a_profile_of_grey_can_be_labelled_again(tmp_path: Path) -> None:
    grey = Pillow.fromarray(colours()[..., 0])
    icc = matrix_profile(1, 1.8, grey=True)
    Pillow.merge("LA", [grey, grey]).save(tmp_path / "a.png", icc_profile=icc)
    image = read_image(tmp_path / "a.png")
    assert image.icc is None  # a profile of grey on RGBA would be refused by readers
    np.testing.assert_array_equal(image.pixels[..., 0], to_srgb(colours()[..., 0], icc))
    Pillow.fromarray(colours()[..., 0]).save(tmp_path / "b.jpg", icc_profile=P3, quality=100)
    assert read_image(tmp_path / "b.jpg").icc is None


def test_linear_light_becomes_srgb_and_is_told(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 3), 0.2140, np.float32)  # linear light of sRGB's 0.5
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=matrix_profile(1, 1.0))
    with pytest.warns(UserWarning, match="that of linear light; it is turned into sRGB"):
        image = read_image(tmp_path / "a.tif")
    assert image.icc is None
    np.testing.assert_allclose(image.pixels, 0.5, atol=0.01)


def chunked(name: bytes, content: bytes, pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    data = buffer.getvalue()
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return data[:33] + chunk + data[33:]


def test_a_png_tells_its_colours_by_gama_and_cicp_too() -> None:
    same = read_image(chunked(b"gAMA", struct.pack(">I", 45455), colours()))
    assert same.icc is None
    np.testing.assert_array_equal(same.pixels, colours())
    other = read_image(chunked(b"gAMA", struct.pack(">I", 55556), colours()))  # 1 / 1.8
    np.testing.assert_allclose(to_srgb(other.pixels, other.icc), to_srgb(colours(), matrix_profile(1, 1.8)), atol=1)
    assert read_image(chunked(b"cICP", bytes([12, 13, 0, 1]), colours())).icc == P3
    with pytest.raises(ValueError, match=r"holds HDR \(PQ or HLG\), which is not read"):
        read_image(chunked(b"cICP", bytes([9, 16, 0, 1]), colours()))


def test_a_broken_profile_costs_no_photo(tmp_path: Path) -> None:
    Pillow.fromarray(colours()).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    with pytest.warns(UserWarning, match="colour profile cannot be read; it is left out"):
        image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, colours())
    write_image(tmp_path / "b.png", image.pixels, like=image)


def test_deep_heic_keeps_its_depth_and_its_primaries(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = np.linspace(0, 65535, 24 * 32).astype(np.uint16).reshape(24, 32, 1).repeat(3, axis=2)
    made = pillow_heif.from_bytes(mode="RGB;16", size=(32, 24), data=deep.tobytes())
    for number, wanted in ((12, P3), (1, None)):
        made.save(tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0, color_primaries=number)
        image = read_image(tmp_path / "a.heic")
        assert image.pixels.dtype == np.uint16
        assert np.abs(image.pixels.astype(int) - deep).max() < 100  # 10 bits
        assert image.pixels.max() == 65535
        assert image.icc == wanted
    made.save(tmp_path / "a.heic", quality=-1, matrix_coefficients=0, transfer_characteristics=16)
    with pytest.raises(ValueError, match=r"a\.heic .*holds HDR"):
        read_image(tmp_path / "a.heic")

"""Pictures come back as they went in, upright, and nothing hostile gets past one line of ValueError."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import ImageCms

from refocal.images.colour import to_linear, to_srgb
from refocal.images.image import as_photo, like_input, read_image, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(channels: int = 3, dtype: type = np.uint8, size: tuple[int, int] = (16, 24)) -> NDArray:
    """Return a smooth picture whose corners all differ, so that no turn or flip goes unseen."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    planes = np.stack([y, x, (x + y) / 2, 0.25 + x / 2], axis=-1)[..., : channels or 1]
    values = planes if channels else planes[..., 0]
    return values.astype(dtype) if dtype is np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_integers_pass_lossless_files_unchanged(tmp_path: Path, suffix: str, dtype: type, channels: int) -> None:
    pixels = picture(channels, dtype)
    write_image(tmp_path / f"a{suffix}", pixels)
    back = read_image(tmp_path / f"a{suffix}").pixels
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels)


def test_tiff_holds_floats_and_png_their_16_bits(tmp_path: Path) -> None:
    pixels = picture(3, np.float32)
    for suffix, tolerance in ((".tif", 0), (".png", 0.5 / 65535 + 1e-7)):
        write_image(tmp_path / f"a{suffix}", pixels)
        back = read_image(tmp_path / f"a{suffix}").pixels
        assert np.abs(as_photo(back) - pixels).max() <= tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_coarser_formats_take_every_depth_rounded(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = picture(3, dtype)
    write_image(tmp_path / f"a{suffix}", pixels)
    back = read_image(tmp_path / f"a{suffix}").pixels
    assert back.dtype == np.uint8
    assert np.abs(as_photo(back) - as_photo(pixels)).mean() < 0.01
    white = np.full_like(pixels, 1 if dtype is np.float32 else np.iinfo(dtype).max)
    write_image(tmp_path / f"a{suffix}", white)
    assert (read_image(tmp_path / f"a{suffix}").pixels == 255).all()


def test_webp_keeps_transparency_and_jpeg_refuses_to_lose_it(tmp_path: Path) -> None:
    pixels = picture(4)
    write_image(tmp_path / "a.webp", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp").pixels[..., 3], pixels[..., 3])
    with pytest.raises(ValueError, match=r"cannot write .*a\.jpg: JPEG holds no transparency"):
        write_image(tmp_path / "a.jpg", pixels)
    pixels[..., 3] = 255  # nothing to lose
    write_image(tmp_path / "a.jpg", pixels)
    assert read_image(tmp_path / "a.jpg").pixels.shape == (16, 24, 3)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture())
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match="JPEG holds no transparency"):
        write_image(tmp_path / "a.jpg", picture(4))
    with pytest.raises(ValueError, match=r"suffix must be one of \.jpg"):
        write_image(tmp_path / "a.gif", picture())
    with pytest.raises(ValueError, match=r"cannot write .*absent.a\.png: No such file"):
        write_image(tmp_path / "absent" / "a.png", picture())
    with pytest.raises(ValueError, match="quality must be 1 to 100, got 0"):
        write_image(tmp_path / "b.jpg", picture(), quality=0)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"cannot write .*folder\.png: "):
        write_image(tmp_path / "folder.png", picture())
    assert (tmp_path / "a.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([[1]], "must be a NumPy array, got list"),
        (np.zeros((4, 4, 2), np.uint8), r"must be \(H, W\)"),
        (np.zeros((0, 4, 3), np.uint8), "with pixels in it"),
        (np.zeros((4, 4), np.int64), "must be uint8, uint16 or float32"),
        (np.full((4, 4), np.nan, np.float32), "got nan to nan"),
        (np.full((4, 4), 1.5, np.float32), "got 1.5 to 1.5"),
    ],
)
def test_pixels_that_are_no_picture_are_refused(tmp_path: Path, pixels: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / "a.tif", pixels)


@settings(deadline=None, max_examples=25)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.sampled_from([(3, 5), (3, 5, 3), (3, 5, 4)]),
    )
)
def test_a_picture_is_a_photo_and_the_same_picture_again(pixels: NDArray) -> None:
    photo = as_photo(pixels)
    assert photo.dtype == np.float32
    assert photo.shape == (3, 5, 3)
    np.testing.assert_array_equal(like_input(photo, pixels), pixels)


def test_alpha_stays_whatever_the_photo_becomes() -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        pixels = picture(4, dtype)
        back = like_input(np.full((16, 24, 3), 2, np.float32), pixels)  # clipped
        np.testing.assert_array_equal(back[..., 3], pixels[..., 3])
        assert (as_photo(back) == 1).all()


def test_srgb_is_the_standards_curve_and_its_own_inverse() -> None:
    """Reference values: IEC 61966-2-1, worked in float64; 8-bit 188 is half the light of 255 within 0.3 %."""
    codes = np.arange(65536) / 65535
    assert np.abs(to_srgb(to_linear(codes)) - codes).max() < 1e-6
    np.testing.assert_allclose(to_linear(np.array([0, 0.04045, 0.5, 1])), [0, 0.0031308, 0.21404114, 1], atol=1e-7)
    assert abs(float(to_linear(np.array(188 / 255))) - 0.5) < 0.003
    assert to_linear(codes).dtype == to_srgb(codes).dtype == np.float32

"""TIFF files of every colour become plain pictures; a camera's raw file is named."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from refocal.images.image import read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 32, 3), np.uint8)


def smooth() -> np.ndarray:
    y, x = np.mgrid[0:24, 0:32]
    return np.stack([y * 10, x * 7, 255 - y * 5], axis=-1).astype(np.uint8)


def test_a_raw_file_is_named_and_not_its_thumbnail_shown(tmp_path: Path) -> None:
    for name, extra in (("a.dng", [(50706, "B", 4, bytes([1, 4, 0, 0]), True)]), ("a.tif", [])):
        with tifffile.TiffWriter(tmp_path / name) as writer:
            writer.write(PIXELS, photometric="rgb", subfiletype=1, subifds=1, extratags=extra)
            writer.write(RNG.integers(0, 9999, (60, 80), np.uint16), photometric=32803, subfiletype=0)
        with pytest.raises(ValueError, match=rf"{name} is a camera's raw file: develop it first"):
            read_image(tmp_path / name)
    tifffile.imwrite(tmp_path / "a.NEF", PIXELS)
    (tmp_path / "a.raf").write_bytes(b"FUJIFILMCCD-RAW 0201")
    (tmp_path / "a.cr3").write_bytes(b"\0\0\0\x18ftypcrx \0\0\0\1")
    for name in ("a.NEF", "a.raf", "a.cr3"):
        with pytest.raises(ValueError, match="is a camera's raw file"):
            read_image(tmp_path / name)


def test_thumbnails_and_masks_before_the_picture_are_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PIXELS[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(PIXELS[..., 0] > 99, subfiletype=4)
        writer.write(PIXELS, photometric="rgb", subfiletype=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, PIXELS)
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:  # nothing but reduced pages: the first
        writer.write(PIXELS, photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").pixels, PIXELS)


def test_ycbcr_becomes_rgb(tmp_path: Path) -> None:
    coded = np.asarray(Pillow.fromarray(smooth()).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", coded, photometric="ycbcr", subsampling=(1, 1))
    assert np.abs(read_image(tmp_path / "a.tif").pixels.astype(int) - smooth()).max() <= 3


@pytest.mark.parametrize(("kind", "shift"), [("cielab", 0), ("icclab", 128)])
def test_lab_becomes_srgb(tmp_path: Path, kind: str, shift: int) -> None:
    from skimage.color import rgb2lab

    pale = (smooth() * 0.4 + 100).astype(np.uint8)  # within what sRGB holds
    lab = rgb2lab(pale)
    coded = np.stack([lab[..., 0] * 2.55, lab[..., 1] + shift, lab[..., 2] + shift], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", np.rint(coded).astype(int).astype(np.uint8), photometric=kind)
    with pytest.warns(UserWarning, match="Lab; it is turned into sRGB"):
        made = read_image(tmp_path / "a.tif").pixels
    apart = np.abs(made.astype(int) - pale)  # of another white, adapted to otherwise
    assert apart.mean() < 4
    assert apart.max() < 20
    tifffile.imwrite(tmp_path / "b.tif", PIXELS.astype(np.uint16), photometric=kind)
    with pytest.raises(ValueError, match="LAB of uint16 is not read, 8 bit is"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_premultiplied_alpha_is_divided_out(tmp_path: Path, dtype: type) -> None:
    limit = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    straight = smooth() / 255 * limit
    alpha = np.full((24, 32, 1), 0.5 * limit)
    stored = np.concatenate([straight * 0.5, alpha], axis=2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    made = read_image(tmp_path / "a.tif").pixels
    assert made.dtype == dtype
    assert np.abs(made[..., :3] / limit - straight / limit).max() < 0.013
    np.testing.assert_array_equal(made[..., 3], stored[..., 3])


def test_channels_that_are_no_transparency_are_left_out_with_a_line(tmp_path: Path) -> None:
    selection = np.zeros((24, 32, 1), np.uint8)
    for count, kinds in ((1, ["unspecified"]), (2, ["unspecified", "unspecified"])):
        stored = np.concatenate([PIXELS, *[selection] * count], axis=2)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=kinds)
        with pytest.warns(UserWarning, match=r"channels that are no transparency .* are left out"):
            np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, PIXELS)
    stored = np.concatenate([PIXELS, selection, selection + np.uint8(200)], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unspecified", "unassalpha"])
    with pytest.warns(UserWarning, match="no transparency"):
        made = read_image(tmp_path / "a.tif").pixels
    assert made.shape == (24, 32, 4)
    assert (made[..., 3] == 200).all()


def test_floats_beyond_white_are_clipped_with_a_line(tmp_path: Path) -> None:
    values = (smooth() / 255 * 1.3 - 0.01).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    with pytest.warns(UserWarning, match=r"values reach from -0\.01 to 1\.\d+; they are clipped"):
        made = read_image(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(made, values.clip(0, 1))


def test_pnm_bmp_and_avif_are_read(tmp_path: Path) -> None:
    for name in ("a.ppm", "a.bmp"):
        Pillow.fromarray(PIXELS).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).pixels, PIXELS)
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 1 65535\n" + np.array([1000, 65535], ">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "deep.pgm").pixels, [[1000, 65535]])
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(smooth()).save(tmp_path / "a.avif", quality=95, exif=exif)
    made = read_image(tmp_path / "a.avif").pixels
    assert np.abs(made.astype(int) - np.rot90(smooth(), -1)).mean() < 3


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_samples_of_10_to_14_bits_reach_white(tmp_path: Path, bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 24 * 32 * 3).reshape(24, 32, 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", bitspersample=bits)
    made = read_image(tmp_path / "a.tif").pixels
    assert (made.min(), made.max()) == (0, 65535)
    np.testing.assert_allclose(made / 65535, values / (2**bits - 1), atol=1e-4)

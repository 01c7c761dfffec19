"""One file with a whole light field in it: every layout and depth that is read, and one line for what is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from refocal.images import profiles
from refocal.images.colour import to_srgb
from refocal.images.image import write_image
from refocal.lightfields.readers import find_grid, read_array, read_file, read_mosaic, read_view
from refocal.scenes.synthetic.textures import GROUPS, photograph


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def plane(grid: tuple[int, int], size: tuple[int, int], step: int, seed: int) -> NDArray[np.uint8]:
    """Return the views of a textured plane of whole disparity, (U, V, H, W, 3)."""
    (rows, columns), (height, width) = grid, size
    texture = np.random.default_rng(seed).normal(size=(height + rows * step, width + columns * step, 3))
    texture = gaussian_filter(texture, (1.5, 1.5, 0))
    texture = np.clip(128 + 50 * texture / texture.std(), 0, 255).astype(np.uint8)
    cut = [[texture[u * step :][:height, v * step :][:, :width] for v in range(columns)] for u in range(rows)]
    return np.array(cut)


def interleaved(views: NDArray[Any]) -> NDArray[Any]:
    """Return the mosaic of views, view by view: every U-th row and every V-th column is one."""
    rows, columns, height, width, channels = views.shape
    mosaic = np.zeros((height * rows, width * columns, channels), views.dtype)
    for u, v in np.ndindex(rows, columns):
        mosaic[u::rows, v::columns] = views[u, v]
    return mosaic


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(2, 16),
    height=st.integers(60, 90),
    width=st.integers(60, 90),
    near=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_number_of_interleaved_views_is_found(n: int, height: int, width: int, near: bool, seed: int) -> None:
    """Of mosaics of 200 pixels a side and more, whose views have 60 and more."""
    views = plane((n, n), (max(height, -(-200 // n)), max(width, -(-200 // n))), 2, seed)
    assert find_grid(interleaved(views if near else views[::-1, ::-1]), Path("mosaic.png")) == (n, n)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("file", [file for files in GROUPS.values() for file in files])
def test_an_ordinary_picture_is_no_mosaic_though_its_sides_have_divisors(
    file: str, suffix: str, tmp_path: Path
) -> None:
    picture = to_srgb(photograph(file, np.random.default_rng(0), 240, 240).astype(np.float32))
    write_image(tmp_path / f"picture{suffix}", np.rint(255 * picture.clip(0, 1)).astype(np.uint8), quality=60)
    with pytest.raises(ValueError, match=r"found no N of N x N .* in 240 x 240 pixels; say it \(grid, --grid\)"):
        read_mosaic(tmp_path / f"picture{suffix}", None)


def test_the_blocks_of_a_jpeg_are_not_taken_for_lenses() -> None:
    """The same signal of period 8 tells of 8 x 8 views in a PNG, and of nothing in a JPEG; one of period 5 in both."""
    for n, seen in ((8, (".png",)), (5, (".png", ".JPG"))):
        mosaic = interleaved(plane((n, n), (48, 48), 2, 0))
        for suffix in (".png", ".JPG"):
            if suffix in seen:
                assert find_grid(mosaic, Path(f"mosaic{suffix}")) == (n, n)
            else:
                with pytest.raises(ValueError, match="found no N"):
                    find_grid(mosaic, Path(f"mosaic{suffix}"))


@pytest.mark.parametrize("grid", [(3, 3), (2, 5)])
def test_a_mosaic_of_a_given_grid_is_taken_apart_view_by_view(grid: tuple[int, int], tmp_path: Path) -> None:
    views = noise((*grid, 6, 7, 3))
    write_image(tmp_path / "mosaic.png", interleaved(views))
    np.testing.assert_array_equal(read_file(tmp_path / "mosaic.png", grid), views)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_mosaics_of_every_depth_are_read(suffix: str, tmp_path: Path) -> None:
    """8 bit stays as it is, 16 bit becomes float32, grey is repeated, alpha dropped."""
    views = noise((2, 2, 5, 6, 3))
    eight, deep = interleaved(views), interleaved(views.astype(np.uint16) * 256 + 77)
    file = tmp_path / f"mosaic{suffix}"
    cases: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (eight, views),
        (eight[..., 0], views[..., [0, 0, 0]]),
        (np.dstack((eight, eight[..., :1])), views),
        (deep, ((views * 256.0 + 77) / 65535).astype(np.float32)),
        (deep[..., 1], ((views[..., [1, 1, 1]] * 256.0 + 77) / 65535).astype(np.float32)),
    ]
    for stored, wanted in cases:
        write_image(file, stored)
        read = read_mosaic(file, (2, 2))
        assert read.dtype == wanted.dtype
        np.testing.assert_allclose(read, wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (noise((2, 3, 4, 5, 3)), noise((2, 3, 4, 5, 3))),
        (noise((2, 3, 4, 5)), noise((2, 3, 4, 5))[..., None].repeat(3, -1)),
        (np.full((2, 3, 4, 5, 3), 13107, np.uint16), np.full((2, 3, 4, 5, 3), 0.2, np.float32)),
        (np.full((2, 3, 4, 5, 3), 13107, ">u2"), np.full((2, 3, 4, 5, 3), 0.2, np.float32)),
        (np.full((2, 3, 4, 5), 0.25, np.float16), np.full((2, 3, 4, 5, 3), 0.25, np.float32)),
        (np.full((2, 3, 4, 5, 3), 0.25, np.float64), np.full((2, 3, 4, 5, 3), 0.25, np.float32)),
    ],
)
def test_arrays_of_every_depth_are_read(stored: NDArray[Any], wanted: NDArray[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stored)
    np.savez(tmp_path / "one.npz", anything=stored)
    np.savez_compressed(tmp_path / "more.npz", disparity=np.zeros(3), views=stored)
    for file in sorted(tmp_path.iterdir()):
        read = read_array(file)
        assert read.dtype == wanted.dtype
        np.testing.assert_allclose(read, wanted, rtol=0, atol=1e-7)


def test_an_array_of_bytes_is_mapped_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise((2, 2, 4, 4, 3)))
    assert not read_array(tmp_path / "a.npy").flags.owndata


NAN = np.full((2, 2, 3, 4, 3), 0.5)
NAN[1, 0, 2, 2] = np.nan


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (NAN, r"view \(1, 0\) has values from nan to nan; floats must lie in \[0, 1\]"),
        (np.full((2, 2, 3, 4), 255.0), r"view \(0, 0\) has values from 255 to 255; floats must lie"),
        (np.full((2, 2, 3, 4), -0.1), "has values from -0.1 to -0.1"),
        (np.zeros((2, 2, 3, 4), np.int64), "holds int64; uint8, uint16, or floats"),
        (np.zeros((3, 4, 3), np.uint8), r"has shape \(3, 4, 3\); \(U, V, H, W, 3\) or \(U, V, H, W\) is read"),
        (np.zeros((2, 2, 5, 4, 2), np.uint8), r"has shape \(2, 2, 5, 4, 2\)"),
        (np.zeros((0, 2, 3, 4, 3), np.uint8), r"has shape \(0, 2, 3, 4, 3\)"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_an_array_that_is_no_light_field_is_named(array: NDArray[Any], words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"^\S+a\.npy:? .*{words}.*$"):
        read_file(tmp_path / "a.npy", None)


def damaged(tmp_path: Path, name: str) -> Path:
    """Return a file cut in half, with a bad byte, empty, of another kind, or without the array that is meant."""
    how, file = name.split("."), tmp_path / name
    views = noise((2, 2, 9, 9, 3))
    (np.savez_compressed if how[0] == "deflate" else np.savez)(tmp_path / "whole.npz", views)
    np.save(tmp_path / "whole.npy", views)
    write_image(tmp_path / "whole.png", interleaved(views))
    whole = (tmp_path / f"whole.{how[1]}").read_bytes()
    kinds = {
        "half": whole[: len(whole) // 2],
        "byte": whole[:400] + bytes([whole[400] ^ 255]) + whole[401:],
        "deflate": whole[:59] + b"\xff" * 40 + whole[99:],
        "empty": b"",
        "text": b"not what the name says",
    }
    if how[0] in kinds:
        file.write_bytes(kinds[how[0]])
    else:
        np.savez(file, **({} if how[0] == "none" else {"p": views, "q": views}))
    return file


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("half.npy", "cannot be read"),
        ("half.npz", "cannot be read"),
        ("byte.npz", "cannot be read: Bad CRC-32"),
        ("deflate.npz", "cannot be read: Error -3 while decompressing"),
        ("empty.npy", "cannot be read"),
        ("empty.npz", "cannot be read"),
        ("text.npy", "cannot be read: it is no array file, or holds Python objects"),
        ("none.npz", "cannot be read: it holds nothing; its only array, or one named views"),
        ("two.npz", "cannot be read: it holds p, q; its only array, or one named views"),
        ("half.png", "cannot be decoded"),
        ("text.png", "is no picture"),
    ],
)
def test_a_damaged_file_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_file(damaged(tmp_path, name), None)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mosaic_of_floats_must_lie_in_range(tmp_path: Path) -> None:
    for value, line in (
        (np.nan, "of float32 must lie"),
        (1.5, "its values reach from 1.5 to 1.5; those of a photo lie"),
    ):
        tifffile.imwrite(tmp_path / "m.tif", np.full((8, 8, 3), value, np.float32), photometric="rgb")
        with pytest.raises(ValueError, match=rf"m\.tif .*{line} in \[0, 1\]"):
            read_file(tmp_path / "m.tif", (2, 2))


def test_a_grid_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "m.png", noise((20, 30, 3)))
    for grid in ((7, 5), (5, 7)):
        with pytest.raises(ValueError, match=rf"m\.png: {grid[0]} x {grid[1]} views do not fit: its 20 rows and 30 "):
            read_file(tmp_path / "m.png", grid)
    np.save(tmp_path / "a.npy", noise((2, 3, 4, 5, 3)))
    assert read_file(tmp_path / "a.npy", (2, 3)).shape[:2] == (2, 3)
    with pytest.raises(ValueError, match=r"a\.npy holds 2 x 3 views, not 3 x 2"):
        read_file(tmp_path / "a.npy", (3, 2))


@pytest.mark.parametrize("name", ["IMG_0001.lfp", "IMG_0002.LFR"])
def test_a_raw_lytro_file_gets_the_name_of_a_decoder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x89LFP")
    with pytest.raises(ValueError, match=rf"{name} is a raw Lytro file; decode it first, .*plenopticam"):
        read_file(tmp_path / name, None)


def test_another_kind_of_file_is_told_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"notes\.txt is no light field: a folder of views, a mosaic picture, \.npy"):
        read_file(tmp_path / "notes.txt", None)


@pytest.mark.real
def test_mosaics_of_real_lenslet_cameras_are_found_to_be_of_their_grid(real_data: Path) -> None:
    found = {}
    for folder, n in (("jaramillo_flowers/LF/LF_stuv", 5), ("tao2013_eslf7", 7)):
        for file in sorted((real_data / "lightfields" / folder).rglob("*.png"))[:2]:
            found[file] = (read_mosaic(file, None).shape[:2], (n, n))
    if not found:
        pytest.skip("no real mosaics here")
    assert all(got == wanted for got, wanted in found.values()), found


def test_views_with_a_profile_become_srgb(tmp_path: Path) -> None:
    red, icc = np.full((8, 8, 3), (230, 60, 50), np.uint8), profiles.matrix_profile(12)
    Image.fromarray(red).save(tmp_path / "a.png", icc_profile=icc)
    np.testing.assert_array_equal(read_view(tmp_path / "a.png"), profiles.to_srgb(red, icc))


def test_arrays_as_others_lay_them_out(tmp_path: Path) -> None:
    views = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 16, 3), np.uint8)
    alpha = np.concatenate([views, np.full_like(views[..., :1], 255)], axis=-1)
    for name, stored in {
        "row": views.reshape(9, 12, 16, 3),
        "channels first": views.transpose(0, 1, 4, 2, 3),
        "alpha": alpha,
    }.items():
        np.save(tmp_path / f"{name}.npy", stored)
        np.testing.assert_array_equal(read_file(tmp_path / f"{name}.npy", None), views)
    np.save(tmp_path / "odd.npy", views.reshape(9, 12, 16, 3)[:8])
    with pytest.raises(ValueError, match="8 views in one row; reshape it"):
        read_file(tmp_path / "odd.npy", None)
    np.save(tmp_path / "dim.npy", views.astype(np.uint16) * 4)
    with pytest.warns(UserWarning, match=r"values reach 1020 of 65535, as if they had 10 bits"):
        read_file(tmp_path / "dim.npy", None)

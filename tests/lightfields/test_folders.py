"""A folder of views is read by its names, whatever they count from; what is missing or odd is one line."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from refocal.images.image import write_image
from refocal.lightfields.folders import read_folder

Make = Callable[..., Path]


def numbered(rows: int, columns: int) -> NDArray[np.uint8]:
    """Return views (U, V, 3, 4, 3) that differ by their place."""
    views = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns, 1, 1, 1) + 50
    return np.broadcast_to(views, (rows, columns, 3, 4, 3)).copy()


def write(folder: Path, views: NDArray[Any], name: str, start: tuple[int, int] = (0, 0), step: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    for n, (u, v) in enumerate(np.ndindex(views.shape[:2])):
        write_image(folder / name.format(n=n + start[0], r=u * step + start[0], c=v * step + start[1]), views[u, v])
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Give a function that writes a folder of 2 x 3 (or other) numbered views."""

    def made(name: str = "view_{r:02d}_{c:02d}.png", grid: tuple[int, int] = (2, 3), **where: Any) -> Path:
        return write(tmp_path / "views", numbered(*grid), name, **where)

    return made


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(
        (
            "view_{r:02d}_{c:02d}.png",
            "{r}_{c}.png",
            "{r:02d}_{c:02d}.tif",
            "IMG_0001_{n:03d}_{r:02d}_{c:02d}.png",
            "IMG_0001_{r}_{c}.png",
            "out_{r:02d}_{c:02d}_-381.909271_1103.376221_.png",
            "out_{r:02d}_{c:02d}_12_34.png",
            "my scene-{r}-{c}.png",
        )
    ),
    grid=st.tuples(st.integers(1, 3), st.integers(2, 4)),
    start=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    step=st.integers(1, 3),
)
def test_names_of_row_and_column_are_read_from_any_start(
    name: str, grid: tuple[int, int], start: tuple[int, int], step: int
) -> None:
    views = numbered(*grid)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), views, name, start, step)
        np.testing.assert_array_equal(read_folder(path, None, None, "row"), views)
        np.testing.assert_array_equal(read_folder(path, grid, None, "column"), views.swapaxes(0, 1))


@pytest.mark.parametrize("start", [0, 1, 100])
def test_cameras_that_count_on_are_broken_into_rows(make: Make, start: int) -> None:
    path = make("input_Cam{n:03d}.png", (3, 3), start=(start, 0))
    np.testing.assert_array_equal(read_folder(path, None, None, "row"), numbered(3, 3))
    np.testing.assert_array_equal(read_folder(path, (3, 3), None, "column"), numbered(3, 3).swapaxes(0, 1))


def test_a_count_is_one_row_or_what_the_grid_says(make: Make) -> None:
    path = make("frame{n}.png", (2, 5))  # frame10 sorts before frame2
    for grid, shape in ((None, (1, 10)), ((2, 5), (2, 5)), ((5, 2), (5, 2)), ((10, 1), (10, 1))):
        np.testing.assert_array_equal(read_folder(path, grid, None, "row"), numbered(*shape))


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("c{c}r{r}.png", "c{c}r{r}.png"),
        ("s5.x{c}.y{r}.v2.png", "s5.x{c}.y{r}.v2.png"),
        ("a{r}b{c}_77_88.png", "a{r}b{c}_*.png"),
        ("a{c}b{r}.png", r"a(?P<c>\d+)b(?P<r>\d+)\.png"),
        ("a{r}b{c}.png", r"a(\d+)b(\d+)\.png"),
    ],
)
def test_a_pattern_of_the_user_tells_row_and_column(make: Make, name: str, pattern: str) -> None:
    path = make(name)
    write_image(path / "preview.png", numbered(1, 1)[0, 0])
    np.testing.assert_array_equal(read_folder(path, None, pattern, "row"), numbered(2, 3))


@pytest.mark.parametrize(("name", "pattern"), [("7v{n}.png", "7v{n}.png"), ("7v{n}.png", r"7v(\d+)\.png")])
def test_a_pattern_of_the_user_tells_a_count(make: Make, name: str, pattern: str) -> None:
    np.testing.assert_array_equal(read_folder(make(name), (2, 3), pattern, "row"), numbered(2, 3))


def test_other_files_in_the_folder_are_left_alone(make: Make) -> None:
    path = make()
    write_image(path / "thumbnail.png", numbered(1, 1)[0, 0, :2])
    write_image(path / ".view_00_00.png", numbered(1, 1)[0, 0, :2])
    (path / "readme.txt").write_text("")
    (path / "view_09_09.png").mkdir()
    np.testing.assert_array_equal(read_folder(path, None, None, "row"), numbered(2, 3))


@pytest.mark.parametrize("kind", ["grey", "alpha", "deep", "deep grey"])
def test_views_of_every_depth_are_read(kind: str, tmp_path: Path) -> None:
    views: NDArray[Any] = numbered(2, 2)
    stored, wanted = views, views
    if "deep" in kind:
        stored, wanted = views.astype(np.uint16) * 256 + 9, ((views * 256.0 + 9) / 65535).astype(np.float32)
    if "grey" in kind:
        stored = stored[..., 0]
    if kind == "alpha":
        stored = np.concatenate((stored, stored[..., :1] // 2), axis=-1)
    read = read_folder(write(tmp_path / "v", stored, "{r}_{c}.png"), None, None, "row")
    assert read.dtype == wanted.dtype
    np.testing.assert_allclose(read, wanted, rtol=0, atol=1e-7)


def drop(*names: str) -> Callable[[Path], object]:
    return lambda path: [(path / name).unlink() for name in names]


def truncate(path: Path) -> None:
    data = (path / "view_00_01.png").read_bytes()
    (path / "view_00_01.png").write_bytes(data[: len(data) // 2])


def nan(path: Path) -> None:
    drop("view_00_01.png")(path)
    tifffile.imwrite(path / "view_00_01.tif", np.full((3, 4, 3), np.nan, np.float32), photometric="rgb")


HCI, VIEW, COUNT = "input_Cam{n:03d}.png", "view_{r:02d}_{c:02d}.png", "v{n}.png"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (VIEW, drop("view_01_01.png"), r"view \(1, 1\) is missing \(1 of 9 are; names as view_00_00\.png\)"),
        (VIEW, drop("view_00_02.png", "view_01_00.png"), r"view \(0, 2\) is missing \(2 of 9 are"),
        (HCI, drop("input_Cam004.png"), "view 4 is missing between input_Cam000.png and input_Cam008.png"),
        (HCI, drop("input_Cam008.png"), "8 views input_Cam… are no square grid; a view is missing, or give a grid"),
        (COUNT, str, r"9 numbered views may be 3 x 3 or one row; say it \(grid, --grid\)"),
        (VIEW, lambda p: write_image(p / "view_01_01.png", numbered(1, 1)[0, 0, :2]), "is 4 x 2 uint8, .* is 4 x 3 u"),
        (
            VIEW,
            lambda p: write_image(p / "view_01_01.png", np.zeros((3, 4, 3), np.uint16)),
            r"view_01_01\.png is 4 x 3 float32, view_00_00\.png is 4 x 3 uint8; views must be alike",
        ),
        (VIEW, lambda p: shutil.copy(p / "view_00_00.png", p / "view_0_0.png"), r"are both view \(0, 0\); give a patt"),
        (VIEW, truncate, "view_00_01.png cannot be decoded"),
        (VIEW, nan, r"view_00_01.tif of float32 must lie in \[0, 1\], got nan"),
        ("foo{n}.x.png", str, "0 of 9 pictures have names with row and column, as view_00_00.png; give a pattern"),
        (VIEW, lambda p: [f.unlink() for f in p.iterdir()], "holds no pictures; a light field's folder holds one"),
    ],
)
def test_what_is_wrong_in_a_folder_is_one_line(
    make: Make, name: str, change: Callable[[Path], object], words: str
) -> None:
    path = make(name, (3, 3))
    change(path)
    with pytest.raises(ValueError, match=words) as caught:
        read_folder(path, None, None, "row")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_that_are_missing_leave_an_uneven_step(make: Make) -> None:
    path = make(grid=(4, 2))
    drop("view_01_00.png", "view_01_01.png")(path)
    with pytest.raises(ValueError, match="views are missing: an index goes 0, 2, 3"):
        read_folder(path, None, None, "row")


@pytest.mark.parametrize("name", [VIEW, HCI, COUNT])
def test_a_grid_of_other_size_than_the_folder_is_refused(make: Make, name: str) -> None:
    with pytest.raises(ValueError, match="views holds 9 views, not 5 x 2"):
        read_folder(make(name, (3, 3)), (5, 2), None, "row")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("view_(", r"pattern view_\( is no regular expression"),
        ("view_{r}.png", r"pattern must have \{r\} and \{c\}, or \{n\}, or one or two groups of digits, got"),
        (r"(\d+)(\d)(\d)", "one or two groups of digits"),
        (r"view.*\.png", "one or two groups of digits"),
        (r"(view)_(.*)", r"pattern finds \('view', '00_00.png'\) in view_00_00.png; the groups must be digits"),
        ("cam{r}_{c}.png", r"0 of 6 pictures have the pattern cam\{r\}_\{c\}\.png; give a pattern"),
        ("view_{r}_02.png", r"pattern must have"),
        (r"view_(\d+)_\d+\.png", r"view_00_00.png and view_00_01.png are both view \(0,\); give a pattern"),
    ],
)
def test_a_pattern_that_does_not_do_is_one_line(make: Make, pattern: str, words: str) -> None:
    path = make()
    with pytest.raises(ValueError, match=words) as caught:
        read_folder(path, None, pattern, "row")
    assert "\n" not in str(caught.value)


def test_a_folder_of_raw_lytro_files_gets_the_name_of_a_decoder(tmp_path: Path) -> None:
    (tmp_path / "IMG_0001.LFR").write_bytes(b"\x89LFP")
    with pytest.raises(ValueError, match="raw Lytro file; decode it first"):
        read_folder(tmp_path, None, None, "row")


@pytest.mark.parametrize("order", ["row", "column"])
def test_rows_and_columns_of_steps_stay_apart(make: Make, order: Literal["row", "column"]) -> None:
    """Which number is which is the order's to say, not the sorting of names'."""
    read = read_folder(make("{r}_{c}.png", (12, 2)), None, None, order)
    assert read.shape[:2] == ((12, 2) if order == "row" else (2, 12))


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("view_{r:02d}_{c:02d}.ppm", None),
        ("{r:03d}_{c:03d}.bmp", None),
        ("view_{r:02d}_{c:02d}.png", "thumb_{r:02d}_{c:02d}.png"),  # another pattern, as many
        ("input_Cam{n:03d}.png", "mask_highres_1.png"),
    ],
)
def test_views_are_told_from_what_lies_beside_them(tmp_path: Path, name: str, beside: str | None) -> None:
    views = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 16, 3), np.uint8)
    for r, c in np.ndindex(3, 3):
        Image.fromarray(views[r, c]).save(tmp_path / name.format(r=r, c=c, n=3 * r + c))
        if beside is not None:
            Image.fromarray(views[r, c, ::4, ::4]).save(tmp_path / beside.format(r=r, c=c))
    np.testing.assert_array_equal(read_folder(tmp_path, None, None, "row"), views)


@pytest.mark.parametrize("pattern", [None, "view_{r}_{c}.png"])
def test_views_may_be_counted_from_the_middle(tmp_path: Path, pattern: str | None) -> None:
    views = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 16, 3), np.uint8)
    for r, c in np.ndindex(3, 3):
        Image.fromarray(views[r, c]).save(tmp_path / f"view_{r - 1}_{c - 1}.png")
    np.testing.assert_array_equal(read_folder(tmp_path, None, pattern, "row"), views)

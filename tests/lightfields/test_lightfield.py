"""Behind `LightField.open` every light field is the right way round, and knows which of its views count."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered_scene import layered
from numpy.typing import NDArray

from refocal.images.image import write_image
from refocal.lightfields.lightfield import LightField, find_valid, list_light_fields, read_options

Save = Callable[[Path, NDArray[Any]], tuple[Path, dict[str, Any]]]


def numbered(rows: int, columns: int) -> NDArray[np.uint8]:
    """Return views (U, V, 3, 4, 3) that differ by their place."""
    views = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns, 1, 1, 1) + 50
    return np.broadcast_to(views, (rows, columns, 3, 4, 3)).copy()


def save_folder(folder: Path, views: NDArray[Any]) -> tuple[Path, dict[str, Any]]:
    for u, v in np.ndindex(views.shape[:2]):
        write_image(folder / f"view_{u:02d}_{v:02d}.png", views[u, v])
    return folder, {}


def save_cameras(folder: Path, views: NDArray[Any]) -> tuple[Path, dict[str, Any]]:
    for n, (u, v) in enumerate(np.ndindex(views.shape[:2])):
        write_image(folder / f"input_Cam{n:03d}.png", views[u, v])
    return folder, {"grid": views.shape[:2]}


def save_mosaic(folder: Path, views: NDArray[Any]) -> tuple[Path, dict[str, Any]]:
    rows, columns, height, width, _ = views.shape
    write_image(folder / "m.png", views.transpose(2, 0, 3, 1, 4).reshape(height * rows, width * columns, 3))
    return folder / "m.png", {"grid": (rows, columns)}


def save_array(folder: Path, views: NDArray[Any]) -> tuple[Path, dict[str, Any]]:
    np.save(folder / "a.npy", views)
    return folder / "a.npy", {}


@settings(deadline=None, max_examples=60)
@given(
    save=st.sampled_from((save_folder, save_cameras, save_mosaic, save_array)),
    grid=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    order=st.sampled_from((None, "row", "column")),
    flip_rows=st.sampled_from((None, False, True)),
    flip_columns=st.sampled_from((None, False, True)),
    near=st.sampled_from((None, "negative", "positive")),
)
def test_each_option_undoes_the_way_that_views_were_written(
    save: Save,
    grid: tuple[int, int],
    order: Literal["row", "column"] | None,
    flip_rows: bool | None,
    flip_columns: bool | None,
    near: Literal["negative", "positive"] | None,
) -> None:
    """However counted, what is opened is canonical; options that are not given are row, no flip, near = negative."""
    canonical = numbered(*grid)
    stored = canonical if near == "positive" else canonical[::-1, ::-1]
    stored = stored[::-1] if flip_rows else stored
    stored = stored[:, ::-1] if flip_columns else stored
    with tempfile.TemporaryDirectory() as folder:
        if order == "column":
            stored = stored.swapaxes(0, 1)
        path, options = save(Path(folder), stored)
        how: dict[str, Any] = {"flip_rows": flip_rows, "flip_columns": flip_columns, "order": order, "near": near}
        opened = LightField.open(path, **options, **how)
        np.testing.assert_array_equal(opened.views, canonical)
        assert opened.grid == grid
        assert opened.size == (3, 4)


def test_what_is_near_moves_with_the_view_step_however_it_was_stored(tmp_path: Path) -> None:
    """Content of the near third stands 1 px further right in the view to the right, by default and by option."""
    views, _ = layered(0)
    near = (slice(8, -8), slice(70, 88))
    for folder, stored, options in (("n", views[::-1, ::-1], {}), ("p", views, {"near": "positive"})):
        (tmp_path / folder).mkdir()
        opened = LightField.open(save_folder(tmp_path / folder, stored)[0], **options)
        moved = opened.views[2, 3, 8:-8, 71:89]
        np.testing.assert_array_equal(moved, opened.centre[near])
        assert (opened.views[2, 1, 8:-8, 71:89] != opened.centre[near]).any()


def test_of_a_lytro_illum_the_central_7_x_7_is_used_unless_said_otherwise(tmp_path: Path) -> None:
    path, options = save_mosaic(tmp_path, numbered(14, 14))
    default = LightField.open(path, **options, near="positive")
    np.testing.assert_array_equal(default.views, numbered(14, 14)[4:11, 4:11])
    assert LightField.open(path, **options, crop_grid=14).grid == (14, 14)
    assert LightField.open(path, **options, crop_grid=(9, 5)).grid == (9, 5)
    assert LightField.open(save_array(tmp_path, numbered(13, 14))[0]).grid == (13, 14)


@settings(deadline=None, max_examples=20)
@given(grid=st.tuples(st.integers(1, 9), st.integers(1, 9)), data=st.data())
def test_an_odd_middle_keeps_the_centre_view(grid: tuple[int, int], data: st.DataObject) -> None:
    crop = tuple(2 * data.draw(st.integers(0, (n - 1) // 2)) + 1 for n in grid)
    with tempfile.TemporaryDirectory() as folder:
        path, _ = save_array(Path(folder), numbered(*grid))
        whole = LightField.open(path, near="positive")
        cut = LightField.open(path, near="positive", crop_grid=(crop[0], crop[1]))
    assert cut.grid == crop
    np.testing.assert_array_equal(cut.centre, whole.centre)
    odd = whole.odd()
    assert odd.grid == tuple(n - (n % 2 == 0) for n in grid)
    assert odd.mask.shape == odd.grid
    np.testing.assert_array_equal(odd.centre, whole.centre)
    assert np.shares_memory(odd.views, whole.views)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1.2), st.sampled_from(["whole", "side", "corner"]), st.booleans())
def test_black_and_vignetted_views_are_masked_and_no_others(gain: float, where: str, deep: bool) -> None:
    views = layered(1)[0].astype(np.float32) / 300
    part = {"whole": np.s_[:, :], "side": np.s_[:, :48], "corner": np.s_[:24, :32]}[where]
    views[0, 3][part] *= gain
    views[4, 4] = 0
    mask = find_valid(views if deep else np.rint(views * 255).astype(np.uint8))
    wanted = np.ones((5, 5), bool)
    wanted[4, 4] = False
    if abs(gain - 0.7) > 0.06:  # what the other views show there differs a little
        wanted[0, 3] = where == "corner" or gain > 0.7  # a ninth may be parallax
        np.testing.assert_array_equal(mask, wanted)


def test_the_mask_is_that_of_the_views_as_turned(tmp_path: Path) -> None:
    views = layered(2)[0].copy()
    views[0, 4] = 0
    opened = LightField.open(save_folder(tmp_path, views)[0], flip_rows=True)
    assert [tuple(index) for index in np.argwhere(~opened.mask)] == [(0, 0)]
    assert not opened.views[0, 0].any()


def test_the_name_is_that_of_the_folder_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.scene").mkdir()
    save_folder(tmp_path / "my.scene", numbered(2, 2))
    assert LightField.open(tmp_path / "my.scene").name == "my.scene"
    assert LightField.open(save_array(tmp_path, numbered(2, 2))[0]).name == "a"
    monkeypatch.chdir(tmp_path / "my.scene")
    assert LightField.open(".").name == "my.scene"


def test_options_lie_beside_the_data_and_arguments_win(tmp_path: Path) -> None:
    save_mosaic(tmp_path, numbered(3, 2))
    (tmp_path / "lightfield.toml").write_text(
        'lightfield = "m.png"\ngrid = [3, 2]\nnear = "positive"\nflip_rows = true\ngroup = "g"\nslope_range = [-1, 1]'
    )
    np.testing.assert_array_equal(LightField.open(tmp_path).views, numbered(3, 2)[::-1])
    np.testing.assert_array_equal(LightField.open(tmp_path, flip_rows=False).views, numbered(3, 2))
    np.testing.assert_array_equal(LightField.open(tmp_path, near="negative").views, numbered(3, 2)[:, ::-1])
    assert read_options(tmp_path)["group"] == "g"
    assert read_options(tmp_path / "m.png") == {}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("grid = ", "lightfield.toml is not TOML: "),
        (
            "gird = 3",
            "lightfield.toml: unknown key gird; known are grid, pattern, order, flip_rows, flip_columns, near",
        ),
        ('grid = "3"', "lightfield.toml: grid has a value of another type: '3'"),
        ("near = 1", "lightfield.toml: near has a value of another type: 1"),
        ('near = "left"', "near must be negative or positive, got 'left'"),
        ('order = "x"', "order must be row or column, got 'x'"),
        ("grid = [3]", r"grid must be N, or rows and columns of views, got \[3\]"),
        ("crop_grid = 9", "crop_grid: .* has 2 x 2 views, 9 x 9 are asked for"),
        ('lightfield = "no.npy"', "no light field at .*no.npy: there is no such file or folder"),
    ],
)
def test_a_wrong_option_is_one_line(toml: str, words: str, tmp_path: Path) -> None:
    save_folder(tmp_path, numbered(2, 2))
    (tmp_path / "lightfield.toml").write_text(toml)
    with pytest.raises(ValueError, match=words) as caught:
        LightField.open(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("grid", [0, -1, 2.5, "3", True, (3,), (2, 0), (1, 2, 3)])
def test_a_grid_that_is_no_number_of_views_is_refused(grid: Any, tmp_path: Path) -> None:
    path, _ = save_array(tmp_path, numbered(2, 2))
    for name in ("grid", "crop_grid"):
        with pytest.raises(ValueError, match=f"^{name} must be N, or rows and columns of views, got "):
            LightField.open(path, **{name: grid})


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no light field at .*nowhere: there is no such file or folder"):
        LightField.open(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no folder of light fields at .*nowhere"):
        list_light_fields(tmp_path / "nowhere")


def test_light_fields_of_a_folder_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.npz", "readme.md", ".hidden.png", "d.lfp"):
        (tmp_path / name).write_text("")
    for name in ("c", ".git", "@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "view_00_00.png").write_text("")
    with pytest.warns(UserWarning, match=r"empty holds no pictures; it is left out"):
        found = list_light_fields(tmp_path)
    assert [path.name for path in found] == ["a.npz", "b.PNG", "c", "d.lfp"]

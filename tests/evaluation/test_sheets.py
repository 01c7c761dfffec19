"""Contact sheets: every picture in its place, named, and large ones reduced."""

from pathlib import Path

import numpy as np
import pytest
from layered_scene import SIZE, write_layered_scenes
from numpy.typing import NDArray

from refocal.evaluation.baselines import crop, identity
from refocal.evaluation.sheets import (
    CELL,
    ERROR_FACTOR,
    GAP,
    LABEL,
    MARGIN,
    TITLE,
    contact_sheet,
    disparity_picture,
    error_picture,
    scene_sheet,
)

TOP = TITLE + LABEL + 4 * GAP


def flat(value: int, size: tuple[int, int] = (60, 80)) -> NDArray[np.uint8]:
    return np.full((*size, 3), value, np.uint8)


def test_pictures_stand_in_their_row_and_column_under_their_names() -> None:
    sheet = contact_sheet({"a": [flat(10), flat(20)], "b": [flat(30), flat(40)]}, ["one", "two"], title="title")
    assert sheet.shape == (TOP + 2 * (60 + GAP), MARGIN + 2 * (80 + GAP), 3)
    for row, column, value in ((0, 0, 10), (1, 0, 20), (0, 1, 30), (1, 1, 40)):
        y, x = TOP + row * (60 + GAP), MARGIN + column * (80 + GAP)
        assert (sheet[y : y + 60, x : x + 80] == value).all()
    ink = sheet.min(axis=2) < 100
    assert ink[: TITLE + GAP].any()  # title
    assert ink[TITLE + 2 * GAP : TOP, MARGIN : MARGIN + 80].any()  # column names
    assert ink[TITLE + 2 * GAP : TOP, MARGIN + 80 + GAP :].any()
    assert ink[TOP : TOP + 60, :MARGIN].any()  # row names
    assert ink[TOP + 60 + GAP :, :MARGIN].any()


def test_large_pictures_are_reduced_in_proportion() -> None:
    sheet = contact_sheet({"a": [flat(10, (400, 800))]}, ["one"], title="")
    assert sheet.shape == (TOP + CELL // 2 + GAP, MARGIN + CELL + GAP, 3)


def test_a_column_without_a_picture_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="b has 1 pictures for 2 rows"):
        contact_sheet({"a": [flat(1)] * 2, "b": [flat(2)]}, ["one", "two"], title="")


def test_errors_are_amplified_absolute_differences() -> None:
    assert (error_picture(flat(100), flat(103)) == 3 * ERROR_FACTOR).all()
    assert (error_picture(flat(103), flat(100)) == 3 * ERROR_FACTOR).all()
    assert (error_picture(flat(0), flat(255)) == 255).all()


def test_a_scenes_sheet_runs_from_near_to_far_and_ends_with_the_error(tmp_path: Path) -> None:
    scene = write_layered_scenes(tmp_path, {"layers": "test"})[0]
    sheet = scene_sheet(scene, {"refocal": identity}, ours="refocal", title="layers")
    height, width = SIZE[0] - 2 * scene.border, SIZE[1] - 2 * scene.border
    assert sheet.shape == (TOP + 5 * (height + GAP), MARGIN + 4 * (width + GAP), 3)
    photo, nearest = crop(scene.photo(), scene.border), crop(scene.stack()[-1], scene.border)
    for column, wanted in enumerate((photo, nearest, photo, error_picture(photo, nearest))):
        x = MARGIN + column * (width + GAP)
        assert np.array_equal(sheet[TOP : TOP + height, x : x + width], wanted)


def test_under_the_photo_stand_the_disparity_found_and_the_true_one(tmp_path: Path) -> None:
    scene = write_layered_scenes(tmp_path, {"layers": "test"})[0]
    found = np.linspace(-1, 1, SIZE[0] * SIZE[1]).reshape(SIZE)
    height, width = SIZE[0] - 2 * scene.border, SIZE[1] - 2 * scene.border
    column = slice(MARGIN, MARGIN + width)
    for given, wanted in ((found, [found, scene.disparity()]), (None, [scene.disparity()])):
        sheet = scene_sheet(scene, {"refocal": identity}, ours="refocal", title="", disparity=given)
        for row, disparity in enumerate(wanted, start=1):
            top = TOP + row * (height + GAP)
            grey = crop(disparity_picture(np.asarray(disparity)), scene.border)
            assert np.array_equal(sheet[top : top + height, column], grey)
        assert (sheet[TOP + (len(wanted) + 1) * (height + GAP) :, column] == 255).all()


def test_the_nearest_is_white_the_farthest_and_the_unknown_are_black() -> None:
    assert disparity_picture(np.array([[-1, 0, 1, np.nan]]))[0, :, 0].tolist() == [0, 128, 255, 0]

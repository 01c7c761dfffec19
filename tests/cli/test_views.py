"""`refocal views` writes a light field that `refocal info` reads as a camera's, and a film; it refuses in one line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_model import PROPS, write_lens_models

from refocal.lightfields.lightfield import LightField

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def place(here: Path) -> Path:
    """Return a folder with a photo whose left is near: red."""
    write_lens_models(here / "models" / "refocal.onnx", PROPS | {"weights": "abc"})
    photo = np.random.default_rng(0).integers(60, 200, (48, 96, 3)).repeat(2, 0).repeat(2, 1).astype(np.uint8)
    photo[:, :96, 0], photo[:, 96:, 0] = 255, 0
    Image.fromarray(photo).save(here / "room.png")
    return here


def test_info_finds_the_slopes_that_were_asked_for(place: Path, run: Run) -> None:
    code, out, err = run("refocal views room.png -o room --grid 5x7 --slopes -1.2,0.6")
    assert (code, err) == (0, "")
    assert out == "room: 5 x 7 views, -1.200 (far) to 0.600 (near) px/view\n"
    assert "lightfield.toml" in {path.name for path in Path("room").iterdir()}
    code, out, _ = run("refocal info room")
    assert code == 0
    assert "5 rows x 7 columns, 35 of 35 valid" in out
    found = re.search(r"disparity +(\S+) \(far\) to (\S+) \(near\)", out)
    assert found
    assert [float(number) for number in found.groups()] == pytest.approx([-1.2, 0.6], abs=0.1)


def test_a_mosaic_holds_the_same_views(place: Path, run: Run) -> None:
    assert run("refocal views room.png -o files --grid 3")[0] == 0
    assert run("refocal views room.png -o one --grid 3 --eslf")[0] == 0
    assert sorted(path.name for path in Path("one").iterdir()) == ["lightfield.toml", "room_eslf.png"]
    np.testing.assert_array_equal(LightField.open("one").views, LightField.open("files").views)


def test_a_film_goes_round_and_needs_no_folder(place: Path, run: Run) -> None:
    code, out, _ = run("refocal views room.png --animate room.webp --slopes 0,2")
    assert (code, out) == (0, "room.webp: 36 frames\n")
    with Image.open("room.webp") as film:
        assert film.n_frames == 36  # type: ignore[attr-defined]
    assert not Path("room").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "give --output for the views, or --animate"),
        ("-o room --slopes 1,0", "slopes must be two numbers"),
        ("-o room --slopes x", "--slopes must be FAR,NEAR"),
        ("-o room --grid 0", "--grid must be N or UxV"),
        ("-o room --grid 500", "grid must be two numbers of views"),
        ("--animate room.avi", "room.avi"),
        ("-o room --deblur always", "has no refocal.deblur.onnx"),
    ],
)
def test_bad_requests_are_named_in_one_line_and_leave_nothing(place: Path, run: Run, line: str, words: str) -> None:
    before = sorted(place.iterdir())
    code, _, err = run(f"refocal views room.png {line}")
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert sorted(place.iterdir()) == before

"""`refocal living` writes one HTML file, and refuses in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_model import PROPS, write_lens_models

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def place(here: Path) -> Path:
    write_lens_models(here / "models" / "refocal.onnx", PROPS | {"weights": "abc"})
    ramp = np.linspace(10, 210, 20)[None].repeat(30, 0)
    Image.fromarray(ramp.astype(np.uint8)).save(here / "map.png")
    return here


def test_a_photo_becomes_a_living_picture_named_after_it(place: Path, run: Run) -> None:
    code, out, err = run("refocal living garden.jpg -o garden.html --levels 5")
    assert (code, err) == (0, "")
    assert out.startswith("garden.html: 5 frames, ")
    text = Path("garden.html").read_text(encoding="utf-8")
    assert "<title>garden</title>" in text
    assert text.count("data:image/webp") == 5


def test_a_given_map_is_the_depth_inside(place: Path, run: Run) -> None:
    for name, more in (("plain", ""), ("given", "--disparity map.png")):
        assert run(f"refocal living garden.jpg -o {name}.html --levels 3 --title Tea {more}")[0] == 0
    assert Path("plain.html").read_text() != Path("given.html").read_text()


def test_an_existing_file_stays_unless_forced(place: Path, run: Run) -> None:
    Path("garden.html").write_text("mine")
    code, _, err = run("refocal living garden.jpg -o garden.html --levels 3")
    assert code == 2
    assert "garden.html" in err
    assert Path("garden.html").read_text() == "mine"
    assert run("refocal living garden.jpg -o garden.html --levels 3 --force")[0] == 0


@pytest.mark.parametrize(
    ("line", "named"),
    [("-o out.png", ".html"), ("-o out.html --levels 2", "levels"), ("-o out.html --aperture -1", "aperture")],
)
def test_bad_requests_are_named_in_one_line_and_leave_nothing(place: Path, run: Run, line: str, named: str) -> None:
    code, _, err = run(f"refocal living garden.jpg {line}")
    assert code == 2
    assert named in err
    assert err.count("\n") == 1
    assert not list(place.glob("out*"))

"""Photos and sweeps are what the Refocuser gives, and nothing is overwritten."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refocal.photo.images import read_image, write_image
from refocal.photo.refocuser import Refocuser

Run = Callable[[str], tuple[int, str, str]]


def test_a_photo_is_refocused_upright_with_its_exif(here: Path, run: Run) -> None:
    code, out, err = run("refocal photo garden.jpg -o near.png --focus -0.5 --aperture 8")
    assert (code, err) == (0, "")
    assert "near.png" in out
    photo, near = read_image("garden.jpg"), read_image("near.png")
    assert near.pixels.shape == photo.pixels.shape == (60, 40, 3)
    assert near.exif is not None
    assert b"Maker" in near.exif

    np.testing.assert_array_equal(near.pixels, Refocuser()(photo.pixels, -0.5, 8))


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out.mp4"])
def test_a_sweep_goes_far_to_near_and_back(here: Path, run: Run, name: str) -> None:
    code, out, _ = run(f"refocal sweep garden.jpg -o {name} --focus -1:1:5")
    assert code == 0
    assert f"{name}: 5 frames, focus -1 to 1" in out
    if not name.endswith("mp4"):
        with Image.open(name) as film:
            assert film.n_frames == 8  # 5 there, 3 back
            assert film.size == (40, 60)


def test_a_sweep_into_a_folder_is_numbered_and_made_smaller_when_asked(here: Path, run: Run) -> None:
    assert run("refocal sweep garden.jpg -o frames --focus -1,0,1 --size 30")[0] == 0
    assert sorted(path.name for path in Path("frames").iterdir()) == ["000.png", "001.png", "002.png"]
    assert read_image("frames/000.png").pixels.shape == (30, 20, 3)
    assert not np.array_equal(read_image("frames/000.png").pixels, read_image("frames/002.png").pixels)


def test_an_aperture_shrinks_with_the_photo_of_a_sweep(here: Path, run: Run) -> None:
    """The tiny model adds aperture / 1000: 40 px on a photo made half as large are 20."""
    write_image("flat.png", np.full((64, 64, 3), 100, np.uint8))
    run("refocal sweep flat.png -o whole --focus 0 --aperture 40")
    run("refocal sweep flat.png -o half --focus 0 --aperture 40 --size 32")
    levels = [int(read_image(f"{name}/000.png").pixels[10, 10, 0]) for name in ("whole", "half")]
    assert levels == [round(100 + 0.040 * 255), round(100 + 0.020 * 255)]


def test_nothing_is_overwritten_without_force(here: Path, run: Run) -> None:
    for line in ("refocal photo garden.jpg -o out.png --focus 0", "refocal sweep garden.jpg -o out.gif --focus 0,1"):
        assert run(line)[0] == 0
        code, _, err = run(line)
        assert (code, err.count("\n")) == (2, 1)
        assert "is there already; --force overwrites it" in err
        assert run(f"{line} --force")[0] == 0
    Path("frames").mkdir()
    Path("frames/mine.txt").write_text("mine")
    code, _, err = run("refocal sweep garden.jpg -o frames --focus 0,1")
    assert code == 2
    assert "frames is not empty; --force" in err
    assert run("refocal sweep garden.jpg -o frames --focus 0,1 --force")[0] == 0
    assert Path("frames/mine.txt").read_text() == "mine"


def test_a_model_that_is_not_there_is_told_how_to_be_had(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.photo.session._RELEASED", ())
    Path("models/refocal.onnx").unlink()
    code, _, err = run("refocal photo garden.jpg -o x.png --focus 0")
    assert code == 2
    assert "no model found" in err
    assert "make repro" in err

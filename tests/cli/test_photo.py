"""Photos and sweeps are what the Refocuser gives, and nothing is overwritten."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from tiny_model import PROPS, write_lens_models, write_model

from refocal.images.image import read_image, write_image
from refocal.images.profiles import matrix_profile, to_srgb
from refocal.model.refocuser import Refocuser

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
    monkeypatch.setattr("refocal.inference.session._RELEASED", ())
    Path("models/refocal.onnx").unlink()
    code, _, err = run("refocal photo garden.jpg -o x.png --focus 0")
    assert code == 2
    assert "no model found" in err
    assert "make repro" in err


def test_what_is_wrong_with_a_sweep_is_said_before_anything_else(here: Path, run: Run) -> None:
    """No warning of the aperture, and no photo is opened, before."""
    for more, message in (
        ("--fps 0 -o a.gif", "fps must be above 0 and at most 100, got 0"),
        ("--fps nan -o a.gif", "fps must be above 0"),
        ("-o absent/a.gif", "there is no folder"),
        ("-o a.mov", "an animation is .gif"),
    ):
        code, _, err = run(f"refocal sweep garden.jpg --aperture 5000 {more}")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


@pytest.mark.filterwarnings("default")
def test_the_default_aperture_is_never_warned_of(here: Path, run: Run) -> None:
    write_model(here / "models" / "refocal.onnx", PROPS | {"aperture_range": "6 6.5"})
    assert run("refocal photo garden.jpg -o a.png --focus 0.5")[2] == ""
    assert "aperture 8 px lies outside" in run("refocal photo garden.jpg -o b.png --focus 0.5 --aperture 8")[2]
    write_lens_models(here / "models" / "refocal.onnx", PROPS | {"aperture_range": "6 6.5"})
    assert run("refocal photo garden.jpg -o c.png --focus 0.5 --aperture 8")[2] == ""


@pytest.mark.filterwarnings("default")
def test_a_blurred_photo_is_warned_of_in_one_line_with_any_depth(here: Path, run: Run) -> None:
    blocks = np.kron(np.random.default_rng(0).random((16, 20)), np.ones((16, 16)))
    write_image("soft.png", np.rint(gaussian_filter(blocks, 3) * 255).astype(np.uint8))
    write_lens_models(here / "models" / "refocal.onnx", PROPS)
    for more in ("", "--disparity soft.png"):
        code, _, err = run(f"refocal photo soft.png -o a.png --focus 0.5 --force {more}")
        assert code == 0
        assert err.startswith("refocal photo: warning: the photo is blurred already")
        assert err.count("\n") == 1
    assert run("refocal sweep soft.png -o b.gif --focus 0:1:3")[2].count("\n") == 1


def test_without_a_gpu_require_gpu_says_one_line(here: Path) -> None:
    """Its own process: onnxruntime prints past Python's stderr."""
    code = "import sys; from refocal.cli import main; sys.exit(main(sys.argv[1:]))"
    line = ["photo", "garden.jpg", "-o", "x.png", "--focus", "0", "--require-gpu"]
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("refocal photo: require_gpu: no GPU can be used here")
    assert (done.stderr + done.stdout).count("\n") == 1


def test_a_sweep_larger_than_its_format_is_refused_before_the_work(here: Path, run: Run) -> None:
    Image.new("RGB", (17000, 8)).save("long.png")
    code, out, err = run("refocal sweep long.png -o a.webp --size 20000")
    assert (code, out) == (2, "")
    assert "cannot write a.webp: WEBP holds 16383 pixels a side, a frame is 17000 x 8" in err


def test_a_sweep_of_a_wide_gamut_is_srgb(here: Path, run: Run) -> None:
    red = np.full((40, 60, 3), (230, 60, 50), np.uint8)
    Image.fromarray(red).save("p3.png", icc_profile=matrix_profile(12))
    assert run("refocal sweep p3.png -o frames --focus 0 --aperture 0")[0] == 0
    frame = read_image("frames/000.png")
    np.testing.assert_array_equal(frame.pixels, to_srgb(red, matrix_profile(12)))
    assert run("refocal photo p3.png -o out.png --focus 0 --aperture 0")[0] == 0
    assert read_image("out.png").icc == matrix_profile(12)


def test_names_that_are_no_text_and_links_and_long_names(here: Path, run: Run) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    Path("garden.jpg").rename(odd)
    program = [sys.executable, "-c", "from refocal.cli import main; raise SystemExit(main())"]
    done = subprocess.run(
        [*program, "photo", odd, "-o", odd + ".png", "--focus", "0"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"caf\xe9.jpg.png: focus 0\n"
    Path(odd).rename("garden.jpg")
    Path("link.png").symlink_to("real.png")
    assert run("refocal photo garden.jpg -o link.png --focus 0 --force")[0] == 0
    assert Path("link.png").is_symlink()
    assert read_image("real.png").pixels.shape == (60, 40, 3)
    long = "n" * 251 + ".png"
    assert run(f"refocal photo garden.jpg -o {long} --focus 0")[0] == 0
    assert Path(long).is_file()
    code, _, err = run(f"refocal photo garden.jpg -o n{long} --focus 0")
    assert code == 2
    assert "File name too long" in err


@pytest.mark.filterwarnings("default")
def test_depth_that_is_no_distance_is_asked_about(here: Path, run: Run) -> None:
    affine = np.full((60, 40), 0.8, np.float32)
    affine[20:40] = 0.4
    affine[50:] = np.linspace(0, 0.05, 40)
    np.save("d.npy", affine)
    write_lens_models(Path("models/refocal.onnx"), PROPS)
    line = "refocal photo garden.jpg --focus 0 --aperture 2 --disparity d.npy"
    assert "are these distances? --inverted is for maps" in run(f"{line} --is-depth -o a.png")[2]
    assert run(f"{line} --inverted -o b.png")[2].count("distances") == 0

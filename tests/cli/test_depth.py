"""Photos and sweeps take the depth from a file; options that make no sense together are named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraits import write_heic, write_portrait
from refocal.photo.depth_files import read_disparity
from refocal.photo.disparity import enlarge, to_focus
from refocal.photo.images import read_image
from refocal.photo.refocuser import Refocuser
from tiny_model import PROPS, write_lens_models

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def place(here: Path) -> Path:
    """Return a folder with a model that goes by way of the disparity, and a map of 30 x 20 pixels, far to near."""
    write_lens_models(here / "models" / "refocal.onnx", PROPS | {"weights": "abc"})
    ramp = np.linspace(10, 210, 30)[None].repeat(20, 0)
    Image.fromarray(ramp.astype(np.uint8)).save(here / "map.png")
    np.save(here / "distance.npy", 1 / ramp.astype(np.float32))
    return here


def test_a_photo_is_refocused_with_the_map_s_depth(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --focus 0 --aperture 40"
    assert run(f"{line} -o plain.png")[0] == 0
    code, _, err = run(f"{line} -o told.png --disparity map.png --disparity-range 10,210")
    assert (code, err) == (0, "")
    pixels = read_image("garden.jpg").pixels
    wanted = Refocuser()(pixels, 0, 40, read_image("map.png").pixels, (10, 210))
    np.testing.assert_array_equal(read_image("told.png").pixels, wanted)
    assert not np.array_equal(read_image("plain.png").pixels, wanted)


def test_a_map_of_distances_is_turned_round(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --focus 0.5 --aperture 40"
    assert run(f"{line} -o told.png --disparity map.png --disparity-range 10,210")[0] == 0
    ends = f"{1 / 10},{1 / 210}"
    assert run(f"{line} -o turned.png --disparity distance.npy --is-depth --disparity-range {ends}")[0] == 0
    told, turned = (read_image(name).pixels.astype(int) for name in ("told.png", "turned.png"))
    assert np.abs(told - turned).max() <= 1  # the map's PNG is rounded


def test_a_sweep_takes_a_map_and_else_analyses_once(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, calls = Refocuser.analyse, []
    monkeypatch.setattr(Refocuser, "analyse", lambda self, photo: calls.append(1) or honest(self, photo))
    line = "refocal sweep garden.jpg --focus -1,0,1 --aperture 40"
    assert run(f"{line} -o told --disparity map.png")[0] == 0
    assert calls == []
    assert run(f"{line} -o found")[0] == 0
    assert calls == [1]
    frames = [read_image(f"{folder}/002.png").pixels for folder in ("told", "found")]
    assert not np.array_equal(*frames)
    np.testing.assert_array_equal(frames[1], Refocuser()(read_image("garden.jpg").pixels, 1, 40))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--disparity map.png --depth-model net.onnx", "--disparity and --depth-model exclude each other"),
        ("--disparity-range 0,1", "--disparity-range and --is-depth say how to read --disparity, which is missing"),
        ("--is-depth", "say how to read --disparity, which is missing"),
        ("--disparity map.png --disparity-range 1", "--disparity-range must be FAR,NEAR, as 0.1,2.5, got 1"),
        ("--disparity map.png --disparity-range 1,2,3", "must be FAR,NEAR"),
        ("--disparity map.png --disparity-range 5,1", "far < near"),
        ("--disparity absent.png", "absent.png"),
        ("--depth-model absent.onnx", "absent.onnx"),
    ],
)
def test_bad_use_is_one_line_and_nothing_is_written(place: Path, run: Run, options: str, message: str) -> None:
    for command in ("photo garden.jpg -o x.png --focus 0", "sweep garden.jpg -o x.gif --focus 0,1"):
        code, out, err = run(f"refocal {command} {options}")
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert not list(place.glob("x.*"))


def test_a_model_that_knows_no_disparity_says_so(here: Path, run: Run) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8) * 200).save("map.png")
    code, _, err = run("refocal photo garden.jpg -o x.png --focus 0 --disparity map.png")
    assert code == 2
    assert "knows no disparity" in err


def test_a_portrait_photo_s_own_depth_is_taken_unless_another_is_named(place: Path, run: Run) -> None:
    write_portrait(place / "portrait.jpg", "disparity")
    pixels = read_image("portrait.jpg").pixels
    line = "refocal photo portrait.jpg --focus 0.3 --aperture 40"
    code, out, err = run(f"{line} -o own.png")
    assert (code, out, err) == (0, "own.png: focus 0.3, by the depth inside portrait.jpg\n", "")
    np.testing.assert_array_equal(
        read_image("own.png").pixels, Refocuser()(pixels, 0.3, 40, read_disparity("portrait.jpg"))
    )
    assert run(f"{line} -o told.png --disparity map.png")[1] == "told.png: focus 0.3\n"
    assert not np.array_equal(read_image("own.png").pixels, read_image("told.png").pixels)
    assert run("refocal sweep portrait.jpg -o frames --focus 0.3 --aperture 40")[0] == 0
    np.testing.assert_array_equal(read_image("frames/000.png").pixels, read_image("own.png").pixels)


def test_a_heic_portrait_is_refocused_by_its_depth(place: Path, run: Run) -> None:
    write_heic(place / "portrait.heic", pytest.importorskip("pillow_heif"))
    code, out, err = run("refocal photo portrait.heic --focus 0.3 -o own.png --aperture 40")
    assert (code, out, err) == (0, "own.png: focus 0.3, by the depth inside portrait.heic\n", "")
    pixels = read_image("portrait.heic").pixels
    assert pixels.shape == (128, 192, 3)
    told = Refocuser().render(pixels, enlarge(to_focus(read_disparity("portrait.heic")), pixels), 0.3, 40)
    np.testing.assert_array_equal(read_image("own.png").pixels, told)


@pytest.mark.filterwarnings("default")
def test_damaged_depth_is_said_in_one_line_and_the_model_s_own_is_taken(place: Path, run: Run) -> None:
    data = write_portrait(place / "a.jpg", "disparity").read_bytes()
    (place / "cut.jpg").write_bytes(data[: data.rindex(b"\xff\xd8\xff") + 40])
    code, out, err = run("refocal photo cut.jpg --focus 0.3 -o own.png --aperture 40")
    assert (code, out) == (0, "own.png: focus 0.3\n")
    assert err.count("\n") == 1
    assert err.startswith("refocal photo: warning: cut.jpg cannot be decoded")
    assert "the model's own is taken instead" in err

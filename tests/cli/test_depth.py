"""Photos and sweeps take the depth from a file; options that make no sense together are named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from portraits import write_heic, write_portrait
from tiny_depth import write_depth_model
from tiny_model import PROPS, write_lens_models

from refocal.depth.disparity import Depth, to_focus
from refocal.depth.files import read_disparity
from refocal.depth.onnx_network import Conventions, OnnxNetwork
from refocal.depth.upsampling import enlarge
from refocal.images.image import read_image
from refocal.model.refocuser import Refocuser

Run = Callable[[str], tuple[int, str, str]]
ABSENT = ("absent.onnx", "absent.PTH", "here/absent.safetensors", "./absent", "/absent", "a/b/absent", "~/absent")


@pytest.fixture
def place(here: Path) -> Path:
    """Return a folder with a model that goes by way of the disparity, and a map of 20 x 30 pixels, far to near."""
    write_lens_models(here / "models" / "refocal.onnx", PROPS | {"weights": "abc"})
    ramp = np.linspace(10, 210, 20)[None].repeat(30, 0)
    Image.fromarray(ramp.astype(np.uint8)).save(here / "map.png")
    np.save(here / "distance.npy", 1 / ramp.astype(np.float32))
    np.save(here / "unknown.npy", np.full((30, 20), np.nan, np.float32))
    write_depth_model(here / "net.onnx")
    (here / "text.onnx").write_text("depth")
    return here


def test_a_photo_is_refocused_with_the_map_s_depth(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --focus 0 --aperture 40"
    assert run(f"{line} -o plain.png")[0] == 0
    code, _, err = run(f"{line} -o given.png --disparity map.png --disparity-range 10,210")
    assert (code, err) == (0, "")
    pixels = read_image("garden.jpg").pixels
    wanted = Refocuser()(pixels, 0, 40, read_image("map.png").pixels, (10, 210))
    np.testing.assert_array_equal(read_image("given.png").pixels, wanted)
    assert not np.array_equal(read_image("plain.png").pixels, wanted)


def test_a_map_of_distances_is_turned_round(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --focus 0.5 --aperture 40"
    assert run(f"{line} -o given.png --disparity map.png --disparity-range 10,210")[0] == 0
    ends = f"{1 / 10},{1 / 210}"
    assert run(f"{line} -o turned.png --disparity distance.npy --is-depth --disparity-range {ends}")[0] == 0
    given, turned = (read_image(name).pixels.astype(int) for name in ("given.png", "turned.png"))
    assert np.abs(given - turned).max() <= 1  # the map's PNG is rounded


def test_a_sweep_takes_a_map_and_else_analyses_once(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, calls = Refocuser.analyse, []
    monkeypatch.setattr(Refocuser, "analyse", lambda self, photo: calls.append(1) or honest(self, photo))
    line = "refocal sweep garden.jpg --focus -1,0,1 --aperture 40"
    assert run(f"{line} -o given --disparity map.png")[0] == 0
    assert calls == []
    assert run(f"{line} -o found")[0] == 0
    assert calls == [1]
    frames = [read_image(f"{folder}/002.png").pixels for folder in ("given", "found")]
    assert not np.array_equal(*frames)
    np.testing.assert_array_equal(frames[1], Refocuser()(read_image("garden.jpg").pixels, 1, 40))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--disparity map.png --depth-model net.onnx", "--disparity and --depth-model exclude each other"),
        ("--disparity-range 0,1", "--disparity-range says how to read --disparity, which is missing"),
        ("--is-depth", "--is-depth says what --disparity or --depth-model holds, and neither is named"),
        ("--depth-preset midas", "--depth-preset: for the ONNX file that --depth-model names, which is missing"),
        ("--depth-size 9 --depth-std 1,1,1", "--depth-size, --depth-std: for the ONNX file that --depth-model names"),
        ("--depth-model models --depth-mean 0,0,0", "--depth-mean: for ONNX files, and --depth-model models is none"),
        ("--depth-model net.onnx --depth-size 0", "size must be an integer from 1 to 4096, got 0"),
        ("--depth-model net.onnx --depth-mean 0,0", "--depth-mean must be R,G,B, as 0.5,0.5,0.5, got 0,0"),
        ("--depth-model net.onnx --depth-std 1,1,0", "std must be above 0"),
        ("--depth-model text.onnx", "text.onnx cannot be opened"),
        ("--disparity unknown.npy", "unknown.npy: disparity must hold known values"),
        ("--disparity map.png --disparity-range 1", "--disparity-range must be FAR,NEAR, as 0.1,2.5, got 1"),
        ("--disparity map.png --disparity-range 1,2,3", "must be FAR,NEAR"),
        ("--disparity map.png --disparity-range 5,1", "far < near"),
        ("--disparity absent.png", "absent.png"),
        *((f"--depth-model {path}", f"--depth-model {path}: no such file") for path in ABSENT),
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
    Image.fromarray(np.eye(12, 8, dtype=np.uint8) * 200).save("map.png")
    code, _, err = run("refocal photo garden.jpg -o x.png --focus 0 --disparity map.png")
    assert code == 2
    assert "finds no disparity" in err


def test_a_portrait_photo_s_own_depth_is_taken_unless_another_is_named(place: Path, run: Run) -> None:
    write_portrait(place / "portrait.jpg", "disparity")
    pixels = read_image("portrait.jpg").pixels
    line = "refocal photo portrait.jpg --focus 0.3 --aperture 40"
    code, out, err = run(f"{line} -o own.png")
    assert (code, out, err) == (0, "own.png: focus 0.3, by the depth inside portrait.jpg\n", "")
    np.testing.assert_array_equal(
        read_image("own.png").pixels, Refocuser()(pixels, 0.3, 40, read_disparity("portrait.jpg"))
    )
    np.save("wide.npy", read_image("map.png").pixels.T)
    assert run(f"{line} -o given.png --disparity wide.npy")[1] == "given.png: focus 0.3\n"
    assert not np.array_equal(read_image("own.png").pixels, read_image("given.png").pixels)
    assert run("refocal sweep portrait.jpg -o frames --focus 0.3 --aperture 40")[0] == 0
    np.testing.assert_array_equal(read_image("frames/000.png").pixels, read_image("own.png").pixels)


def test_a_heic_portrait_is_refocused_by_its_depth(place: Path, run: Run) -> None:
    write_heic(place / "portrait.heic", pytest.importorskip("pillow_heif"))
    code, out, err = run("refocal photo portrait.heic --focus 0.3 -o own.png --aperture 40")
    assert (code, out, err) == (0, "own.png: focus 0.3, by the depth inside portrait.heic\n", "")
    pixels = read_image("portrait.heic").pixels
    assert pixels.shape == (128, 192, 3)
    given = Refocuser().render(pixels, enlarge(to_focus(read_disparity("portrait.heic")), pixels), 0.3, 40)
    np.testing.assert_array_equal(read_image("own.png").pixels, given)


@pytest.mark.filterwarnings("default")
def test_damaged_depth_is_said_in_one_line_and_the_model_s_own_is_taken(place: Path, run: Run) -> None:
    data = write_portrait(place / "a.jpg", "disparity").read_bytes()
    (place / "cut.jpg").write_bytes(data[: data.rindex(b"\xff\xd8\xff") + 40])
    code, out, err = run("refocal photo cut.jpg --focus 0.3 -o own.png --aperture 40")
    assert (code, out) == (0, "own.png: focus 0.3\n")
    assert err.count("\n") == 1
    assert err.startswith("refocal photo: warning: the depth inside cut.jpg cannot be read")
    assert "the model's own is used instead" in err


@pytest.fixture
def asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Keep what an ONNX depth network is given, and what the photo is rendered with."""
    seen: list[tuple] = []
    honest = OnnxNetwork.__init__

    def init(self: OnnxNetwork, path: str, preset: str | None, **settings: object) -> None:
        honest(self, path, preset, **settings)
        seen.append((self.conventions,))

    monkeypatch.setattr(OnnxNetwork, "__init__", init)
    monkeypatch.setattr(
        Refocuser, "render", lambda self, photo, disparity, *_: seen.append((disparity,)) or np.array(photo)
    )
    return seen


def test_size_and_normalisation_of_a_depth_model_are_options(asked: list[tuple], run: Run) -> None:
    line = "--depth-model net.onnx --depth-preset midas --depth-size 64 --depth-mean 0.1,0.2,0.3 --depth-std 1,2,4"
    assert run(f"refocal photo garden.jpg -o a.png --focus 0 {line}") == (0, "a.png: focus 0\n", "")
    assert asked[0] == (Conventions(64, "long", 32, (0.1, 0.2, 0.3), (1, 2, 4)),)
    assert run(f"refocal sweep garden.jpg -o b.gif --focus 0,1 {line}")[0] == 0
    assert asked[2] == asked[0]
    assert run("refocal photo garden.jpg -o c.png --focus 0 --depth-model net.onnx")[0] == 0
    assert asked[5] == (Conventions(),)


def test_a_depth_model_of_metric_depth_is_turned_round(asked: list[tuple], run: Run) -> None:
    """The same network, said to give distances: what is bright is far."""
    for more in ("", "--is-depth"):
        line = f"refocal photo garden.jpg -o a{more}.png --focus 0 --depth-model net.onnx --depth-size 64 {more}"
        assert run(f"{line} --depth-preset midas-release")[0] == 0
    (_, (near,), _, (far,)) = asked
    assert np.corrcoef(near.ravel(), far.ravel())[0, 1] < -0.7


def test_a_name_of_the_hub_is_for_transformers(asked: list[tuple], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[tuple] = []

    def found(name: str, *, gives: str | None) -> Callable[[np.ndarray], Depth]:
        names.append((name, gives))
        return lambda photo: Depth(photo, np.zeros(photo.shape[:2], np.float32), "")

    monkeypatch.setattr("refocal.depth.transformers_network.TransformersNetwork", found)
    line = "refocal photo garden.jpg --focus 0 --depth-model owner/Depth-V2.1-hf"
    assert run(f"{line} -o a.png")[0] == 0
    assert run(f"{line} -o b.png --is-depth")[0] == 0
    assert names == [("owner/Depth-V2.1-hf", None), ("owner/Depth-V2.1-hf", "depth")]


@pytest.mark.filterwarnings("default")
def test_a_map_of_another_shape_than_the_photo_is_warned_of(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --focus 0 --aperture 40 --disparity"
    for shape, warns in (((30, 20), False), ((31, 20), False), ((32, 20), False), ((30, 30), True), ((20, 60), True)):
        np.save("shape.npy", np.random.default_rng(0).random(shape))
        code, _, err = run(f"{line} shape.npy -o a.png --force")
        assert code == 0
        size = f"shape.npy is {shape[1]} x {shape[0]}, the photo 40 x 60: it is stretched"
        assert (err.count("\n"), size in err) == (int(warns), warns)


def test_a_point_is_focused_on(place: Path, run: Run) -> None:
    """What lies there is as sharp as with its own focus; a point and a focus exclude each other."""
    disparity = np.linspace(-1, 1, 40, dtype=np.float32)[None].repeat(60, 0)
    np.save("slope.npy", disparity)
    for x, wanted in ((0.0, -1.0), (0.5, 0.0), (1.0, 1.0)):
        line = f"refocal photo garden.jpg -o at{x}.png --at {x},0.5 --disparity slope.npy --disparity-range -1,1"
        code, out, err = run(line)
        assert (code, err) == (0, "")
        assert float(out.split("focus ")[1]) == pytest.approx(wanted, abs=0.06)
    for options in ("--at 0.5,0.5 --focus 0", ""):
        assert run(f"refocal photo garden.jpg -o b.png {options}") == (
            2,
            "",
            "refocal photo: give either --focus or --at\n",
        )
    for point in ("0.5", "2,0.5", "a,b", "nan,0"):
        code, _, err = run(f"refocal photo garden.jpg -o b.png --at {point}")
        assert code == 2
        assert "--at must be X,Y, each from 0 to 1" in err


def test_an_inverted_map_is_turned_round_and_no_distance(place: Path, run: Run) -> None:
    line = "refocal photo garden.jpg --at 1,0.5 --disparity slope.npy"
    np.save("slope.npy", np.linspace(0, 1, 40)[None].repeat(60, 0))
    assert float(run(f"{line} -o a.png")[1].split("focus ")[1]) > 0.9
    assert float(run(f"{line} -o b.png --inverted")[1].split("focus ")[1]) < -0.9
    assert "exclude each other" in run(f"{line} -o c.png --inverted --is-depth")[2]
    assert "--inverted says what" in run("refocal photo garden.jpg -o c.png --focus 0 --inverted")[2]

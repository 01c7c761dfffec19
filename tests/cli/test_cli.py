"""Bad use is one line on stderr and exit code 2; the help is quick, complete and true."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_depth import write_depth_model
from tiny_model import PROPS, write_deblur_model, write_lens_models

import refocal
from refocal.cli import app, main
from refocal.images.image import write_image

Run = Callable[[str], tuple[int, str, str]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refocal bogus", "refocal bogus: No such command"),
        ("refocal --bogus", "refocal: No such option"),
        ("refocal photo", "refocal photo: Missing argument 'PHOTO'"),
        ("refocal photo garden.jpg -o x.png", "give either --focus or --at"),
        (
            "refocal photo garden.jpg -o x.png --focus near",
            "'--focus': focus must be a number between -1",
        ),
        ("refocal photo garden.jpg -o x.png --focus near", "1 (nearest), got near"),
        ("refocal photo garden.jpg -o x.png --focus -1.5", "focus must be between -1 (farthest) and 1 (nearest)"),
        ("refocal photo garden.jpg -o x.png --focus nan", "focus must be between"),
        ("refocal photo garden.jpg -o x.png --focus 0 --aperture -3", "aperture must be"),
        ("refocal photo garden.jpg -o x.png --focus 0 --aperture 1e9", "below 1e+06 and 0 or more, got 1000000000.0"),
        ("refocal lightfield a -o x.png --focus near", "focus must be a number between -1"),
        ("refocal photo garden.jpg -o x.bmp --focus 0", "the suffix must be one of"),
        ("refocal photo garden.jpg -o models --focus 0", "models is a folder; name a file"),
        ("refocal photo garden.jpg -o absent/x.png --focus 0", "there is no folder"),
        ("refocal photo garden.jpg -o x.jpg --focus 0 --quality 0", "quality must be 1 to 100"),
        ("refocal photo garden.jpg -o x.jpg --focus 0 --tile 3", "tile must be an integer, at least 64"),
        ("refocal photo absent.jpg -o x.png --focus 0", "cannot read absent.jpg: No such file"),
        ("refocal photo models/refocal.onnx -o x.png --focus 0", "is no picture that refocal reads"),
        ("refocal photo garden.jpg -o x.png --focus 0 --model absent.onnx", "absent.onnx: no such file"),
        ("refocal photo garden.jpg -o x.png --focus 0 --model garden.jpg", "model garden.jpg cannot be opened"),
        ("refocal photo clear.png -o x.jpg --focus 0", "JPEG holds no transparency"),
        ("refocal sweep garden.jpg -o x.avi", "an animation is .gif, .webp, .mp4, or a folder"),
        ("refocal sweep garden.jpg -o x.gif --focus -1:1", "--focus must be FIRST:LAST:COUNT"),
        ("refocal sweep garden.jpg -o x.gif --fps 0", "fps must be above 0"),
        ("refocal sweep garden.jpg -o garden.jpg/x", "cannot write"),
        ("refocal stack a -o b --slopes -1:1:3 --focus 0", "give --slopes or --focus, not both"),
        ("refocal stack a -o b --slopes 1:2:0", "--slopes must be"),
        ("refocal stack a -o b --animation ../x.gif", "--animation must be a file name"),
        ("refocal stack a -o b --grid 0", "--grid must be N or UxV, as 7 or 5x9, got 0"),
        ("refocal info", "Missing argument 'LIGHTFIELD'"),
        ("refocal info absent", "absent"),
        ("refocal sample -o x --size big", "--size must be N or UxV"),
        ("refocal sample -o x --grid 4", "grid"),
        ("refocal evaluate --data absent", "--data absent: there is no such folder"),
        ("refocal evaluate --data empty", "--data empty: the folder is empty; a subfolder a capture belongs there"),
        ("refocal evaluate --data models -o garden.jpg", "garden.jpg is there already; --force overwrites it"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(here: Path, run: Run, line: str, message: str) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    write_image("clear.png", clear)
    (here / "empty").mkdir()
    before = sorted(here.iterdir())
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("refocal")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(here.iterdir()) == before


def test_a_missing_extra_gives_the_line_to_run(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refocal, "shiftadd", None, raising=False)  # and the one imported before is put back
    for name in [name for name in sys.modules if name.startswith("refocal.shiftadd")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    code, _, err = run("refocal stack garden.jpg -o slices --slopes 0,1 --grid 1")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("refocal stack needs the pipeline extra: pip install 'refocal[pipeline]'")


def test_warnings_are_one_line_too(here: Path, run: Run) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from refocal.cli import main; main()",
            *shlex.split("photo garden.jpg -o x.png --focus 0 --aperture 50"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ("refocal photo: warning: aperture 50 px lies outside the 0 to 40 px of the training data\n")


def test_help_and_version_cost_no_heavy_import() -> None:
    """Asserted by what is imported, not by time."""
    code = "import sys, refocal.cli; refocal.cli.main(['photo', '--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("numpy", "PIL", "onnxruntime", "numba", "torch", "av", "imagecodecs", "tifffile", "rich"):
        assert f"'{name}'" not in done.stderr, name


def test_help_shows_examples_line_by_line_and_options_by_panel(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are to be typed; an option for a photo's depth stands under its own title, after the usual ones."""
    assert main(["photo", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\n    refocal photo garden.jpg -o near.jpg --focus 1\n" in shown
    usual = ["Arguments:", "PHOTO <path>", "Options:", "--output", "--help"]
    order = [*usual, "Depth from elsewhere", "--disparity <path>"]
    assert sorted(order, key=shown.index) == order


@pytest.mark.parametrize("line", ["--data absent", "--data . -o garden.jpg"])
def test_what_is_wrong_with_an_evaluation_is_said_before_the_heavy_imports(here: Path, line: str) -> None:
    code = f"import sys, refocal.cli; refocal.cli.main(['evaluate', *{line.split()}]); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1
    for name in ("numpy", "onnxruntime", "numba", "skimage", "torch"):
        assert f"'{name}'" not in done.stdout, name


def test_no_command_shows_the_help(run: Run) -> None:
    code, out, _ = run("refocal")
    assert code == 0
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__name__ in out
    assert re.fullmatch(r"refocal \d+\.\d+\.\d+\n", run("refocal --version")[1])


def examples() -> list[str]:
    """Return the example lines in the help of every command."""
    docs = [command.callback.__doc__ or "" for command in app.registered_commands if command.callback]
    return [line.strip() for doc in docs for line in doc.splitlines() if line.strip().startswith("refocal ")]


@pytest.mark.parametrize("line", examples())
def test_the_examples_of_the_help_are_well_formed(here: Path, sample_folder: Path, run: Run, line: str) -> None:
    """Each is run, on files of the names that it uses; those that render the whole sample are only parsed."""
    names = sorted(path.name for path in sample_folder.iterdir() if path.is_dir())
    Path("data").symlink_to(sample_folder)
    room = sample_folder / names[0]
    line = line.replace("data/room", str(room)).replace("data/*", " ".join(str(sample_folder / n) for n in names))
    line = line.replace("-1:1:61 --fps 30", "-1:1:5 --fps 30").replace("-1:1:21", "-1:1:5")
    write_image("scan.tif", np.full((40, 40, 3), 9, np.uint16))
    Path("my.onnx").symlink_to("models/refocal.onnx")
    write_depth_model(here / "metric.onnx", multiple=14)
    rng = np.random.default_rng(0)
    mosaic = rng.integers(0, 256, (5 * 40, 5 * 44, 3), np.uint8)
    write_image("mosaic.png", mosaic)
    if line.startswith("refocal lightfield mosaic"):  # noise has no disparity
        line = line.replace("mosaic.png --grid 5", f"{room / 'views.png'} --grid 3")
    Path("views").mkdir()
    for r in range(3):
        for c in range(3):
            write_image(f"views/img_{c}_{r}.png", mosaic[:60, :80])
    if line.startswith("refocal label"):
        write_depth_model(here / "depth_anything_v2.onnx", multiple=14)
        Path("photos").mkdir()
        write_image("photos/garden.jpg", mosaic[:60, :40])
        line = line.replace("depth-anything/Depth-Anything-V2-Small-hf", "depth_anything_v2.onnx")  # no hub here
        line = line.replace("data/mine", "mine")  # the sample is shared
    if re.search(r"--disparity|--depth-model|--at|refocal (lightfield|views)", line):
        write_lens_models(here / "models" / "refocal.onnx", PROPS)
        write_image("garden_disparity.png", mosaic[:60, :40, 0])
    if line.startswith("refocal batch"):  # stores and clusters have tests of their own
        line = line.replace("s3://photos/2026 -o s3://photos", "holiday -o near").replace(
            "/mnt/photos -o /mnt/", "holiday -o "
        )
        line = line.replace(" --engine ray --gpus 0.25", "").replace("--share 3/100", "--share 1/2")
        for name in ("holiday/a.jpg", "scans/b.tif"):
            Path(name).parent.mkdir()
            write_image(name, mosaic[:60, :40])
        Path("list.txt").write_text("holiday/a.jpg\nscans/b.tif\n", encoding="utf-8")
    if "--deblur" in line:
        write_deblur_model(here / "models" / "refocal.onnx")
        write_image("focused_near.jpg", mosaic[:60, :40])
    if line.startswith("refocal evaluate"):
        Path("captures").symlink_to(sample_folder)
    if line.startswith("refocal sample"):
        line = "refocal sample -o other --scenes 1 --grid 3 --size 64" if "small" in line else f"{line} --help"
    code, out, err = run(line)
    assert code == 0, err
    assert out
    if "--sheets" in line:
        drawn = sorted(path.stem for path in Path("sheets").iterdir())
        assert drawn == ["test_best", "test_median", "test_worst"]
        given = json.loads(Path("scores.json").read_text())
        assert sorted(given["scenes"]) == names
        mean = np.mean([scene["refocal"]["psnr"] for scene in given["scenes"].values()])
        assert given["test"]["refocal"]["psnr"]["mean"] == pytest.approx(mean, abs=1e-2)

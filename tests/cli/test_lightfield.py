"""A light field on the command line: views in, one photo with any aperture out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layered_scene import layered
from tiny_model import PROPS, write_lens_models, write_model

from refocal.images.image import read_image

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a light field of three layers, far on the left, and a model whose render can be known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFOCAL_MODEL", raising=False)
    np.save("room.npy", layered(0)[0])
    (tmp_path / "models").mkdir()
    write_lens_models(tmp_path / "models" / "refocal.onnx", PROPS)
    return tmp_path


def test_a_light_field_is_rendered_by_its_disparity_with_a_larger_aperture(place: Path, run: Run) -> None:
    """The model adds (focus - disparity) aperture / 1000: what the options say arrives there."""
    line = "refocal lightfield room.npy --near positive -o {} --focus 1 {} --disparity-out {}"
    code, out, err = run(line.format("a.png", "", "d.png"))
    assert (code, err) == (0, "")
    own = float(out.split("aperture ")[1].split(" px")[0])
    assert own == pytest.approx(10, abs=1)
    assert "by plane sweep of 25 views" in out
    disparity = read_image("d.png").pixels / 65535 * 2 - 1
    assert disparity.shape == (72, 96)
    assert disparity[10:-10, 4:24].mean() < -0.9
    assert disparity[10:-10, -24:-4].mean() > 0.9
    assert run(line.format("b.png", "--aperture-times 4", "e.png"))[0] == 0
    assert run(line.format("c.png", "--aperture 0", "f.png"))[0] == 0
    a, b, c = (read_image(f"{name}.png").pixels.astype(float) for name in "abc")
    np.testing.assert_array_equal(c, layered(0)[0][2, 2])
    change = np.median((b - c)[10:-10, 4:24]) / 255  # the median: what is nearly white cannot grow so much
    assert change == pytest.approx(2 * 4 * own / 1000, abs=0.004)
    assert np.median((a - c)[10:-10, 4:24]) / 255 == pytest.approx(change / 4, abs=0.004)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refocal lightfield room.npy -o x.png", "Missing option '--focus'"),
        ("refocal lightfield room.npy -o x.png --focus 2", "focus must be between -1 (farthest) and 1 (nearest)"),
        ("refocal lightfield room.npy -o x.png --focus 0 --aperture -1", "--aperture must be a number from 0 on"),
        ("refocal lightfield room.npy -o x.png --focus 0 --aperture-times nan", "--aperture-times must be a number"),
        ("refocal lightfield room.npy -o x.png --focus 0 --aperture 2 --aperture-times 2", "not both"),
        ("refocal lightfield room.npy -o x.bmp --focus 0", "the suffix must be one of"),
        ("refocal lightfield room.npy -o room.npy --focus 0", "is there already"),
        ("refocal lightfield room.npy -o x.png --focus 0 --disparity-out x.png", "--disparity-out must be another"),
        ("refocal lightfield absent -o x.png --focus 0", "no light field at absent"),
        ("refocal lightfield room.npy -o x.png --focus 0 --model unet.onnx", "cannot be given a disparity"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(place: Path, run: Run, line: str, message: str) -> None:
    write_model(place / "unet.onnx", PROPS)
    code, out, err = run(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("refocal lightfield: ")
    assert message in err
    assert not Path("x.png").exists()

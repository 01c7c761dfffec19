"""What is said and made of light fields is what the optics give."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refocal.depth.from_views.plane_sweep import find_range
from refocal.images.image import read_image
from refocal.lightfields.lightfield import LightField
from refocal.shiftadd.shift_and_add import shift_and_add

Run = Callable[[str], tuple[int, str, str]]


def test_info_tells_the_truth_of_a_rendered_light_field(sample_folder: Path, run: Run) -> None:
    scene = min(path for path in sample_folder.iterdir() if path.is_dir())
    code, out, _ = run(f"refocal info {scene}")
    assert code == 0
    assert "3 rows x 3 columns, 9 of 9 valid" in out
    assert "72 x 64 px, uint8" in out
    truth = np.load(scene / "disparity.npy")
    found = re.search(r"disparity +(\S+) \(far\) to (\S+) \(near\)", out)
    assert found is not None
    far, near = float(found[1]), float(found[2])
    assert truth.min() - 0.3 < far < near < truth.max() + 0.3


def test_a_stack_is_slices_and_an_animation(here: Path, sample_folder: Path, run: Run) -> None:
    scene = min(path for path in sample_folder.iterdir() if path.is_dir())
    code, out, _ = run(f"refocal stack {scene} -o slices --slopes -1:1:3 --animation a.gif")
    assert code == 0
    assert "3 slices, slopes -1.000 to 1.000 px/view, and a.gif" in out
    names = ["000_slope_-1.000.png", "001_slope_+0.000.png", "002_slope_+1.000.png", "a.gif"]
    assert sorted(path.name for path in Path("slices").iterdir()) == names

    views = LightField.open(scene)
    expected = shift_and_add(views.views, 1.0, mask=views.mask)
    got = read_image("slices/002_slope_+1.000.png").pixels
    assert np.abs(got / 255 - expected).max() <= 0.5 / 255 + 1e-6
    near = find_range(views.views, mask=views.mask).near
    assert f"1 slices, slopes {near:.3f} to {near:.3f}" in run(f"refocal stack {scene} -o one --focus 1")[1]
    assert (Path("one") / "000_focus_+1.000.png").is_file()


@pytest.mark.filterwarnings("default")
def test_views_the_wrong_way_round_are_warned_of(here: Path, sample_folder: Path, run: Run) -> None:
    scene = min(path for path in sample_folder.iterdir() if path.is_dir())
    assert "order = column" in run(f"refocal info {scene} --order column")[1]
    code, _, err = run(f"refocal stack {scene} -o swapped --focus 0 --order column")
    assert code == 0, err
    assert "warning: rows and columns of the views look swapped" in err
    assert err.count("\n") == 1

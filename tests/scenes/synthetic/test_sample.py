"""The sample: real files in the readers' default convention, near is near, the same bytes each time."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from refocal.lightfields.lightfield import LightField, list_light_fields, read_options
from refocal.scenes.synthetic.sample import write_sample
from refocal.shiftadd.shift_and_add import shift_and_add


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    write_sample(root, scenes=3, grid=5, size=(96, 104))
    return root


def test_the_same_arguments_give_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", scenes=1, grid=5, size=(96, 104))
    assert digests(tmp_path / "again").items() <= digests(sample).items()
    write_sample(tmp_path / "other", scenes=1, grid=5, size=(96, 104), seed=1)
    assert digests(tmp_path / "other")["000_astronaut/views.png"] != digests(sample)["000_astronaut/views.png"]


def test_opened_with_defaults_the_near_is_sharp_at_the_near_slope_and_the_far_at_the_far_one(sample: Path) -> None:
    for path in list_light_fields(sample):
        field, options = LightField.open(path), read_options(path)
        disparity = np.load(path / options["disparity"]).astype(np.float32)
        assert (field.grid, field.size) == ((5, 5), disparity.shape)
        far, near = options["slope_range"]
        assert (far, near) == (pytest.approx(disparity.min(), abs=1e-3), pytest.approx(disparity.max(), abs=1e-3))
        photo = field.centre.astype(np.float32) / 255
        error = {slope: np.abs(shift_and_add(field.views, slope) - photo).mean(axis=-1) for slope in (far, near)}
        front, back = disparity > near - 0.1, disparity < far + 0.1
        assert error[near][front].mean() < 0.5 * error[far][front].mean()
        assert error[far][back].mean() < 0.7 * error[near][back].mean()


def test_groups_take_turns_and_no_rest_is_left(sample: Path) -> None:
    assert [path.name for path in sorted(sample.iterdir())] == ["000_astronaut", "001_cat", "002_coffee"]
    assert [read_options(path)["group"] for path in sorted(sample.iterdir())] == ["astronaut", "cat", "coffee"]


def test_a_folder_that_holds_something_is_left_alone(sample: Path) -> None:
    before = digests(sample)
    with pytest.raises(ValueError, match="holds something"):
        write_sample(sample)
    assert digests(sample) == before


@pytest.mark.parametrize("options", [{"scenes": 0}, {"grid": 4}, {"grid": 1}, {"size": (20, 100)}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="scenes must be >= 1, grid odd and >= 3, size >= 48"):
        write_sample(tmp_path, **options)  # type: ignore[arg-type]

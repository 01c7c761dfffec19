"""The front door gives back what it got, refocused, whatever the size; and says in one line what it cannot do."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_model import PROPS, write_model

from refocal.images.image import as_photo
from refocal.model.refocuser import Refocuser


def expected(photo: NDArray[np.float32], focus: float, aperture: float) -> NDArray[np.float32]:
    """Compute what the model of `write_model` does, on the photo with mirrored borders."""
    padded = np.pad(photo, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = photo.shape[:2]
    mean = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    return np.clip(photo + focus * (mean - photo) + aperture / 1000, 0, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", PROPS)


@pytest.fixture(scope="module")
def refocuser(model: Path) -> Refocuser:
    return Refocuser(model, threads=1)


def random_photo(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height * 1000 + width).random((height, width, 3), np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (16, 16), (17, 50), (64, 33)])
def test_any_size_is_padded_by_mirroring_and_cropped_again(refocuser: Refocuser, size: tuple[int, int]) -> None:
    photo = random_photo(*size)
    out = refocuser(photo, 0.5, 10)
    assert out.shape == photo.shape
    inner = (slice(1, -1), slice(1, -1))  # at the photo's border the model itself sees zeros
    np.testing.assert_allclose(out[inner], expected(photo, 0.5, 10)[inner], atol=1e-5)


def test_the_far_border_sees_the_mirrored_photo(refocuser: Refocuser) -> None:
    photo = random_photo(20, 24)  # padded to 32 x 32: the last row's and column's neighbours are mirrored ones
    np.testing.assert_allclose(refocuser(photo, 1, 0)[1:, 1:], expected(photo, 1, 0)[1:, 1:], atol=1e-5)


@pytest.mark.parametrize("size", [(130, 200), (300, 60), (333, 257)])
def test_tiles_give_what_the_whole_photo_gives(model: Path, refocuser: Refocuser, size: tuple[int, int]) -> None:
    """The model looks one pixel far, less than a quarter of the overlap: not a trace of the tiles may remain."""
    photo = random_photo(*size)
    tiled = Refocuser(model, tile=64, overlap=32, threads=1)(photo, 0.7, 5)
    np.testing.assert_allclose(tiled, refocuser(photo, 0.7, 5), atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_what_comes_out_is_of_the_kind_that_went_in(refocuser: Refocuser, dtype: type, channels: int) -> None:
    values = np.random.default_rng(0).random((40, 30, channels) if channels else (40, 30))
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    photo = (values * top).astype(dtype)
    out = refocuser(photo, 0.5, 0)
    assert (out.dtype, out.shape) == (photo.dtype, photo.shape)
    if channels == 4:
        np.testing.assert_array_equal(out[..., 3], photo[..., 3])
    float_photo = as_photo(photo.astype(np.float32) if dtype is np.float64 else photo)
    colour = expected(float_photo, 0.5, 0)[1:, 1:]
    got = out[1:, 1:, None].repeat(3, 2) if channels == 0 else out[1:, 1:, :3]
    assert np.abs(got / top - colour).max() <= (0.5 / top if top > 1 else 0) + 1e-5


def test_no_aperture_means_the_training_datas_share_of_the_long_side(refocuser: Refocuser) -> None:
    photo = random_photo(40, 60) / 2
    assert refocuser.aperture_for(40, 60) == pytest.approx(3)
    np.testing.assert_array_equal(refocuser(photo, 0.2), refocuser(photo, 0.2, 3))
    assert not np.array_equal(refocuser(photo, 0.2), refocuser(photo, 0.2, 4))


def test_an_aperture_beyond_the_training_data_is_said_once(model: Path) -> None:
    refocuser, photo = Refocuser(model, threads=1), random_photo(16, 16)
    with pytest.warns(UserWarning, match="aperture 41 px lies outside the 0 to 40 px of the training data") as caught:
        refocuser(photo, 0, 41)
    assert [warning.filename for warning in caught] == [__file__]  # not the inside of refocal
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refocuser(photo, 0, 42)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"photo must be \(H, W\), \(H, W, 3\) or \(H, W, 4\)"),
        (np.zeros((4, 4, 3), np.int32), "photo must be uint8, uint16 or float32"),
        (np.full((4, 4, 3), np.nan), "photo of float32 must lie in"),
        (np.full((4, 4, 3), 255.0), "got 255 to 255"),
        ("photo.jpg", "photo must be a NumPy array, got str"),
    ],
)
def test_a_photo_that_is_none_is_refused(refocuser: Refocuser, photo: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refocuser(photo, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"focus": 1.01}, r"focus must be between -1 \(farthest\) and 1 \(nearest\), got 1.01"),
        ({"focus": -1.5}, r"focus must be between .* got -1.5"),
        ({"focus": float("nan")}, "focus must be between .* got nan"),
        ({"focus": "near"}, "focus must be between .* got 'near'"),
        ({"focus": 0, "aperture": -1}, "aperture must be .* 0 or more, got -1"),
        ({"focus": 0, "aperture": float("nan")}, "aperture must be .* got nan"),
        ({"focus": 0, "aperture": float("inf")}, "aperture must be .* got inf"),
        ({"focus": 0, "disparity": np.zeros((4, 4))}, "disparity: the model .* takes none, only photo focus aperture"),
        ({"focus": 0, "disparity_range": (0, 1)}, "disparity_range needs a disparity"),
    ],
)
def test_settings_out_of_range_are_refused(refocuser: Refocuser, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refocuser(np.zeros((16, 16, 3), np.uint8), **arguments)


@pytest.mark.parametrize("settings", [{"tile": 63}, {"overlap": -1}, {"threads": 1.5}, {"tile": True}])
def test_settings_of_the_door_are_checked(model: Path, settings: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be an integer, at least"):
        Refocuser(model, **settings)


def test_a_model_that_fails_or_gives_no_numbers_is_said_so(tmp_path: Path) -> None:
    wrong = write_model(tmp_path / "wrong.onnx", PROPS | {"size_multiple": "1"})
    with pytest.raises(ValueError, match="the model failed on 5 x 7 pixels") as caught:
        Refocuser(wrong)(np.zeros((7, 5, 3), np.uint8), 0)
    assert "\n" not in str(caught.value)
    wild = write_model(tmp_path / "wild.onnx", PROPS, gain=float("inf"))
    with pytest.raises(ValueError, match="not finite"):
        Refocuser(wild)(np.zeros((7, 5, 3), np.uint8), 0)


def test_memory_grows_with_the_tile_and_not_with_the_photo(model: Path) -> None:
    """A 24-megapixel photo takes its result (72 MB) and bands beside itself: no float copy (288 MB) of the whole."""
    code = f"""
import resource, numpy as np
from refocal.model.refocuser import Refocuser
refocuser = Refocuser({str(model)!r}, tile=256, overlap=32, threads=1)
refocuser(np.zeros((600, 600, 3), np.uint8), 0.5, 5)
photo = np.full((6000, 4000, 3), 128, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert refocuser(photo, 0.5, 0).mean() > 127
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 220_000  # kB

"""Models that go by way of the disparity: they give it, and take it from elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny_model import PROPS, write_lens_models, write_model

from refocal.model.refocuser import Refocuser

WEIGHTS = PROPS | {"weights": "abc"}


def expected(photo: NDArray[Any], disparity: NDArray[Any], focus: float, aperture: float) -> NDArray[Any]:
    return np.clip(photo + ((focus - disparity) * aperture / 1000)[..., None], 0, 1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_lens_models(tmp_path / "lens.onnx", WEIGHTS)


@pytest.fixture
def refocuser(model: Path) -> Refocuser:
    return Refocuser(model, threads=1)


@pytest.fixture
def photo() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((37, 50, 3), np.float32)


def test_it_says_how_near_each_pixel_is(refocuser: Refocuser, photo: NDArray[np.float32]) -> None:
    assert refocuser.finds_depth
    disparity = refocuser.analyse(photo)
    assert (disparity.dtype, disparity.shape) == (np.float32, (37, 50))
    np.testing.assert_allclose(disparity, 2 * photo[..., 0] - 1, atol=1e-6)


@pytest.mark.parametrize("tile", [64, 1024])
def test_to_render_what_was_analysed_is_to_refocus(model: Path, tile: int) -> None:
    """In tiles too: the disparity is cut as the photo is."""
    photo = np.random.default_rng(1).random((90, 150, 3), np.float32)
    refocuser = Refocuser(model, tile=tile, overlap=16, threads=1)
    made = refocuser.render(photo, refocuser.analyse(photo), 0.5, 30)
    np.testing.assert_array_equal(made, refocuser(photo, 0.5, 30))
    np.testing.assert_allclose(made, expected(photo, 2 * photo[..., 0] - 1, 0.5, 30), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_photos_of_all_kinds_come_back_as_they_are(refocuser: Refocuser, dtype: type, channels: int) -> None:
    values = np.random.default_rng(0).random((20, 30, channels) if channels else (20, 30))
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    photo = (values * top).astype(dtype)
    out = refocuser(photo, 1, 20)
    assert (out.dtype, out.shape) == (photo.dtype, photo.shape)
    colour = (photo / top)[..., None].repeat(3, 2) if channels == 0 else photo[..., :3] / top
    wanted = expected(colour, 2 * colour[..., 0] - 1, 1, 20)
    got = out[..., None].repeat(3, 2) if channels == 0 else out[..., :3]
    assert np.abs(got / top - wanted).max() <= (0.5 / top if top > 1 else 0) + 1e-5
    if channels == 4:
        np.testing.assert_array_equal(out[..., 3], photo[..., 3])


@pytest.mark.parametrize(
    ("disparity", "found"),
    [
        ([[0.0]], "<class 'list'>"),
        (None, "<class 'NoneType'>"),
        (np.zeros((37, 50), complex), "complex128"),
        (np.zeros((37, 50), bool), "bool"),
        (np.zeros((37, 50, 1)), r"\(37, 50, 1\)"),
        (np.full((37, 50), np.nan), r"float64 \(37, 50\)"),
    ],
)
def test_what_is_no_disparity_is_refused(
    refocuser: Refocuser, photo: NDArray[np.float32], disparity: Any, found: str
) -> None:
    with pytest.raises(ValueError, match=rf"disparity must be an array of finite numbers, .*\(37, 50\), got .*{found}"):
        refocuser.render(photo, disparity, 0.0)


def test_integers_are_a_disparity_too(refocuser: Refocuser, photo: NDArray[np.float32]) -> None:
    whole = np.ones((37, 50), np.int8)
    np.testing.assert_array_equal(
        refocuser.render(photo, whole, 0.0, 20), refocuser.render(photo, whole.astype(np.float32), 0.0, 20)
    )


def test_a_photo_is_looked_at_whole_at_the_size_of_training(tmp_path: Path) -> None:
    """And what is found is brought to the photo's size."""
    model = write_lens_models(tmp_path / "lens.onnx", WEIGHTS | {"analysis_side": "20"})
    ramp = np.linspace(0, 1, 60, dtype=np.float32)[None, :, None].repeat(40, 0).repeat(3, 2)
    found = Refocuser(model, threads=1).analyse(ramp)
    assert found.shape == (40, 60)
    np.testing.assert_allclose(found[:, 4:-4], 2 * ramp[:, 4:-4, 0] - 1, atol=0.05)


def test_a_disparity_from_elsewhere_is_rendered_with(refocuser: Refocuser, photo: NDArray[np.float32]) -> None:
    """Of any scale, given by its range or by its percentiles, larger = nearer."""
    given = np.random.default_rng(2).uniform(-1, 1, photo.shape[:2])
    for scaled, ends in ((given, (-1, 1)), (500 + 100 * given, (400, 600))):
        out = refocuser(photo, 0.5, 30, scaled, ends)
        np.testing.assert_allclose(out, expected(photo, given, 0.5, 30), atol=1e-5)
    low, high = np.percentile(given, (1, 99))
    spread = np.clip((given - low) / (high - low) * 2 - 1, -1, 1)
    np.testing.assert_allclose(refocuser(photo, 0, 30, given), expected(photo, spread, 0, 30), atol=1e-5)


def test_a_disparity_of_another_size_is_stretched_to_the_photo(refocuser: Refocuser) -> None:
    """Smaller or larger, whole numbers too."""
    photo = np.full((40, 60, 3), 0.5, np.float32)
    ramp = np.linspace(-1, 1, 60)[None].repeat(40, 0)
    for size in ((12, 10), (160, 120)):
        small = Image.fromarray(np.uint8((ramp + 1) * 100)).resize(size, Image.Resampling.BILINEAR)
        out = refocuser(photo, 0, 90, np.asarray(small), (0, 200))
        np.testing.assert_allclose(out[:, 5:-5], expected(photo, ramp, 0, 90)[:, 5:-5], atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"disparity_range": (0, 1)}, "disparity_range needs a disparity"),
        ({"disparity": np.zeros((4, 4)), "disparity_range": (1, 0)}, r"must be \(far, near\), far < near"),
        ({"disparity": np.full((4, 4), np.nan)}, "disparity must hold known values"),
        ({"disparity": np.zeros(4)}, "disparity must be"),
        ({"focus": 2}, "focus must be between"),
        ({"aperture": -1}, "aperture must be"),
    ],
)
def test_what_it_cannot_take_is_refused(refocuser: Refocuser, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        refocuser(np.zeros((16, 16, 3), np.uint8), **({"focus": 0} | arguments))
    assert "\n" not in str(caught.value)


def test_render_wants_a_finite_disparity_of_the_photo_s_size(refocuser: Refocuser) -> None:
    photo, unknown = np.zeros((16, 20, 3), np.uint8), np.zeros((16, 20), np.float32)
    unknown[3, 3] = np.nan
    for disparity in (np.zeros((20, 16), np.float32), unknown):
        with pytest.raises(
            ValueError, match=r"disparity must be an array of finite numbers, of the photo's \(16, 20\), got"
        ):
            refocuser.render(photo, disparity, 0)


def test_a_photo_that_is_none_is_refused_by_every_door(refocuser: Refocuser) -> None:
    for door in (lambda photo: refocuser(photo, 0), refocuser.analyse):
        with pytest.raises(ValueError, match=r"photo must be \(H, W\)"):
            door(np.zeros((4, 4, 2), np.uint8))


def test_a_model_without_halves_knows_no_disparity(tmp_path: Path) -> None:
    refocuser = Refocuser(write_model(tmp_path / "tiny.onnx", PROPS), threads=1)
    photo = np.zeros((16, 16, 3), np.uint8)
    assert not refocuser.finds_depth
    with pytest.raises(ValueError, match=r"tiny.onnx finds no disparity: it has no tiny.analyse.onnx"):
        refocuser.analyse(photo)
    with pytest.raises(ValueError, match=r"tiny.onnx finds no disparity: it has no tiny.render.onnx"):
        refocuser.render(photo, np.zeros((16, 16), np.float32), 0)
    with pytest.raises(ValueError, match="takes none, only photo focus aperture"):
        refocuser(photo, 0, disparity=np.zeros((16, 16)))


def test_empty_files_are_no_halves(tmp_path: Path) -> None:
    """The stage export leaves them for a model that has none."""
    model = write_model(tmp_path / "tiny.onnx", PROPS)
    for half in ("analyse", "render"):
        (tmp_path / f"tiny.{half}.onnx").touch()
    assert not Refocuser(model, threads=1).finds_depth


def test_one_half_alone_is_as_good_as_none(model: Path, photo: NDArray[np.float32]) -> None:
    whole = Refocuser(model, threads=1)(photo, 0.5, 30)
    model.with_name("lens.render.onnx").unlink()
    refocuser = Refocuser(model, threads=1)
    assert not refocuser.finds_depth
    np.testing.assert_allclose(refocuser(photo, 0.5, 30), whole, atol=1e-6)


def test_halves_of_other_weights_or_inputs_are_refused(model: Path) -> None:
    half = model.with_name("lens.analyse.onnx")
    content = onnx.load(half)
    onnx.helper.set_model_props(content, WEIGHTS | {"weights": "def"})
    onnx.save(content, half)
    with pytest.raises(ValueError, match=r"lens.analyse.onnx has other weights than .*lens.onnx: export them together"):
        Refocuser(model)
    half.write_bytes(model.with_name("lens.render.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"lens.analyse.onnx must take photo, it takes photo, disparity"):
        Refocuser(model)

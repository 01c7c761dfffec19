"""Photos are made sharp where that is wanted or needed, at any size and kind, and what is not touched stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tiny_model import PROPS, write_deblur_model, write_lens_models, write_model

from refocal.images.image import read_image
from refocal.model.deblurring import SIDE, Deblurring, added
from refocal.model.refocuser import Refocuser

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "models" / "pretrained" / "refocal.onnx"


def psnr(made: NDArray[Any], photo: NDArray[Any]) -> float:
    return float(-10 * np.log10(max(np.mean((made.astype(float) - photo) ** 2) / 255**2, 1e-10)))


def blocks(blur: float = 0) -> NDArray[np.uint8]:
    """Return a photo of sharp edges, or of soft ones."""
    picture = np.kron(np.random.default_rng(0).random((16, 20, 3)), np.ones((16, 16, 1)))
    return np.rint(gaussian_filter(picture, (blur, blur, 0)) * 255).astype(np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_lens_models(tmp_path / "m.onnx", PROPS)


@pytest.fixture
def refocuser(model: Path) -> Refocuser:
    write_deblur_model(model)
    return Refocuser(model, threads=1)


def deblurring_of(refocuser: Refocuser) -> Deblurring:
    assert refocuser.deblurring is not None
    return refocuser.deblurring


def test_auto_deblurs_soft_photos_alone_and_the_words_do_as_they_say(refocuser: Refocuser) -> None:
    for photo, changed in ((blocks(), False), (blocks(3), True)):
        half = np.rint(photo * 0.5)
        for when, done in (("auto", changed), ("always", True), ("never", False)):
            made = refocuser.deblurred(photo, when)  # type: ignore[arg-type]
            np.testing.assert_allclose(made, half if done else photo, atol=1, err_msg=when)
    with pytest.raises(ValueError, match="deblur must be one of auto, always, never, got 'sometimes'"):
        refocuser.deblurred(blocks(), "sometimes")  # type: ignore[arg-type]


def test_a_call_deblurs_before_it_analyses_and_renders(refocuser: Refocuser) -> None:
    photo = blocks(3)
    sharp = refocuser.deblurred(photo)
    wanted = refocuser.render(sharp, refocuser.analyse(sharp), 0.5, 30)
    np.testing.assert_array_equal(refocuser(photo, 0.5, 30), wanted)
    untouched = refocuser.render(photo, refocuser.analyse(photo), 0.5, 30)
    np.testing.assert_array_equal(refocuser(photo, 0.5, 30, deblur="never"), untouched)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_every_kind_of_picture_keeps_its_kind(refocuser: Refocuser, kind: Any, channels: int) -> None:
    shape = (40, 50, channels) if channels else (40, 50)
    values = np.random.default_rng(1).random(shape)
    photo = values.astype(kind) if np.dtype(kind).kind == "f" else (values * np.iinfo(kind).max).astype(kind)
    made = refocuser.deblurred(photo, "always")
    assert (made.dtype, made.shape) == (photo.dtype, photo.shape)
    colours = slice(None) if channels < 4 else slice(3)
    np.testing.assert_allclose(made[..., colours], photo[..., colours] * 0.5, atol=1e-6 * photo.max() + 1)
    if channels == 4:
        np.testing.assert_array_equal(made[..., 3], photo[..., 3])


def test_a_large_photo_is_changed_at_a_small_size_and_keeps_its_details(refocuser: Refocuser) -> None:
    height, width = 2 * SIDE, 2 * SIDE + 200
    photo = np.full((height, width), 0.5, np.float32)
    photo[1::2, 1::2] = 0.6  # what the small photo cannot see
    change = deblurring_of(refocuser).change(photo)
    assert min(change.shape[:2]) == SIDE
    made = refocuser.deblurred(photo, "always")
    np.testing.assert_allclose(photo - made, 0.5125 / 2, atol=0.012)


def test_a_change_follows_the_picture_it_is_stretched_over() -> None:
    ramp = np.linspace(-0.2, 0.2, 30, dtype=np.float32)
    change = np.broadcast_to(ramp[:, None, None], (30, 20, 3))
    photo = np.full((300, 200, 3), 0.5, np.float32)
    np.testing.assert_allclose(
        added(photo, change)[5:-5, 7, 1] - 0.5, np.linspace(-0.2069, 0.2069, 300)[5:-5], atol=2e-3
    )
    assert added(photo, np.zeros((1, 1, 3), np.float32)) is photo


def test_tiles_give_what_the_whole_gives(model: Path) -> None:
    write_deblur_model(model)
    photo = np.random.default_rng(2).random((150, 210, 3), np.float32)
    parts, whole = (
        Refocuser(model, tile=tile, overlap=16, threads=1).deblurred(photo, "always") for tile in (64, 1024)
    )
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_a_model_that_cannot_deblur_says_so(model: Path) -> None:
    refocuser = Refocuser(model, threads=1)
    assert refocuser.deblurring is None
    with pytest.warns(UserWarning, match="the photo is blurred already"):
        assert refocuser.deblurred(blocks(3)) is not None
    with pytest.raises(ValueError, match=r"deblur: the model .*m.onnx has no m.deblur.onnx"):
        refocuser.deblurred(blocks(), "always")


def test_an_empty_file_stands_for_no_part_and_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    part = tmp_path / "m.deblur.onnx"
    part.touch()
    assert Refocuser(model, threads=1).deblurring is None
    write_model(part, PROPS)
    with pytest.raises(ValueError, match=r"m.deblur.onnx must take photo, it takes photo, focus, aperture"):
        Refocuser(model, threads=1)


@pytest.mark.skipif(not (RELEASED.parent / "refocal.deblur.onnx").is_file(), reason="no released weights: dvc pull")
def test_released_weights_leave_sharp_photos_alone_and_sharpen_soft_ones() -> None:
    refocuser = Refocuser(RELEASED)
    for name in ("coffee", "rocket"):
        photo = read_image(ROOT / "src/refocal/serving/page" / f"{name}.jpg").pixels
        assert psnr(refocuser.deblurred(photo, "always"), photo) >= 45, name
        soft = np.rint(gaussian_filter(photo.astype(float), (1.5, 1.5, 0))).astype(np.uint8)
        assert psnr(refocuser.deblurred(soft, "always"), photo) > psnr(soft, photo) + 0.2, name

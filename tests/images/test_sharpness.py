"""What is blurred already is told from what is sharp, flat or tiny."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tiny_model import PROPS, write_model

from refocal.images.image import read_image
from refocal.images.sharpness import soft_share, warn_if_blurred
from refocal.model.refocuser import Refocuser


def blocks(blur: float = 0, size: tuple[int, int] = (240, 320)) -> NDArray[np.float32]:
    """Return rectangles of many sizes, as sharp as a lens and a sensor make them (sigma .6 px), then blurred."""
    random = np.random.default_rng(0)
    photo = np.full((*size, 3), 0.5)
    for _ in range(120):
        top, left = random.integers(0, size[0]), random.integers(0, size[1])
        height, width = random.integers(8, 60, 2)
        photo[top : top + height, left : left + width] = random.random(3)
    sigma = np.hypot(0.6, blur)
    return gaussian_filter(photo, (sigma, sigma, 0)).astype(np.float32).clip(0, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_sharp_photo_is_not_warned_of_and_its_blurred_copy_is(kind: type) -> None:
    top = 1 if kind is np.float32 else np.iinfo(kind).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_blurred((blocks() * top).astype(kind))
    for blur in (2, 3, 4):
        with pytest.warns(UserWarning, match="the photo is blurred already") as caught:
            warn_if_blurred((blocks(blur) * top).astype(kind))
        assert "\n" not in str(caught[0].message)


def test_a_photo_blurred_all_over_and_one_blurred_in_part_are_told_apart() -> None:
    with pytest.warns(UserWarning, match="all over: nothing in it can become sharp"):
        warn_if_blurred(blocks(3))
    half = blocks()
    half[:, 120:] = blocks(4)[:, 120:]
    with pytest.warns(UserWarning, match=r"in part \(\d\d% of its edges are soft\)"):
        warn_if_blurred(half)


def test_more_blur_gives_more_soft_edges() -> None:
    shares = [soft_share(blocks(blur)) for blur in (0, 1, 1.5, 2, 4)]
    assert None not in shares
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] > 0.9


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((300, 300, 3), np.uint8),
        np.linspace(0, 1, 300, dtype=np.float32)[None].repeat(300, 0),  # a clear sky
        np.random.default_rng(0).random((8, 200, 3), np.float32),
        np.zeros((1, 1), np.uint8),
    ],
)
def test_what_is_flat_or_tiny_tells_nothing(photo: NDArray) -> None:
    assert soft_share(photo) is None
    warn_if_blurred(photo)


def test_a_handful_of_edges_tells_nothing() -> None:
    photo = np.full((300, 300, 3), 0.5)
    photo[140:160, 140:160] = 0.9
    assert soft_share(gaussian_filter(photo, (3, 3, 0)).astype(np.float32)) is None


def test_a_large_photo_is_judged_at_the_size_it_is_looked_at() -> None:
    """Two pixels of blur in a photo of 1080 rows are one at 540."""
    share = soft_share(blocks(2, (1080, 1440)))
    assert share is not None
    assert share < 0.3


def test_the_refocuser_says_it_to_who_called(tmp_path) -> None:
    refocuser = Refocuser(write_model(tmp_path / "m.onnx", PROPS), threads=1)
    refocuser(blocks(), 0)
    with pytest.warns(UserWarning, match="the photo is blurred already") as caught:
        refocuser(blocks(3), 0)
    assert caught[0].filename == __file__


@pytest.mark.real
def test_real_photos_are_sharp_and_their_blurred_copies_are_not(real_data) -> None:
    for name in ("stanford_general_11/view_03_03.png", "jaramillo_flowers/LF/Frames/IMG_0001/IMG_0001_045_05_05.png"):
        photo = read_image(real_data / "lightfields" / name).pixels
        assert soft_share(photo) < 0.3
        assert soft_share(gaussian_filter(photo, (2, 2, 0))) > 0.4

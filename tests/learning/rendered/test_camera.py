"""A camera's traces: the same tone for photo and target, JPEG as a JPEG file has it, noise where it is drawn."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from refocal.learning.rendered.camera import degrade, jpeg, vary_tone


def smooth_picture(seed: int = 0, side: int = 40) -> torch.Tensor:
    noise = torch.tensor(np.random.default_rng(seed).random((1, 3, 6, 6)), dtype=torch.float32)
    return torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("quality", [20, 60, 90])
def test_jpeg_is_what_a_jpeg_file_gives(quality: int) -> None:
    """Beside Pillow's, without subsampling: as far from what was given, and apart by roundings alone."""
    given = smooth_picture()
    pixels = (given[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    theirs = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
    ours = jpeg(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255, torch.tensor([float(quality)]))[0]
    assert (ours - given[0]).abs().mean() == pytest.approx(float((theirs - given[0]).abs().mean()), rel=0.06)
    assert (ours - theirs).abs().mean() < 1.1 / 255


def test_jpeg_takes_any_size_and_each_picture_s_own_quality() -> None:
    given = torch.cat([smooth_picture(side=29), smooth_picture(side=29)])
    made = jpeg(given, torch.tensor([10.0, 95.0]))
    assert made.shape == given.shape
    worse, better = (made - given).abs().mean((1, 2, 3))
    assert worse > 3 * better > 0


def test_the_tone_of_photo_and_target_is_the_same_and_differs_between_examples() -> None:
    photo = torch.cat([smooth_picture(), smooth_picture()])
    one, two = vary_tone(np.random.default_rng(0), [photo, photo])
    assert torch.equal(one, two)
    assert not torch.allclose(one[0], one[1], atol=0.01)
    assert not torch.allclose(one[0], photo[0], atol=0.01)


def test_some_pictures_are_left_clean_and_some_are_noisy() -> None:
    photo = torch.full((60, 3, 16, 16), 0.5)
    deviation = degrade(np.random.default_rng(0), photo).std((1, 2, 3))
    assert (deviation == 0).float().mean() == pytest.approx(0.25, abs=0.15)
    assert 0.005 < deviation.max() < 0.03
    assert torch.equal(degrade(np.random.default_rng(1), photo), degrade(np.random.default_rng(1), photo))
    state = torch.get_rng_state()
    degrade(np.random.default_rng(1), photo)
    assert torch.equal(torch.get_rng_state(), state)  # the networks' random numbers go on as if there were no camera

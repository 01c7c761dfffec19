"""What a generator is given and what it should make: the photo and the slice, or the slice and the photo."""

from dataclasses import replace

import pytest
import torch
from tiny_training import TINY, random_batch

from refocal.learning.networks.deblur import DeblurConfig
from refocal.learning.training.gan import build_run
from refocal.learning.training.pairs import Pairs, pairs_for

SCALE = torch.tensor([1.0, 5.0])
DEBLUR = replace(TINY, network="deblur", deblur=DeblurConfig(widths=(4, 6), blocks=(1, 1)))


def pairs_of(network: str) -> Pairs:
    config = replace(DEBLUR, network=network)
    return pairs_for(build_run(config, torch.device("cpu"), 5.0).generator, config, SCALE)


def test_a_u_net_and_a_lens_are_given_the_photo_and_want_the_slice() -> None:
    batch = random_batch()
    for network in ("unet", "lens"):
        given, wanted = pairs_of(network)(batch, 0)
        torch.testing.assert_close(given, batch.photo * 2 - 1)
        torch.testing.assert_close(wanted, batch.target * 2 - 1)


def test_a_deblurring_generator_is_given_the_slice_and_wants_the_photo_with_the_same_noise() -> None:
    batch = random_batch()
    batch = batch._replace(photo=batch.photo * 0.2 + 0.4, target=batch.target * 0.2 + 0.4)  # nothing clips
    given, wanted = pairs_of("deblur")(batch, 3)
    noise = (given + 1) / 2 - batch.target
    assert noise.abs().amax((1, 2, 3)).max() > 0.005  # some of the examples have some
    torch.testing.assert_close((wanted + 1) / 2 - batch.photo, noise, atol=1e-6, rtol=0)


def test_a_sharp_photo_is_to_be_left_alone_whatever_noise_it_has() -> None:
    batch = random_batch()
    given, wanted = pairs_of("deblur")(batch._replace(target=batch.photo), 1)
    torch.testing.assert_close(given, wanted)


def test_the_noise_is_a_function_of_the_step() -> None:
    batch, pairs = random_batch(), pairs_of("deblur")
    assert torch.equal(pairs(batch, 5)[0], pairs(batch, 5)[0])
    assert not torch.equal(pairs(batch, 5)[0], pairs(batch, 6)[0])


@pytest.mark.parametrize("network", ["lens", "deblur"])
def test_slices_that_no_camera_saw_are_rendered_from_the_disparity(network: str) -> None:
    """What lies at the focus stays, what does not is blurred; those that a camera saw are not touched."""
    batch = random_batch(real=False)
    flat = torch.zeros_like(batch.disparity)
    flat[0] = torch.nan  # the farthest
    sigma = torch.tensor([[-1.0, 8.0], [0, 8], [1, 8], [1, 8]])
    batch = batch._replace(disparity=flat, sigma=sigma, real=torch.tensor([False, False, False, True]))
    given, wanted = pairs_of(network)(batch, 0)
    made = (given if network == "deblur" else wanted) / 2 + 0.5
    loose = 0.1 if network == "deblur" else 1e-4  # noise
    assert (made[:2] - batch.photo[:2]).abs().mean() < loose
    assert (made[2] - batch.photo[2]).abs().mean() > 0.15
    assert (made[3] - batch.target[3]).abs().mean() < loose

"""The discriminator judges patches of the size that is said, and sees what it shall see."""

import pytest
import torch
from torch import Tensor, nn

from refocal.learning.networks.patchgan import PatchGAN, PatchGANConfig


def build(layers: int = 3, *, sigma: bool = False) -> PatchGAN:
    torch.manual_seed(0)
    return PatchGAN(PatchGANConfig(ndf=4, layers=layers, sigma=sigma)).eval()  # BatchNorm ties patches in training


def noise(*shape: int) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1).requires_grad_()


def grad(values: Tensor) -> Tensor:
    assert values.grad is not None
    return values.grad


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_patch_is_as_large_as_the_gradient_of_its_logit_reaches(layers: int, side: int) -> None:
    """70 x 70 with the description's three layers, in the photo as in the picture."""
    network = build(layers)
    photo, image = noise(1, 3, 256, 256), noise(1, 3, 256, 256)
    logits = network(photo, image, torch.zeros(1, 2))
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    for given in (photo, image):
        reached = grad(given).abs().sum((0, 1)) > 0
        assert int(reached.any(0).sum()) == side
        assert int(reached.any(1).sum()) == side


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 96)])
def test_three_layers_give_a_logit_every_eight_pixels(height: int, width: int) -> None:
    logits = build()(noise(2, 3, height, width), noise(2, 3, height, width), torch.zeros(2, 2))
    assert logits.shape == (2, 1, height // 8 - 2, width // 8 - 2)


def test_sigma_is_seen_by_every_patch_where_it_is_given_and_else_by_none() -> None:
    photo, image = noise(2, 3, 64, 96), noise(2, 3, 64, 96)
    near, far = torch.tensor([[1.0, 1.0]] * 2), torch.tensor([[-1.0, 1.0]] * 2)
    wide = torch.tensor([[1.0, 2.0]] * 2)
    told, untold = build(sigma=True), build(sigma=False)
    with torch.no_grad():
        assert (told(photo, image, near) != told(photo, image, far)).all()
        assert (told(photo, image, near) != told(photo, image, wide)).all()
        torch.testing.assert_close(untold(photo, image, near), untold(photo, image, far), rtol=0, atol=0)


def test_sigma_of_one_photo_leaves_the_others_alone() -> None:
    network, photo = build(sigma=True), noise(2, 3, 64, 64)
    sigma = torch.zeros(2, 2, requires_grad=True)
    network(photo, photo, sigma)[0].sum().backward()
    assert grad(sigma)[0].abs().min() > 0
    assert grad(sigma)[1].abs().max() == 0


def test_photo_and_picture_are_told_apart() -> None:
    network, photo, image = build(), noise(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    assert (network(photo, image, torch.zeros(1, 2)) != network(image, photo, torch.zeros(1, 2))).any()


def test_all_but_the_first_and_the_last_convolution_are_normalised() -> None:
    kinds = [type(module) for module in build().modules()]
    assert kinds.count(nn.Conv2d) == 5
    assert kinds.count(nn.BatchNorm2d) == 3
    assert nn.Sigmoid not in kinds  # least squares want the logits


def test_bfloat16_and_channels_last_give_what_float32_does() -> None:
    network = build(sigma=True)
    photo, sigma = noise(2, 3, 64, 64), torch.tensor([[1.0, 0.5], [0.25, 2.0]])
    with torch.no_grad():
        wanted = network(photo, photo, sigma)
        network.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(*[photo.to(memory_format=torch.channels_last)] * 2, sigma)
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.02)

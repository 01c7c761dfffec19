"""Both encoders feed one decoder; edges are kept when the disparity is enlarged."""

import pytest
import torch

from refocal.learning.networks.analyser import Analyser

WIDTHS = (4, 6, 8, 8)


def analyser(encoder: str) -> Analyser:
    torch.manual_seed(0)
    return Analyser(encoder, WIDTHS, (1, 0, 0, 1), 5).eval()


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["plain", "efficientnet_lite0"])
@pytest.mark.parametrize("size", [(32, 64), (96, 32)])
def test_any_multiple_of_the_size_gives_a_disparity_within_the_focus_range(encoder: str, size: tuple[int, int]) -> None:
    network = analyser(encoder)
    assert network.multiple == 32
    disparity = network(torch.rand(2, 3, *size) * 2 - 1)
    assert disparity.shape == (2, 1, *size)
    assert -1 - 1e-6 <= disparity.min() <= disparity.max() <= 1 + 1e-6


@pytest.mark.parametrize("encoder", ["plain", "efficientnet_lite0"])
def test_gradients_reach_every_parameter_of_both_encoders(encoder: str) -> None:
    network = analyser(encoder)
    torch.autograd.backward(network(torch.rand(2, 3, 64, 64) * 2 - 1).square().mean())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
def test_the_same_disparity_everywhere_stays_exactly_so_when_it_is_enlarged() -> None:
    """Weights of the mixture add up to 1, at the borders too."""
    network = analyser("plain")
    network.head.weight.zero_()
    network.head.bias.copy_(torch.tensor([0.0, 0, 0, 9, 0]))
    disparity = network(torch.rand(1, 3, 64, 64) * 2 - 1)
    torch.testing.assert_close(disparity, disparity.mean().expand_as(disparity), atol=1e-6, rtol=0)
    assert 0.49 < float(disparity.mean()) < 0.51  # the fourth of five planes


@torch.no_grad()
def test_an_enlarged_disparity_may_jump_between_two_pixels() -> None:
    """Where the mixture says so: bilinear enlargement never jumps by more than a quarter of a step."""
    network = analyser("plain")
    network.mixing.weight.mul_(200)
    network.head.weight.mul_(200)
    disparity = network(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert float((disparity[..., 1:] - disparity[..., :-1]).abs().max()) > 0.6


def test_what_cannot_be_built_or_loaded_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match="encoder must be one of plain, efficientnet_lite0, got 'dino'"):
        analyser("dino")
    with pytest.raises(ValueError, match=r"widths \[4, 6\]: the encoder efficientnet_lite0 has 4 sizes"):
        Analyser("efficientnet_lite0", (4, 6), (0, 0), 5)
    with pytest.raises(ValueError, match="only the encoder efficientnet_lite0 starts from weights of ImageNet"):
        analyser("plain").load_imagenet("lite0.pth")

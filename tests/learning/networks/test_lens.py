"""The lens finds a disparity at any size, renders with it, and says nothing at aperture 0."""

import pytest
import torch
from torch import Tensor, nn

from refocal.learning.networks.deblur import Deblur
from refocal.learning.networks.generator import build_generator, config_of
from refocal.learning.networks.lens import Lens, LensConfig
from refocal.learning.networks.renderer import compress, expand
from refocal.learning.networks.unet import UNet

TINY = LensConfig(widths=(4, 6, 8), blocks=(1, 0, 1), planes=5, refiner=4)


def tiny(seed: int = 0, *, config: LensConfig = TINY, wild: bool = False) -> Lens:
    """Return a lens generator; `wild`: a refiner of random weights, as if it had learned."""
    torch.manual_seed(seed)
    lens = Lens(config, 10.0)
    if wild and lens.refiner is not None:
        for parameter in lens.refiner.parameters():
            nn.init.normal_(parameter, std=0.5)
    return lens.eval()


def photo(height: int = 48, width: int = 64, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


SIGMA = torch.tensor([[-1.0, 0.5], [0.7, 1.5]])


@pytest.mark.parametrize("highlights", [1.0, 8.0])
@pytest.mark.parametrize("wild", [False, True])
def test_aperture_0_returns_the_photo(wild: bool, highlights: float) -> None:
    """With a refiner of any weights, and with lights that are taken for brighter than they look."""
    lens = tiny(
        config=LensConfig(TINY.widths, TINY.blocks, TINY.planes, TINY.refiner, highlights=highlights), wild=wild
    )
    with torch.no_grad():
        for focus in (-1.0, 0.3):
            made = lens(photo(), torch.tensor([[focus, 0.0]] * 2))
            torch.testing.assert_close(made, photo(), atol=2e-5, rtol=0)  # of a range of 2


@torch.no_grad()
def test_the_refiner_starts_at_no_change_and_can_change() -> None:
    disparity = torch.rand(2, 1, 48, 64) * 2 - 1
    for wild in (False, True):
        lens = tiny(wild=wild)
        bare = lens.render(photo(), disparity, SIGMA, refine=False)
        assert torch.equal(lens.render(photo(), disparity, SIGMA), bare) is not wild


@torch.no_grad()
def test_a_lens_may_have_no_refiner() -> None:
    lens = tiny(config=LensConfig(TINY.widths, TINY.blocks, TINY.planes, refiner=0))
    assert lens.refiner is None
    assert lens(photo(), SIGMA).shape == photo().shape


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (48, 64), (112, 32)])
def test_the_disparity_stays_within_the_focus_range_at_any_size(size: tuple[int, int]) -> None:
    lens = tiny()
    for parameter in lens.analyser.parameters():
        parameter.mul_(5)  # strong beliefs
    disparity = lens.analyse(photo(*size))
    assert disparity.shape == (2, 1, *size)
    assert -1 - 1e-6 <= disparity.min() < disparity.max() <= 1 + 1e-6  # but for rounding


@torch.no_grad()
def test_to_render_what_was_analysed_is_to_refocus() -> None:
    lens = tiny(wild=True)
    whole = lens(photo(), SIGMA)
    assert torch.equal(lens.render(photo(), lens.analyse(photo()), SIGMA), whole)
    assert not torch.equal(whole, photo())
    assert -1 <= whole.min() <= whole.max() <= 1


@torch.no_grad()
def test_a_photo_of_a_batch_is_what_it_is_alone() -> None:
    lens = tiny(wild=True)
    alone = torch.cat([lens(photo()[i : i + 1], SIGMA[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(lens(photo(), SIGMA), alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_what_lies_in_the_focus_stays_sharp_and_the_aperture_is_in_pixels() -> None:
    """Aperture 1 is 10 px here: a point one range behind the focus becomes that wide, times the pupil's scale."""
    lens = tiny()
    point = torch.full((1, 3, 48, 64), -1.0)
    point[..., 24, 32] = 1.0
    flat = torch.full((1, 1, 48, 64), -1.0)
    sharp = lens.render(point, flat, torch.tensor([[-1.0, 1.0]]))
    torch.testing.assert_close(sharp, point, atol=2e-5, rtol=0)
    blurred = lens.render(point, flat, torch.tensor([[1.0, 1.0]]))[0, 0, 24]
    width = int((blurred > -0.9).sum())
    assert 10 <= width <= 14


@pytest.mark.parametrize("times", [1.0, 2.0, 20.0])
def test_compress_undoes_expand(times: float) -> None:
    light = torch.linspace(0, 1, 501)
    bright = expand(light, times)
    torch.testing.assert_close(compress(bright, times), light, atol=1e-5, rtol=0)
    assert float(bright.max()) == pytest.approx(times, rel=1e-5)
    assert torch.equal(bright[light <= 0.9], light[light <= 0.9])


def test_gradients_reach_every_parameter() -> None:
    lens = tiny(wild=True).train()
    lens(photo(), SIGMA).square().mean().backward()
    for name, parameter in lens.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_black_white_and_grey_photos_have_finite_gradients() -> None:
    """Powers and roots of the colour curves have none at their ends, divisions none at 0."""
    for value in (-1.0, 0.0, 1.0):
        lens = tiny(wild=True, config=LensConfig(TINY.widths, TINY.blocks, TINY.planes, TINY.refiner, highlights=4))
        lens(torch.full((2, 3, 16, 16), value), SIGMA).mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in lens.parameters())


def test_generators_are_built_by_name() -> None:
    assert isinstance(build_generator(config_of("unet", {"num_downs": 2, "ngf": 4}), 1), UNet)
    assert isinstance(build_generator(config_of("deblur", {"widths": (4, 8), "blocks": (1, 1)}), 1), Deblur)
    lens = build_generator(TINY, 10)
    assert isinstance(lens, Lens)
    assert lens.multiple == 16
    with pytest.raises(ValueError, match="network must be one of unet, lens, deblur, got 'dpt'"):
        config_of("dpt", {})

"""What is exported renders as the lens does that was trained, and says how far it validation."""

import pytest
import torch

from refocal.learning.export.tile_renderer import lean
from refocal.learning.networks.lens import REFINER_REACH, Lens, LensConfig
from refocal.learning.networks.renderer import LEVELS, Pupil, Renderer, reach, reduction

SIDE = 112


def noise(channels: int, low: float, high: float, side: int = SIDE) -> torch.Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(1)) * (high - low) + low


@pytest.mark.parametrize("pupil", ["circular", "square"])
def test_it_renders_as_the_lens_does_that_was_trained(pupil: Pupil) -> None:
    """Whatever blurs a picture holds: all of them, only before or behind the focus, a few, one, none."""
    torch.manual_seed(2)
    lens = Lens(LensConfig(widths=(4, 6), blocks=(1, 1), planes=4, refiner=4, pupil=pupil), 8.0).eval()
    for parameter in lens.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    photo, half = noise(3, -1, 1, 32), lean(lens).eval()
    with torch.inference_mode():
        for low, high, focus, strength in (
            (-1, 1, 0, 12),
            (-1, -0.5, 1, 9),
            (0, 1, -1, 3),
            (0.5, 0.5, 0, 2),
            (0, 1, 1, 0),
        ):
            sigma = torch.tensor([[focus, strength], [0.3, strength / 2]], dtype=torch.float32)
            disparity = noise(1, low, high, 32)
            wanted = lens.render(photo, disparity, sigma)
            torch.testing.assert_close(half.render(photo, disparity, sigma), wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize("pupil", ["circular", "square"])
@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_blur_reaches_as_far_as_is_said_and_no_further(level: float, pupil: Pupil) -> None:
    """For every place of a pixel in its block: the window around it gives it its value, one pixel less would not."""
    renderer, far, part = Renderer(pupil), reach(level, pupil), reduction(level)
    light = noise(3, 0, 1)[:1]
    blur = torch.full((1, 1, SIDE, SIDE), level)
    whole = renderer(light, blur)
    needed = 0
    for place in range(48, 48 + part):
        for away in (far, far - 1):
            window = torch.zeros(SIDE, dtype=torch.bool)
            window[place - away : place + away + 1] = True
            changed = torch.where(window[:, None] & window, light, 1 - light)
            same = torch.equal(renderer(changed, blur)[..., place, place], whole[..., place, place])
            assert same or away < far
            needed += not same
    assert needed


def test_the_refiner_reaches_as_far_as_is_said() -> None:
    torch.manual_seed(0)
    refiner = Lens(LensConfig(widths=(4, 6), blocks=(1, 1), planes=4, refiner=4), 8.0).refiner
    assert refiner is not None
    torch.nn.init.normal_(refiner.layers[-1].weight)
    x = torch.rand(1, 8, 21, 21, requires_grad=True)
    refiner(x)[0, :, 10, 10].sum().backward()
    assert x.grad is not None
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert (rows.min(), rows.max()) == (10 - REFINER_REACH, 10 + REFINER_REACH)

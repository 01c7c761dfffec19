"""The renderer is a lens: light is kept, discs have the blur's diameter, near hides far, and nothing jumps."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from refocal.learning.networks.renderer import LEVELS, Pupil, Renderer, kernel, reduction, to_linear, to_srgb
from refocal.render.reference import render as reference

SIZE = 96
RED, BLUE, BLACK = (
    torch.tensor(colour)[None, :, None, None] for colour in ((0.9, 0.1, 0.1), (0.1, 0.2, 0.8), (0.0,) * 3)
)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def noise(size: int = SIZE, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def everywhere(blur: float, size: int = SIZE) -> Tensor:
    return torch.full((1, 1, size, size), blur)


def halves(left: Tensor | float, right: Tensor | float, channels: int) -> Tensor:
    """Return a picture (1, channels, SIZE, SIZE) of two halves."""
    picture = torch.empty(1, channels, SIZE, SIZE)
    picture[..., : SIZE // 2], picture[..., SIZE // 2 :] = left, right
    return picture


@pytest.mark.parametrize("size", [8, 33, 96])
def test_no_blur_gives_the_light_back_exactly(renderer: Renderer, size: int) -> None:
    light = noise(size) * 4  # highlights too
    assert torch.equal(renderer(light, everywhere(0, size)), light)


@pytest.mark.parametrize("pupil", ["circular", "square"])
@pytest.mark.parametrize("blur", [-60.0, -20.0, -2.2, 0.4, 1.5, 6.5, 9.0, 30.0, 48.0])
def test_constant_light_stays_constant_up_to_the_edges(pupil: Pupil, blur: float) -> None:
    light = RED.expand(1, 3, SIZE, SIZE)
    assert torch.allclose(Renderer(pupil)(light, everywhere(blur)), light, atol=1e-5)


def test_constant_light_stays_constant_whatever_the_blur_does(renderer: Renderer) -> None:
    """At steps of the blur, on slopes and in noise, before and behind the focus, at sizes that are no multiple of 8."""
    light = RED.expand(1, 3, SIZE, SIZE)
    slope = torch.linspace(-50, 50, SIZE).expand(1, 1, SIZE, SIZE)
    for blur in (halves(-30, 30, 1), halves(48, 0, 1), halves(0, -48, 1), slope, slope.sin() * 40):
        made = renderer(light, blur)
        assert torch.allclose(made, light, atol=1e-5)
        cut = renderer(light[..., :61, :83], blur[..., :61, :83])
        assert torch.allclose(cut, light[..., :61, :83], atol=1e-5)


@pytest.mark.parametrize("pupil", ["circular", "square"])
@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_point_becomes_a_disc_of_the_blur_s_diameter_with_all_its_light(pupil: Pupil, level: float) -> None:
    """At every level, those of reduced size too: the diameter as told by the spread of the light."""
    size = 128
    light = torch.zeros(1, 3, size, size)
    light[..., 61, 66] = 1.0
    for sign in (-1, 1):
        disc = Renderer(pupil)(light, everywhere(sign * level, size))[0, 0].double()
        assert float(disc.sum()) == pytest.approx(1, abs=1e-3)
        assert float(disc.min()) >= 0
        rows, columns = torch.meshgrid(torch.arange(size) - 61.0, torch.arange(size) - 66.0, indexing="ij")
        spread = float((disc * ((rows - (disc * rows).sum()) ** 2 + (columns - (disc * columns).sum()) ** 2)).sum()) / 2
        diameter = math.sqrt((16 if pupil == "circular" else 12) * max(spread - 1 / 12, 0))  # less that of a pixel
        assert diameter == pytest.approx(level, rel=0.12, abs=0.25)
        assert float(disc[torch.hypot(rows, columns) > level + 2 * reduction(level)].sum()) < 1e-6


@pytest.mark.parametrize("pupil", ["circular", "square"])
def test_kernels_are_discs_of_sum_1_that_are_as_wide_as_long(pupil: Pupil) -> None:
    for level in LEVELS:
        disk = kernel(level, reduction(level), pupil)
        assert float(disk.sum()) == pytest.approx(1)
        assert disk.shape[0] == disk.shape[1] <= 9
        for other in (disk.T, disk.flip(0), disk.flip(1)):
            torch.testing.assert_close(disk, other)


def test_a_square_pupil_makes_squares(renderer: Renderer) -> None:
    light = torch.zeros(1, 3, 32, 32)
    light[..., 16, 16] = 1.0
    round_, square = (lens(light, everywhere(6.5, 32))[0, 0] for lens in (renderer, Renderer("square")))
    assert round_[14, 14] < round_[16, 16]
    assert float(square[14, 14]) == pytest.approx(float(square[16, 16]))


def test_another_pupil_is_refused() -> None:
    with pytest.raises(ValueError, match="pupil must be 'circular' or 'square', got 'hexagon'"):
        Renderer("hexagon")  # type: ignore[arg-type]


def test_the_picture_changes_continuously_with_the_blur(renderer: Renderer) -> None:
    """A hundredth of a pixel more or less changes hardly anything, at levels and at the focus too."""
    light, blur = noise(), halves(1, 0.5, 1)
    for level in (0.0, 0.7, *LEVELS[1:]):
        for sign in (-1, 1):
            below, above = (renderer(light, blur * sign * (level + by)) for by in (-0.01, 0.01))
            assert float((below - above).abs().max()) < 0.03


def test_a_sharp_near_object_gets_no_light_of_the_blurred_background(renderer: Renderer) -> None:
    light = halves(noise()[..., : SIZE // 2], BLUE, 3)
    made = renderer(light, halves(0.0, 30.0, 1))
    torch.testing.assert_close(made[..., : SIZE // 2], light[..., : SIZE // 2], atol=1e-5, rtol=0)


def test_a_blurred_background_does_not_take_the_colour_of_a_sharp_near_object(renderer: Renderer) -> None:
    light = halves(RED, BLUE, 3)
    torch.testing.assert_close(renderer(light, halves(0.0, 30.0, 1)), light, atol=1e-5, rtol=0)


def test_a_blurred_near_object_spreads_over_the_sharp_background(renderer: Renderer) -> None:
    """By half its diameter, less and less with the distance."""
    light, edge = halves(RED, BLUE, 3), SIZE // 2
    red = renderer(light, halves(-24.0, 0.0, 1))[0, 0, SIZE // 2]
    assert red[edge + 1] > 0.3
    assert bool((red[edge : edge + 16].diff() <= 1e-6).all())
    torch.testing.assert_close(red[edge + 20 :], light[0, 0, 0, edge + 20 :], atol=1e-4, rtol=0)


@pytest.mark.parametrize("pupil", ["circular", "square"])
@pytest.mark.parametrize("focus", [-1.0, 0.2, 1.0])
def test_without_occlusion_it_agrees_with_the_reference(pupil: Pupil, focus: float) -> None:
    """On a slope from far to near the two renderers of the project differ by less than 38 dB tell."""
    smooth = gaussian_filter(np.random.default_rng(3).normal(size=(3, 128, 160)), (0, 1.2, 1.2))
    photo = np.clip(0.5 + 0.2 * smooth / smooth.std(), 0, 1).transpose(1, 2, 0).astype(np.float32)
    disparity = np.tile(np.linspace(-1, 1, 160, dtype=np.float32), (128, 1))
    wanted = reference(photo, disparity, focus, 12.0, pupil=pupil)
    light = to_linear(torch.from_numpy(photo).permute(2, 0, 1)[None])
    made = to_srgb(Renderer(pupil)(light, torch.from_numpy(12 * (focus - disparity) / 2)[None, None]).clamp(0, 1))
    inner = (made[0].permute(1, 2, 0).numpy() - wanted)[8:-8, 8:-8]
    assert -10 * np.log10(np.square(inner).mean()) > 38


def test_light_and_srgb_are_each_other_s_inverse() -> None:
    srgb = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(to_srgb(to_linear(srgb)), srgb, atol=1e-5, rtol=0)
    assert float(to_linear(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)

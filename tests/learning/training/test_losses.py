"""The losses are what they are called; above all, the perceptual one is no pixel loss in disguise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage import data
from skimage.filters import gaussian
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

from refocal.learning.networks.vgg import VGGFeatures
from refocal.learning.training import losses
from refocal.learning.training.losses import (
    MARGIN,
    disparity_error,
    dissimilarity,
    l1,
    lsgan_discriminator,
    lsgan_generator,
    order_error,
    perceptual,
)

LAYERS = ("relu1_2", "relu2_2", "relu3_3")
NOT = torch.tensor([False, False])  # no disparity is only relative


@pytest.fixture(scope="module")
def eyes() -> VGGFeatures:
    return VGGFeatures("random", LAYERS)


def tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) in [0, 1] -> (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1).copy())[None] * 2 - 1


@pytest.fixture(scope="module")
def pictures() -> dict[str, Tensor]:
    """Return a photo, and what can be done to it that changes it little."""
    photo = data.astronaut()[:256:2, 140:396:2] / 255
    noise = np.random.default_rng(0).normal(0, 0.02, photo.shape)
    changed = {
        "photo": photo,
        "blurred": gaussian(photo, 1, channel_axis=2),
        "brightened": photo + 0.03,
        "noisy": photo + noise,
        "shifted": np.roll(photo, 1, axis=1),
    }
    return {name: tensor(pixels) for name, pixels in changed.items()}


def test_the_discriminator_wants_real_at_1_and_made_at_0() -> None:
    one, zero = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert lsgan_discriminator(one, zero) == 0
    assert lsgan_discriminator(zero, one) == 1  # (1 + 1) / 2
    assert lsgan_discriminator(one * 0.5, one * 0.5) == 0.25
    assert lsgan_discriminator(one * 3, zero) == 2  # squared distance, on either side: no log


def test_the_generator_wants_to_be_taken_for_real() -> None:
    one = torch.ones(2, 1, 3, 3)
    assert lsgan_generator(one) == 0
    assert lsgan_generator(one * 0) == 0.5
    logits = torch.zeros(4, requires_grad=True)
    lsgan_generator(logits).backward()
    assert logits.grad is not None
    assert (logits.grad < 0).all()  # upwards


def test_l1_is_the_mean_absolute_difference_in_full_precision() -> None:
    assert l1(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 1.0])) == 1.25
    many = torch.zeros(1 << 16, dtype=torch.bfloat16)
    many[::3] = 1
    found = l1(many, torch.zeros_like(many))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(1 / 3, abs=1e-4)


def test_the_perceptual_loss_is_the_mean_over_layers_of_the_features_l1() -> None:
    ours, theirs = (
        [torch.ones(1, 2, 4, 4), torch.ones(1, 8, 2, 2)],
        [torch.zeros(1, 2, 4, 4), 4 * torch.ones(1, 8, 2, 2)],
    )
    assert perceptual(ours, theirs) == 2  # (1 + 3) / 2: each layer counts alike, however large


def test_the_perceptual_loss_of_no_layers_is_an_error_and_not_0() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        perceptual([], [])
    with pytest.raises(ValueError, match="argument 2"):
        perceptual([torch.ones(1)], [])


def test_the_perceptual_loss_is_not_pixel_l1(eyes: VGGFeatures, pictures: dict[str, Tensor]) -> None:
    """L1 finds a brighter photo worse than a blurred one, VGG the blurred: and no factor makes one the other.

    The original's VGG was cut to nothing, which left just L1.
    """
    photo = pictures["photo"]
    wanted = eyes(photo)
    seen: dict[str, float] = {}
    pixels: dict[str, float] = {}
    for name in ("blurred", "brightened", "noisy", "shifted"):
        seen[name] = float(perceptual(eyes(pictures[name]), wanted))
        pixels[name] = float(l1(pictures[name], photo))
    assert pixels["brightened"] > pixels["blurred"]
    assert seen["brightened"] < seen["blurred"]
    ratios = [seen[name] / pixels[name] for name in seen]
    assert max(ratios) > 1.4 * min(ratios)
    assert float(perceptual(wanted, eyes(photo))) == 0


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_more_than_its_input(layer: str, pictures: dict[str, Tensor]) -> None:
    """A cut that lets the picture itself through, at any chosen layer, would be found here."""
    features = VGGFeatures("random", [layer])(pictures["photo"])
    assert len(features) == 1
    assert features[0].shape[1] >= 64
    assert float(features[0].detach().std()) > 0.5


@pytest.mark.parametrize("loss", [l1, None], ids=["l1", "perceptual"])
def test_descending_the_loss_brings_the_picture_to_its_target(
    loss: Callable[[Tensor, Tensor], Tensor] | None, eyes: VGGFeatures, pictures: dict[str, Tensor]
) -> None:
    """The gradient reaches the picture, points the right way, and no weight changes or gathers any."""
    target = pictures["photo"][..., :32, :32]
    image = pictures["blurred"][..., :32, :32].clone().requires_grad_()
    wanted = eyes(target)
    weights = [value.clone() for value in eyes.parameters()]
    optimizer = torch.optim.Adam([image], lr=0.02)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        value = loss(image, target) if loss else perceptual(eyes(image), wanted)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert losses[-1] < 0.9 * losses[0]
    for before, now in zip(weights, eyes.parameters(), strict=True):
        assert now.grad is None
        assert torch.equal(before, now)


def test_the_disparity_error_is_0_for_the_truth_and_counts_edges_beside_values() -> None:
    """A constant offset has no gradients: it costs its size; a step costs more than its mean."""
    wanted = torch.rand(2, 1, 16, 24)
    assert float(disparity_error(wanted, wanted, NOT)) == 0
    assert float(disparity_error(wanted + 0.25, wanted, NOT)) == pytest.approx(0.25, abs=1e-5)
    step = torch.zeros_like(wanted)
    step[..., 12:] = 0.5
    assert float(disparity_error(wanted + step, wanted, NOT)) > 0.25 + 1e-3


def test_gradients_of_a_disparity_cost_beside_its_values() -> None:
    """A stripe costs by its place alone: at the border it has one edge, inside two, of the same values."""
    wanted = torch.zeros(2, 1, 32, 32)
    for axis in (2, 3):
        costs = []
        for start in (0, 12):
            ours = wanted.clone()
            ours.narrow(axis, start, 8).fill_(0.5)
            costs.append(float(disparity_error(ours, wanted, NOT)))
        # A step of .5 in a stripe of a quarter is .5 / sqrt(.047 + .01) = 2.1 deviations; one more of it in 31
        # places along one axis costs a quarter of 2.1 / 31, and at the coarser scales 2, 4 and 8 times as much.
        assert costs[1] - costs[0] == pytest.approx(0.25 * 2.1 * sum(1 / (32 / s - 1) for s in (1, 2, 4, 8)), rel=0.05)


def test_what_is_not_known_of_a_disparity_counts_for_nothing() -> None:
    """Neither in the value nor in the gradient, even where nothing is known at all."""
    wanted = torch.rand(2, 1, 16, 24)
    wanted[..., :7] = float("nan")
    ours = torch.rand(2, 1, 16, 24, requires_grad=True)
    other = torch.where(wanted.isnan(), torch.tensor(9.0), ours)
    assert torch.equal(disparity_error(ours, wanted, NOT), disparity_error(other, wanted, NOT))
    torch.autograd.backward(disparity_error(ours, wanted, NOT))
    assert ours.grad is not None
    assert float(ours.grad[..., :7].abs().max()) == 0
    assert bool((ours.grad[..., 7:] != 0).any())
    assert float(disparity_error(ours.detach(), torch.full_like(wanted, float("nan")), NOT)) == 0


def test_a_relative_disparity_counts_by_its_shape_and_less_by_its_values() -> None:
    """Twice as deep and shifted is the same shape; upside down is the opposite, and costs more than saying nothing."""
    wanted = torch.rand(2, 1, 16, 24) - 0.5
    other = 2 * wanted + 0.1
    exact, shape = (float(disparity_error(other, wanted, which)) for which in (NOT, ~NOT))
    assert shape < 0.6 * exact
    assert float(disparity_error(-wanted, wanted, ~NOT)) > float(disparity_error(0 * wanted, wanted, ~NOT))
    mixed = float(disparity_error(other, wanted, torch.tensor([True, False])))
    assert shape < mixed < exact


def front_of(size: int = 64) -> Tensor:
    """Return the mask of a box that stands in the middle of a picture."""
    front = torch.zeros(1, 1, size, size)
    front[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
    return front


def test_a_thing_must_stand_before_what_is_around_it() -> None:
    """By a margin, beyond which nothing is gained; the wrong way round costs most."""
    front = front_of()
    apart = [float(order_error(front * step, front)) for step in (MARGIN + 0.2, MARGIN + 0.01, 0.1, 0.0, -0.5)]
    assert apart == pytest.approx([0, 0, MARGIN - 0.1, MARGIN, MARGIN + 0.5], abs=1e-5)


def test_what_a_thing_stands_on_may_be_as_near() -> None:
    front = front_of()
    ground = front.clone()
    ground[..., 45:, :] = 1  # from just above the lowest fifth of the thing on
    assert float(order_error(ground, front)) < 0.2 * float(order_error(0 * ground, front))
    assert float(order_error(ground.flip(2), front)) > 2 * float(order_error(ground, front))


def test_a_thing_is_smooth_and_what_no_mask_tells_counts_for_nothing() -> None:
    front = front_of()
    rough = front * (1 + 0.2 * torch.randn(front.shape))
    assert float(order_error(rough, front)) > float(order_error(front, front))
    unknown = torch.cat([front, torch.full_like(front, torch.nan)])
    ours = torch.rand(2, 1, 64, 64, requires_grad=True)
    assert float(order_error(ours, unknown).detach()) == pytest.approx(float(order_error(ours[:1], front).detach()))
    torch.autograd.backward(order_error(ours, unknown))
    assert ours.grad is not None
    assert float(ours.grad[1].abs().max()) == 0
    assert float(order_error(ours.detach(), torch.full_like(unknown, torch.nan))) == 0


def test_a_flat_disparity_is_not_blown_up_to_a_shape() -> None:
    """Noise of a hundredth of the focus range, found on a wall, costs about that and no more."""
    wall = torch.zeros(2, 1, 16, 24)
    assert float(disparity_error(wall + 0.01 * torch.randn(wall.shape), wall, NOT)) < 0.4


@pytest.mark.parametrize("name", ["blurred", "brightened", "noisy", "shifted"])
def test_dissimilarity_is_what_ssim_lacks_of_1(pictures: dict[str, Tensor], name: str) -> None:
    photo, changed = pictures["photo"], pictures[name]
    one, other = (picture[0].permute(1, 2, 0).double().numpy() for picture in (photo, changed))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "truncate": 10 / 3}
    _, wanted = structural_similarity(one, other, data_range=2, channel_axis=2, full=True, **options)
    inside = wanted[5:-5, 5:-5].mean()
    both = torch.cat([photo, photo]), torch.cat([changed, photo])
    assert float(dissimilarity(photo, changed)) == pytest.approx(1 - inside, rel=1e-3)
    assert float(dissimilarity(*both)) == pytest.approx((1 - inside) / 2, rel=1e-3)  # a mean over the batch


def test_dissimilarity_pulls_a_picture_towards_its_target(pictures: dict[str, Tensor]) -> None:
    target, made = pictures["photo"], pictures["blurred"].clone().requires_grad_(True)
    loss = dissimilarity(made, target)
    loss.backward()
    assert made.grad is not None
    assert float(dissimilarity(made.detach() - 10 * made.grad, target)) < float(loss.detach())


@pytest.mark.parametrize(("size", "radius"), [((40, 56), 5), ((9, 4), 12), ((64, 64), 16)])
def test_means_over_windows_are_those_of_pooling_and_so_are_their_gradients(size: tuple[int, int], radius: int) -> None:
    values = torch.randn(2, 3, *size, requires_grad=True)
    wanted = functional.avg_pool2d(values, 2 * radius + 1, stride=1, padding=radius)
    made = losses._window_means(values, radius)
    torch.testing.assert_close(made, wanted, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(wanted)
    gradients = [torch.autograd.grad((one * weights).sum(), values)[0] for one in (made, wanted)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)

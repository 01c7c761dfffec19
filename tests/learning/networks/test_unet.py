"""The generator is the U-Net of the description: sizes, widths, norms, skips, and sigma where it belongs."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from refocal.learning.networks.unet import MAP, UNet, UNetConfig

Upsampling = Literal["resize", "transposed"]
KINDS: tuple[Upsampling, ...] = ("resize", "transposed")


def build(
    num_downs: int = 3, ngf: int = 4, upsampling: Upsampling = "resize", *, residual: bool = False, seed: int = 0
) -> UNet:
    torch.manual_seed(seed)
    return UNet(UNetConfig(num_downs, ngf, upsampling, residual)).eval()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def norms(block: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in block.modules())


@settings(deadline=None, max_examples=25)
@given(
    num_downs=st.integers(1, 4),
    size=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    upsampling=st.sampled_from(KINDS),
    residual=st.booleans(),
    training=st.booleans(),
)
def test_every_multiple_of_its_size_and_every_batch_works(
    num_downs: int, size: tuple[int, int, int], upsampling: Upsampling, residual: bool, training: bool
) -> None:
    """A single photo whose innermost features are one pixel among them: a norm there would raise in training."""
    network = build(num_downs, upsampling=upsampling, residual=residual).train(training)
    assert network.multiple == 2**num_downs
    batch, rows, columns = size
    photo = noise(batch, 3, rows * network.multiple, columns * network.multiple)
    with torch.no_grad():
        refocused = network(photo, noise(batch, 2))
    assert refocused.shape == photo.shape
    assert refocused.dtype == torch.float32
    assert refocused.abs().max() <= 1


def test_channels_double_up_to_eight_times_the_first() -> None:
    network = build(num_downs=6)
    widths = [conv.out_channels for conv in network.downs.modules() if isinstance(conv, nn.Conv2d)]
    assert widths == [4, 8, 16, 32, 32, 32]


def test_the_default_has_21_million_parameters() -> None:
    with torch.device("meta"):
        network = UNet(UNetConfig())
    assert sum(weights.numel() for weights in network.parameters()) == pytest.approx(21.3e6, rel=0.005)


def test_all_blocks_but_the_outermost_and_the_innermost_encoder_are_normalised() -> None:
    network = build(num_downs=5)
    assert [norms(block) for block in network.downs] == [0, 1, 1, 1, 0]
    assert [norms(block) for block in network.ups] == [0, 1, 1, 1, 1]  # from the outermost


def test_sigma_passes_two_fully_connected_layers_to_a_map_of_4_by_4() -> None:
    network = build()
    layers = [module for module in network.sigma if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(2, MAP * MAP), (MAP * MAP, MAP * MAP)]
    assert any(not isinstance(module, nn.Linear) for module in network.sigma)  # two in a row would be one


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (24, 40)], ids=["1x1", "4x4", "3x5"])
def test_focus_and_aperture_each_change_the_whole_picture(size: tuple[int, int]) -> None:
    network, photo = build(), noise(1, 3, *size)
    with torch.no_grad():
        plain, focused, opened = (network(photo, torch.tensor([s])) for s in ([0.0, 1.0], [1.0, 1.0], [0.0, 2.0]))
    for changed in (focused, opened):
        pixels = (changed - plain).abs().sum(1)
        assert (pixels > 0).float().mean() > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_focus_is_never_lost_on_its_way_in(seed: int) -> None:
    """Even where the innermost features are one pixel: a ReLU on that single value of the map would silence half."""
    network, photo = build(seed=seed), noise(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(network(photo, torch.tensor([[-1.0, 1.0]])), network(photo, torch.tensor([[1.0, 1.0]])))


def test_the_map_of_sigma_enters_at_the_innermost_block_upright() -> None:
    """The map's left half moves the left half of a wide picture, its upper half the upper: it is not transposed."""
    network, photo = build(num_downs=2), noise(1, 3, 64, 64)
    last = network.sigma[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        plain = network(photo, torch.zeros(1, 2))
        last.bias.view(MAP, MAP)[:, 0] = 5  # the left column
        change = (network(photo, torch.zeros(1, 2)) - plain).abs().sum((0, 1))
    assert change[:, :16].sum() > 10 * change[:, 32:].sum()
    assert change[:16].sum() == pytest.approx(float(change[-16:].sum()), rel=0.5)


def test_skips_carry_detail_past_the_inner_blocks() -> None:
    network = build()
    silent = network.ups[1]  # all that comes from below the outermost skip
    with torch.no_grad():
        for weights in silent.parameters():
            weights.zero_()
        one, other = (network(noise(1, 3, 16, 16, seed=seed), torch.zeros(1, 2)) for seed in (1, 2))
    assert (one - other).abs().mean() > 1e-3


def test_inside_nothing_is_squeezed_by_a_tanh() -> None:
    """The original has one behind each upsampling: features beyond 1 are lost there."""
    network = build()
    blocks, largest = [*network.downs, *network.ups[1:]], []
    for block in blocks:
        weight = [values for name, values in block.named_parameters() if name.endswith("weight")][-1]
        nn.init.normal_(weight, std=10)
        block.register_forward_hook(lambda _block, _given, made: largest.append(float(made.detach().abs().max())))
    network(noise(1, 3, 16, 16), torch.zeros(1, 2))
    assert len(largest) == len(blocks)
    assert min(largest) > 2


def test_resize_convolution_keeps_a_plain_field_plain_where_the_transposed_leaves_a_checkerboard() -> None:
    spread = {}
    for kind in KINDS:
        block = build(upsampling=kind).ups[0]
        with torch.no_grad():
            field = block(torch.ones(1, 8, 8, 8))
        spread[kind] = float(field[..., 2:-2, 2:-2].std(dim=(2, 3)).max())
    assert spread["resize"] < 1e-6
    assert spread["transposed"] > 1e-3


def test_residual_starts_as_the_photo_and_learns_from_the_first_step() -> None:
    network, photo = build(residual=True).train(), noise(2, 3, 16, 16)
    refocused = network(photo, noise(2, 2))
    torch.testing.assert_close(refocused, photo, rtol=0, atol=0)
    (refocused * noise(2, 3, 16, 16, seed=3)).sum().backward()
    *_, weight, bias = network.ups[0].parameters()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().max() > 0


def test_residual_stays_in_range() -> None:
    network = build(residual=True)
    *_, bias = network.ups[0].parameters()
    nn.init.constant_(bias, 1.5)
    refocused = network(noise(1, 3, 8, 8), torch.zeros(1, 2))
    assert refocused.max() == 1
    assert refocused.min() > 0.49


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_learns_from_a_single_photo(kind: Upsampling) -> None:
    network = build(upsampling=kind).train()
    network(noise(1, 3, 16, 16), noise(1, 2)).square().sum().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name


@pytest.mark.parametrize("residual", [False, True])
def test_bfloat16_and_channels_last_give_what_float32_does(residual: bool) -> None:
    network = build(residual=residual)
    *_, weight, _ = network.ups[0].parameters()
    nn.init.normal_(weight, std=0.1)  # residual starts at 0
    photo, sigma = noise(2, 3, 24, 16), noise(2, 2)
    with torch.no_grad():
        wanted = network(photo, sigma)
        network.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(photo.to(memory_format=torch.channels_last), sigma)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.03)

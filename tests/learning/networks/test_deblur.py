"""The generator that deblurs: it starts at the photo, keeps its grid, and looks no further than its surroundings."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from refocal.learning.networks.deblur import Deblur, DeblurConfig

TINY = DeblurConfig(widths=(4, 6, 8), blocks=(1, 1, 1))


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def stirred(config: DeblurConfig = TINY) -> Deblur:
    """Return a network none of whose weights are 0."""
    torch.manual_seed(0)
    network = Deblur(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), count=st.integers(1, 2), levels=st.integers(1, 4))
def test_it_starts_at_the_photo_at_any_multiple_of_its_size(rows: int, columns: int, count: int, levels: int) -> None:
    network = Deblur(DeblurConfig(widths=(4,) * levels, blocks=(1,) * levels))
    assert network.multiple == 2**levels
    photo = noise(count, 3, rows * network.multiple, columns * network.multiple)
    with torch.no_grad():
        assert torch.equal(network(photo), photo)


def test_every_weight_learns_after_two_steps() -> None:
    """Blocks and tail start at 0: the first step frees what lies behind them."""
    torch.manual_seed(0)
    network = Deblur(TINY)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (network(noise(2, 3, 16, 16)) - noise(2, 3, 16, 16).flip(0)).abs().mean().backward()
        optimizer.step()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_what_it_makes_follows_the_photo_and_nothing_else() -> None:
    network, photo = stirred(), noise(1, 3, 24, 16)
    with torch.no_grad():
        made = network(photo)
        assert torch.equal(network(photo, noise(1, 2)), made)
        moved = network(photo.roll(8, 2))
    assert made.abs().max() <= 1
    assert not torch.allclose(made, photo, atol=1e-3)
    assert torch.allclose(moved[:, :, 16:], made.roll(8, 2)[:, :, 16:], atol=1e-6) is False  # borders differ
    wide = noise(1, 3, 16, 256)
    with torch.no_grad():
        whole, part = network(wide), network(wide[..., :192])
    torch.testing.assert_close(part[..., :96], whole[..., :96])  # 96 px on it no longer matters what comes

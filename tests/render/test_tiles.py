"""Tiles cover every pixel with weight one, on the grid of the network."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refocal.render.tiles import cut, reflected


def test_small_photos_are_mirrored_again_and_again() -> None:
    """NumPy's reflect padding is the reference."""
    for length in range(1, 20):
        for more in (0, 1, 5, 40):
            padded = np.pad(np.arange(length), (0, more), mode="reflect")
            np.testing.assert_array_equal(reflected(length, length + more), padded)


@settings(deadline=None, max_examples=25)
@given(
    length=st.integers(1, 700),
    multiple=st.sampled_from([1, 4, 16, 64]),
    tile=st.integers(64, 300),
    overlap=st.integers(0, 200),
)
def test_tiles_cover_the_side_lie_on_the_grid_and_weigh_one(
    length: int, multiple: int, tile: int, overlap: int
) -> None:
    axis = cut(length, multiple, tile, overlap)
    total = np.zeros(len(axis.index))
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        assert start % multiple == 0
        total[start : start + axis.size] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert axis.size % multiple == 0
    assert axis.size <= max(tile, 2 * multiple, -(-length // multiple) * multiple if length <= tile else 0)
    laps = [a + axis.size - b for a, b in zip(axis.starts, axis.starts[1:], strict=False)]
    assert all(lap >= min(overlap, tile // multiple // 2 * multiple) for lap in laps)
    assert (axis.weights >= 0).all()

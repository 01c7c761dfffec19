"""Drawn shapes are mattes at the canvas' place, and surfaces that are as near as they say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refocal.learning.rendered.shapes import LIMIT, Place, bump, canvas, covered, height, matte, strokes

X, Y = canvas(32, 4, torch.device("cpu"))


def place(middle: tuple[float, float] = (0.0, 0.0), size: float = 0.5) -> Place:
    return Place(X, Y, middle, size, 2 / 32)


def test_the_crop_reaches_from_minus_one_to_one_and_the_margin_lies_outside() -> None:
    assert X.shape == (40, 40)
    assert X[0, 4] == pytest.approx(-1 + 1 / 32)
    assert X[0, -5] == pytest.approx(1 - 1 / 32)
    assert X[0, 0] < -1 < 1 < Y[-1, 0]
    assert torch.equal(X, Y.T)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(["thing", "window", "strokes"]))
def test_a_matte_is_a_coverage(seed: int, kind: str) -> None:
    drawn = matte(np.random.default_rng(seed), place(), kind)
    assert drawn.shape == X.shape
    assert drawn.isfinite().all()
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert torch.equal(drawn, matte(np.random.default_rng(seed), place(), kind))


def test_a_thing_covers_its_middle_and_a_window_what_is_around_it() -> None:
    things = torch.stack([matte(np.random.default_rng(seed), place(), "thing") for seed in range(60)]).mean(0)
    windows = torch.stack([matte(np.random.default_rng(seed), place(), "window") for seed in range(60)]).mean(0)
    assert things[20, 20] > 0.7
    assert things[0, 0] < 0.2
    assert windows[20, 20] < 0.3
    assert windows[0, 0] > 0.8


def test_strokes_are_thin() -> None:
    """Rarely is a pixel of theirs far from one that is free."""
    x, y = canvas(160, 0, torch.device("cpu"))
    for seed in range(20):
        drawn = strokes(np.random.default_rng(seed), Place(x, y, (0.0, 0.0), 1.0, 2 / 160))
        thick = -torch.nn.functional.max_pool2d(-drawn[None], 15, stride=1)
        assert thick.mean() < 0.02, seed


@pytest.mark.parametrize("soft", [1.0, 6.0])
def test_an_edge_is_as_wide_as_it_is_soft(soft: float) -> None:
    edge = covered(torch.linspace(-10, 10, 2001), soft)
    assert (edge > 0).logical_and(edge < 1).sum() == pytest.approx(100 * soft, abs=2.5)
    assert edge[1000] == pytest.approx(0.5, abs=1e-5)
    assert edge[-1] == 1


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-1, 1),
    st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
    st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    st.floats(0.2, 1),
)
def test_a_surface_is_as_near_as_told_in_its_middle_and_falls_off_over_its_size(
    level: float,
    slant: tuple[float, float],
    bulge: tuple[float, float],
    middle: tuple[float, float],
    size: float,
) -> None:
    surface = torch.tensor(bump(level, slant, bulge, place(middle, size)), dtype=torch.float64)

    def at(x: float, y: float) -> float:
        return float(height(surface, *(torch.tensor([[one]], dtype=torch.float64) for one in (x, y))))

    def limited(value: float) -> float:
        return min(max(value, -LIMIT), LIMIT)

    assert at(*middle) == pytest.approx(level, abs=1e-6)
    assert at(middle[0] + size, middle[1]) == pytest.approx(limited(level + slant[0] - bulge[0]), abs=1e-6)
    assert at(middle[0], middle[1] - size) == pytest.approx(limited(level - slant[1] - bulge[1]), abs=1e-6)

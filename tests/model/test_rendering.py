"""Tiles of a photo that is rendered lie beside each other, and see as much around them as the blur reaches."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import PROPS, write_lens_models

from refocal.model.refocuser import Refocuser
from refocal.model.rendering import LEAST, cut

WEIGHTS = PROPS | {"weights": "abc"}


@settings(deadline=None, max_examples=200)
@given(
    length=st.integers(1, 1500),
    side=st.integers(64, 400),
    margin=st.integers(0, 60),
    grid=st.sampled_from([1, 2, 4, 8]),
)
def test_parts_follow_each_other_on_the_grid_and_see_what_lies_around(
    length: int, side: int, margin: int, grid: int
) -> None:
    parts, size = cut(length, side, margin=margin, grid=grid, multiple=8)
    padded = -(-length // 8) * 8
    assert [part.first for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == length
    assert size % 8 == 0
    assert size <= max(-(-side // 8) * 8, LEAST + 2 * margin + 4 * 8)
    for part in parts:
        assert part.start % grid == 0
        assert part.start <= max(part.first - margin, 0)
        assert min(part.end + margin, padded) <= part.start + size <= padded


def test_threads_give_the_same(tmp_path: Path) -> None:
    """Of 16-bit photos and grey ones too."""
    model = write_lens_models(tmp_path / "lens.onnx", WEIGHTS | {"reach": "[[10, 4, 1], [48, 20, 16]]"})
    one, many = (Refocuser(model, tile=64, threads=threads) for threads in (1, 3))
    random = np.random.default_rng(0)
    disparity = random.uniform(-1, 1, (150, 203)).astype(np.float32)
    for shape, kind in (((150, 203), np.uint16), ((150, 203, 3), np.uint8), ((150, 203, 4), np.float32)):
        photo = (random.random(shape) * (1 if kind is np.float32 else np.iinfo(kind).max)).astype(kind)
        np.testing.assert_array_equal(one.render(photo, disparity, 0.3, 30), many.render(photo, disparity, 0.3, 30))


@pytest.mark.parametrize("reach", ["[[10, 4]]", "[[10, 4, 3]]", "[[10, 4, 0]]", "7", "[", '[["a", 4, 1]]'])
def test_a_reach_that_is_none_is_refused(tmp_path: Path, reach: str) -> None:
    """A grid that sizes are no multiple of, too."""
    model = write_lens_models(tmp_path / "lens.onnx", WEIGHTS | {"reach": reach})
    with pytest.raises(ValueError, match=r"has malformed metadata"):
        Refocuser(model)

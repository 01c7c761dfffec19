"""Tiles of a photo that is rendered lie beside each other, and see as much around them as the blur reaches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from tiny_model import PROPS, write_lens_models

from refocal.inference.session import run
from refocal.model.refocuser import Refocuser
from refocal.model.rendering import LEAST, cut

RELEASED = Path(__file__).parents[2] / "models/pretrained/refocal.onnx"
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


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_lens_models(tmp_path / "lens.onnx", WEIGHTS | {"reach": "[[10, 4, 1], [48, 39, 8]]"})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Give the sizes of the tiles that are rendered, as they come."""
    sizes = []

    def noted(session: Any, photo: Any, **given: Any) -> Any:
        sizes.append(photo.shape[:2])
        return run(session, photo, **given)

    monkeypatch.setattr("refocal.model.rendering.run", noted)
    return sizes


def test_what_is_blurred_widely_is_enlarged_from_the_half_picture(model: Path) -> None:
    """Where all is blurred by more than 7 px. The model darkens by 2 A / 1000 there, so by half of it at half size."""
    refocuser = Refocuser(model)
    photo = np.tile(np.linspace(80, 200, 960)[:, None], (800, 1, 3)).astype(np.uint8)
    for aperture, darker in ((80, 80 / 1000), (40, 80 / 1000)):  # the second within the limit: rendered at full size
        disparity = np.full((800, 960), 1, np.float32)
        disparity[:, :400] = -1
        made = refocuser.render(photo, disparity, -1, aperture) / 255
        np.testing.assert_allclose(made[:, :340], photo[:, :340] / 255, atol=0.01)
        np.testing.assert_allclose(made[:, 600:], photo[:, 600:] / 255 - darker, atol=0.01)


def test_where_all_is_blurred_widely_nothing_is_rendered_at_full_size(
    counted: list[tuple[int, int]], model: Path
) -> None:
    photo = np.full((800, 960, 3), 120, np.uint8)
    Refocuser(model).render(photo, np.ones((800, 960), np.float32), -1, 80)
    assert counted
    assert sum(height * width for height, width in counted) < 2 * 400 * 480  # with margins


@pytest.mark.slow
@pytest.mark.skipif(not RELEASED.is_file(), reason="no released weights (make setup)")
def test_what_is_enlarged_from_the_half_picture_looks_as_if_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the released model, at two focuses: half a step of 255 on average, no more than 16 anywhere."""
    refocuser = Refocuser(RELEASED)
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((1400, 1400)))
    disparity = refocuser.analyse(photo)
    for focus in (1.0, -1.0):
        made = refocuser.render(photo, disparity, focus, 120).astype(int)
        with monkeypatch.context() as off:
            off.setattr("refocal.model.rendering.COARSE", np.inf)
            whole = refocuser.render(photo, disparity, focus, 120)
        error = np.abs(made - whole)
        assert error.any()
        assert error.mean() < 0.5
        assert error.max() <= 16


def test_a_tile_sees_no_more_than_its_own_blur_asks_for(counted: list[tuple[int, int]], model: Path) -> None:
    """And what it gives is that of the whole photo."""
    photo = np.random.default_rng(0).integers(50, 200, (1000, 300, 3), np.uint8)
    disparity = np.full((1000, 300), 0, np.float32)
    disparity[:200] = 1  # the upper tiles alone hold wide blurs
    made = Refocuser(model, threads=1).render(photo, disparity, 0, 80)
    assert max(height for height, _ in counted[2:-1]) <= 256  # 234 and twice 4, not twice 39, on the grid
    whole = photo / 255 - disparity[..., None] * 80 / 1000
    np.testing.assert_allclose(made / 255, whole, atol=1 / 255)

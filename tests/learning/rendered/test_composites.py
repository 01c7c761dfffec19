"""Cut-outs stand before what they cover, in the photo, in the disparity and in the refocused target."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_scenes import write_masks, write_pairs
from tiny_training import assert_equal

from refocal.learning.rendered.composites import Composites
from refocal.learning.rendered.layers import Layers, margin_of, pinhole, refocus
from refocal.learning.rendered.source import Rendered
from refocal.scenes.scene import Scene

CROP, CPU = 48, torch.device("cpu")
MARGIN = margin_of(CROP)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    return [*write_masks(tmp_path / "m", {"a": "train"}), *write_pairs(tmp_path / "p", {"b": "train"})]


def drawn(scenes: list[Scene], seed: int, count: int = 4) -> Layers:
    return Composites(scenes, CPU).draw(np.random.default_rng(seed), count, CROP)


def test_a_thing_is_nearer_than_nearly_all_that_it_covers(scenes: list[Scene]) -> None:
    for seed in range(5):
        layers = drawn(scenes, seed)
        assert layers.ground is not None
        ground = layers.ground[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        alpha = layers.light[1:, :, 3:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        covered = (alpha >= 0.5).any(0)
        assert torch.equal(layers.disparity[~covered], ground[~covered])
        nearer = (layers.disparity > ground)[covered]
        assert float(nearer.float().mean()) > 0.85
        assert float(layers.disparity.max()) <= 1.2 + 1e-6


def test_the_photo_shows_the_thing_and_the_ground_around_it(scenes: list[Scene]) -> None:
    layers = drawn(scenes, 1)
    photo = pinhole(layers, CROP)
    alpha = layers.light[1:, :, 3:, MARGIN:-MARGIN, MARGIN:-MARGIN].amax(0)
    bare = (alpha == 0).expand_as(photo)
    ground = layers.light[0, :, :3, MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert 0.02 < float((alpha > 0.5).float().mean()) < 0.98
    assert torch.equal(photo[bare], ground[bare])
    assert float((photo - ground)[~bare].abs().mean()) > 0.02


class Ramp:
    """An RGB-D pair that is the brighter the nearer, from left to right."""

    def photo(self) -> np.ndarray:
        return np.tile(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (80, 1, 3))

    def disparity(self) -> np.ndarray:
        return np.tile(np.linspace(-1, 1, 96, dtype=np.float32), (80, 1))


def test_photo_and_disparity_are_mirrored_together(scenes: list[Scene]) -> None:
    composites = Composites(scenes, CPU)
    composites.grounds = [Ramp()]
    layers = composites.draw(np.random.default_rng(0), 8, CROP)  # half of them mirrored
    assert layers.ground is not None
    for photo, disparity in zip(layers.light[0, :, 0], layers.ground[:, 0], strict=True):
        assert float(torch.corrcoef(torch.stack([photo.flatten(), disparity.flatten()]))[0, 1]) > 0.8


def test_what_the_focus_lies_on_stays_sharp_and_the_rest_does_not(scenes: list[Scene]) -> None:
    """Focused on the thing its inside is as in the photo; focused far away it is not."""
    layers = drawn(scenes, 2, count=1)
    nearest = float(layers.surfaces[:, 0, 0].max())
    number = int(layers.surfaces[1:, 0, 0].argmax()) + 1
    alpha = layers.light[number, 0, 3, MARGIN:-MARGIN, MARGIN:-MARGIN]
    inside = -torch.nn.functional.max_pool2d(-alpha[None], 9, stride=1, padding=4)[0] > 0.999
    photo = pinhole(layers, CROP)
    errors = [
        float((refocus(layers, torch.tensor([[focus, 2.5]]), CROP, 5) - photo)[0, :, inside].abs().mean())
        for focus in (nearest, nearest - 2)
    ]
    assert bool(inside.any())
    assert errors[0] < 1e-3
    assert errors[1] > 0.01


def test_composites_are_the_share_of_what_is_rendered_that_is_asked_for(scenes: list[Scene]) -> None:
    textures = [torch.from_numpy(np.array(scenes[0].photo()).transpose(2, 0, 1).copy())]
    source = Rendered(textures, crop=CROP, seed=3, composites=Composites(scenes, CPU), share=0.5)
    one = source.batch(7, 4)
    assert len(one.photo) == 4
    assert bool(one.disparity.isfinite().all() and one.real.all() and one.front.isnan().all())
    assert_equal(tuple(source.batch(7, 4)), tuple(one))


def test_scenes_of_both_kinds_are_needed(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match=r"masks and training scenes of RGB-D pairs, got 1 and 0"):
        Composites(scenes[:1], CPU)

"""The rendered source: a function of seed and step, and what it shows is what optics has it show."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_scenes import write_pairs, write_tiny_scenes
from tiny_training import assert_equal

from refocal.learning.examples import RENDERED_APERTURE
from refocal.learning.rendered.layers import Layers, margin_of, pinhole, pupil, refocus
from refocal.learning.rendered.shapes import LIMIT, canvas, height
from refocal.learning.rendered.source import MOST, SIDE, Rendered, draw, nearest, textures_of
from refocal.scenes.scene import Scene
from refocal.shiftadd.shift_and_add import pupil_mask

CROP, CPU = 32, torch.device("cpu")
TEXTURES = [torch.from_numpy(np.random.default_rng(i).integers(0, 256, (3, 40, 50), np.uint8)) for i in range(3)]
MARGIN = margin_of(CROP)
SIZE = CROP + 2 * MARGIN


def two_planes(near: float = 1.0, far: float = -1.0) -> Layers:
    """Return a white half on the left before a striped background."""
    x, _ = canvas(CROP, MARGIN, CPU)
    stripes = ((torch.arange(SIZE) // 2) % 2).float().expand(SIZE, SIZE)
    whole, half = torch.ones_like(x), (x < 0).float()
    light = torch.stack([torch.stack([stripes] * 3 + [whole]), torch.stack([half] * 4)])[:, None]
    surfaces = torch.zeros(2, 1, 6)
    surfaces[0, 0, 0], surfaces[1, 0, 0] = far, near
    disparity = torch.where(half > 0, near, far)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return Layers(light, surfaces, disparity[None, None])


def sigma(focus: float, aperture: float, count: int = 1) -> torch.Tensor:
    return torch.tensor([[focus, aperture]]).expand(count, 2)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    """Not of what was drawn before, and it leaves torch's own random numbers alone."""
    source = Rendered(TEXTURES, crop=CROP, seed=3)
    state = torch.get_rng_state()
    one = source.batch(7, 2)
    assert torch.equal(torch.get_rng_state(), state)
    source.batch(8, 3)
    assert_equal(tuple(source.batch(7, 2)), tuple(one))
    for other in (source.batch(8, 2), Rendered(TEXTURES, crop=CROP, seed=4).batch(7, 2)):
        assert not torch.equal(other.photo, one.photo)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6))
def test_every_batch_holds_the_contract_of_examples(step: int) -> None:
    batch = Rendered(TEXTURES, crop=CROP, seed=0).batch(step, 2)
    assert batch.photo.shape == batch.target.shape == (2, 3, CROP, CROP)
    assert batch.disparity.shape == (2, 1, CROP, CROP)
    assert 0 <= min(batch.photo.min(), batch.target.min()) <= max(batch.photo.max(), batch.target.max()) <= 1
    assert batch.disparity.abs().max() <= LIMIT
    assert batch.sigma.shape == (2, 2)
    assert batch.sigma[:, 0].abs().max() <= 1
    assert CROP * RENDERED_APERTURE[0] <= batch.sigma[:, 1].min() <= batch.sigma[:, 1].max()
    assert batch.sigma[:, 1].max() <= CROP * RENDERED_APERTURE[1] * (1 + 1e-6)
    assert batch.real.all()


def test_the_range_of_a_scene_varies_and_never_leaves_that_of_the_focus_by_much() -> None:
    found = [draw(np.random.default_rng(i), TEXTURES, 2, CROP).disparity.flatten(1) for i in range(12)]
    far, near = torch.quantile(torch.cat(found), torch.tensor([0.01, 0.99]), dim=1)
    assert (far > -1.15).all()
    assert (far < -0.55).all()
    assert (near > 0.5).all()
    assert (near < 1.15).all()
    assert far.std() > 0.05 < near.std()


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.floats(-1, 1))
def test_with_aperture_0_every_focus_shows_the_photo(seed: int, focus: float) -> None:
    layers = draw(np.random.default_rng(seed), TEXTURES, 2, CROP)
    assert torch.allclose(refocus(layers, sigma(focus, 0, 2), CROP, 5), pinhole(layers, CROP), atol=1e-5)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6))
def test_what_is_shown_as_nearest_is_nearest(seed: int) -> None:
    """Of all that covers a pixel whole, the disparity is the largest: nearer covers farther, where planes cross too."""
    layers = draw(np.random.default_rng(seed), TEXTURES, 1, CROP)
    x, y = canvas(CROP, MARGIN, CPU)
    heights = height(layers.surfaces[:, 0], x, y)
    covers = layers.light[:, 0, 3]
    seen = nearest(covers[:, None], heights)[0]
    assert torch.equal(seen[MARGIN:-MARGIN, MARGIN:-MARGIN], layers.disparity[0, 0])
    nearest_of_all = torch.where(covers == 1, heights, -torch.inf).amax(0)
    no_edge = ((covers == 0) | (covers == 1)).all(0)
    assert no_edge.float().mean() > 0.05
    assert ((nearest_of_all - seen)[no_edge] < 1e-3).all()
    assert (layers.light[:, :, :3] <= layers.light[:, :, 3:]).all()  # no light from where nothing is


@pytest.mark.parametrize("level", [-1.0, 1.0])
def test_the_layer_in_focus_is_sharp_and_the_other_is_not(level: float) -> None:
    """The far stripes are sharp with the focus on them; focused near they are grey, and the near edge is clean."""
    layers, aperture = two_planes(), 6.0
    photo, made = pinhole(layers, CROP)[0, 0], refocus(layers, sigma(level, aperture), CROP, 9)[0, 0]
    far_away, near_inside = (slice(None), slice(CROP // 2 + 6, None)), (slice(None), slice(None, CROP // 2 - 6))
    if level < 0:
        assert torch.allclose(made[far_away], photo[far_away], atol=1e-5)
        assert 0.02 < made[0, CROP // 2 - 2] < 0.98  # the near edge is soft
    else:
        assert made[far_away].std() < 0.3 * photo[far_away].std()
        assert torch.allclose(made[:, : CROP // 2], torch.ones(()), atol=1e-5)  # up to its very edge
    assert torch.allclose(made[near_inside], torch.ones(()), atol=1e-5)


def test_what_lies_behind_an_edge_shows_through_it() -> None:
    """Focused far, the stripes go on sharply behind the blurred edge: no single view has them."""
    made = refocus(two_planes(), sigma(-1, 6), CROP, 9)[0, 0]
    behind = made[0, CROP // 2 - 3 : CROP // 2]
    stripes = pinhole(two_planes(), CROP)[0, 0, 0, CROP // 2 : CROP // 2 + 4]
    assert behind.min() < 0.9  # dark stripes of the background shine through where the photo is white
    assert stripes.min() == 0


def test_blur_has_the_diameter_that_the_aperture_says() -> None:
    """A near edge seen from far: the aperture is the blur of a whole range, so the edge takes that many pixels."""
    layers = two_planes()
    layers.light[0, :, :3] = 0
    for aperture in (4.0, 8.0):
        edge = refocus(layers, sigma(-1, aperture), CROP, 17)[0, 0, 0]
        soft = ((edge > 1e-3) & (edge < 1 - 1e-3)).sum()
        assert int(soft) == pytest.approx(aperture, abs=1.1)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.floats(-1, 1))
def test_refocusing_keeps_the_light(seed: int, focus: float) -> None:
    """Only what moves in or out over the edge, and what hides behind something, changes the mean of a picture."""
    layers = draw(np.random.default_rng(seed), TEXTURES, 2, CROP)
    made = refocus(layers, sigma(focus, 1.5, 2), CROP, 5).mean((2, 3))
    assert torch.allclose(made, pinhole(layers, CROP).mean((2, 3)), atol=0.02)


@pytest.mark.parametrize("views", [5, 7, 9])
def test_the_pupil_is_that_of_the_light_fields(views: int) -> None:
    wanted = (np.argwhere(pupil_mask((views, views))) - views // 2) / (views / 2)  # each a piece of it
    assert np.allclose(pupil(views), wanted)


def test_targets_are_left_out_where_nobody_looks_at_them() -> None:
    seen, unseen = (Rendered(TEXTURES, crop=CROP, seed=0, refocused=wanted).batch(0, 2) for wanted in (True, False))
    assert torch.equal(seen.photo, unseen.photo)
    assert torch.equal(seen.disparity, unseen.disparity)
    assert not torch.equal(seen.target, unseen.target)


def test_textures_are_the_photos_reduced_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of every kind of scene; of too many, the seed chooses."""
    assert (MOST, SIDE) == (400, 512)
    monkeypatch.setattr("refocal.learning.rendered.source.SIDE", 30)
    scenes: list[Scene] = [
        *write_tiny_scenes(tmp_path / "a", {"a": "train", "b": "train"}),
        *write_pairs(tmp_path / "b", {"c": "train"}),
    ]
    made = textures_of(scenes, seed=0, device=CPU)
    assert [tuple(picture.shape) for picture in made] == [(3, 30, 36)] * 3
    assert {picture.dtype for picture in made} == {torch.uint8}
    assert made[0].float().mean() == pytest.approx(float(scenes[0].photo().mean()), abs=1.5)
    monkeypatch.setattr("refocal.learning.rendered.source.MOST", 1)
    chosen = {int(textures_of(scenes, seed=seed, device=CPU)[0].sum()) for seed in range(10)}
    assert len(chosen) > 1
    with pytest.raises(ValueError, match="at least one photograph"):
        Rendered([], crop=CROP, seed=0)

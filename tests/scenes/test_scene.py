"""Prepared scenes: what is written is what is read, memory-mapped; damage is named in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refocal.scenes.arrays import Views
from refocal.scenes.scene import (
    DISPARITY,
    MANIFEST,
    PHOTO,
    SCENE,
    STACK,
    VIEWS,
    lens_aperture,
    read_scenes,
    write_manifest,
    write_scene,
)
from refocal.shiftadd.shift_and_add import pupil_mask

FOCUS = (-1.0, 0.0, 0.5)


def written(root: Path, name: str, **changes: Any) -> Path:
    random = np.random.default_rng(len(name))
    content = {
        "photo": random.integers(0, 256, (8, 9, 3), np.uint8),
        "stack": random.integers(0, 256, (3, 8, 9, 3), np.uint8),
        "disparity": random.uniform(-1, 1, (8, 9)),
        "focus": FOCUS,
        "trained": (True, False, True),
        "aperture": 7.5,
        "slope_range": (-0.4, 0.9),
        "grid": (7, 5),
    }
    return write_scene(root, name, **(content | changes))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b", "a", "c"):
        written(tmp_path, name, group="g" if name == "a" else None, source=f"{name}.png")
    write_manifest(tmp_path, {"refocal": "1"}, {"b": "test", "a": "train", "c": "validation"})
    return tmp_path


def test_what_is_read_is_what_was_written(root: Path, tmp_path: Path) -> None:
    scenes = read_scenes(root)
    assert [(s.name, s.split, s.group, s.source) for s in scenes] == [
        ("a", "train", "g", "a.png"),
        ("b", "test", "b", "b.png"),
        ("c", "validation", "c", "c.png"),
    ]
    random = np.random.default_rng(1)
    scene = scenes[0]
    np.testing.assert_array_equal(scene.photo(), random.integers(0, 256, (8, 9, 3), np.uint8))
    np.testing.assert_array_equal(scene.stack(), random.integers(0, 256, (3, 8, 9, 3), np.uint8))
    np.testing.assert_allclose(scene.disparity(), random.uniform(-1, 1, (8, 9)), atol=1e-3)
    assert (scene.focus, scene.trained) == (FOCUS, (True, False, True))
    assert (scene.aperture, scene.slope_range, scene.grid) == (7.5, (-0.4, 0.9), (7, 5))
    assert scene.border == 3  # ceil(0.9 * 3)


def test_pictures_are_memory_mapped(root: Path) -> None:
    for array in (read_scenes(root)[0].photo(), read_scenes(root)[0].stack(), read_scenes(root)[0].disparity()):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


@pytest.mark.parametrize("views", [5, 7, 9, 15])
def test_the_lens_aperture_is_that_of_a_disk_that_blurs_as_the_views_do(views: int) -> None:
    """The spread of the views' places, over the aperture, beside that of a full disk: diameter^2 / 16."""
    steps = np.argwhere(pupil_mask((views, views))) - (views - 1) / 2
    spread = np.var(steps[:, 0] / (views - 1))
    assert spread == pytest.approx(lens_aperture(1.0, (views, views)) ** 2 / 16, rel=0.08)
    assert spread > 1.1 / 16  # more than a disk as wide as the aperture has


def test_one_view_has_the_lens_s_own_aperture_and_a_scene_that_of_its_grid(root: Path) -> None:
    assert lens_aperture(3.0, (1, 1)) == 3
    assert read_scenes(root)[0].lens_aperture == pytest.approx(7.5 * 7 / 6)


def test_views_are_read_where_they_were_kept(tmp_path: Path) -> None:
    views = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), np.uint8)
    written(tmp_path, "a", views=Views(((3, 2), (0, 1)), iter(views), linear=False))
    written(tmp_path, "b")
    write_manifest(tmp_path, {}, {"a": "train", "b": "test"})
    kept, other = read_scenes(tmp_path)
    assert (kept.places, kept.linear, other.places) == (((3, 2), (0, 1)), False, ())
    np.testing.assert_array_equal(kept.views(), views)
    with pytest.raises(ValueError, match=r"^scene b has no views.npy: .* stack.keep_views = true \(stage `stack`\)$"):
        other.views()
    np.save(tmp_path / "a" / VIEWS, views[:1])
    with pytest.raises(ValueError, match=r"views\.npy must be uint8 2 x any x any x 3"):
        read_scenes(tmp_path)
    (tmp_path / "a" / VIEWS).unlink()
    with pytest.raises(ValueError, match=r"views\.npy is missing"):
        read_scenes(tmp_path)


def test_one_part_is_read_alone(root: Path) -> None:
    assert [scene.name for scene in read_scenes(root, "test")] == ["b"]
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        read_scenes(root, "tests")


def test_a_scene_replaces_one_of_its_name_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").mkdir()  # a killed run's
    (tmp_path / ".a.partial" / "rest").touch()
    written(tmp_path, "a")
    written(tmp_path, "a", aperture=3.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert json.loads((tmp_path / "a" / SCENE).read_text())["aperture"] == 3.0


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda root: (root / MANIFEST).unlink(), "no prepared scenes at .*stage `stack`"),
    "a manifest that is cut": (lambda root: (root / MANIFEST).write_text("{"), "manifest.json is damaged"),
    "a manifest without scenes": (
        lambda root: (root / MANIFEST).write_text('{"version": 1}'),
        "manifest.json is damaged",
    ),
    "another version": (lambda root: edit(root / MANIFEST, version=2), "version 1, got 2"),
    "an unknown split": (lambda root: edit(root / MANIFEST, scenes=[{"name": "a", "split": "x"}]), "got {'a': 'x'}"),
    "a scene that is gone": (lambda root: (root / "b" / SCENE).unlink(), "cannot read .*b/scene.json"),
    "levels that fall": (
        lambda root: edit(root / "b" / SCENE, focus=[1, 0, -1]),
        "b/scene.json: focus levels must rise",
    ),
    "levels out of range": (lambda root: edit(root / "b" / SCENE, focus=[-1, 0, 1.5]), "within \\[-1, 1\\]"),
    "marks that are too few": (lambda root: edit(root / "b" / SCENE, trained=[True]), "for each of 3 levels, got 1"),
    "a range upside down": (lambda root: edit(root / "b" / SCENE, slope_range=[1, -1]), "near > far"),
    "no aperture": (lambda root: edit(root / "b" / SCENE, aperture=None), "b/scene.json is damaged"),
    "no photo": (lambda root: (root / "b" / PHOTO).unlink(), "b/photo.npy is missing"),
    "a photo that is cut": (lambda root: (root / "b" / PHOTO).write_bytes(b"\x93NUMPY"), "b/photo.npy is damaged"),
    "a stack that is cut": (
        lambda root: (root / "b" / STACK).write_bytes((root / "b" / STACK).read_bytes()[:-1]),
        "b/stack.npy is damaged",
    ),
    "a slice too few": (
        lambda root: np.save(root / "b" / STACK, np.zeros((2, 8, 9, 3), np.uint8)),
        "stack.npy must be",
    ),
    "sizes that differ": (lambda root: np.save(root / "b" / DISPARITY, np.zeros((8, 8), np.float16)), "differ in size"),
    "disparity of another type": (lambda root: np.save(root / "b" / DISPARITY, np.zeros((8, 9))), "must be float16"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_in_one_line_when_scenes_are_listed(root: Path, damage: str) -> None:
    harm, message = DAMAGE[damage]
    harm(root)
    with pytest.raises(ValueError, match=message) as caught:
        read_scenes(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stack": np.zeros((2, 8, 9, 3), np.uint8)}, "stack.npy must be uint8"),
        ({"photo": np.zeros((8, 9, 3))}, "photo.npy must be uint8"),
        ({"disparity": np.full((8, 9), np.nan)}, "finite"),
        ({"disparity": np.zeros((9, 8))}, "disparity must be"),
        ({"focus": (0, 0, 1)}, "must rise"),
        ({"trained": (True,)}, "for each of 3"),
        ({"grid": (7,)}, "grid must be"),
        ({"views": Views(((7, 0),), [], linear=True)}, "views must say .* different places in a grid of"),
        ({"views": Views(((1, 0), (1, 0)), [], linear=True)}, "views must say .* different places in a grid of"),
        ({"views": Views((), [], linear=True)}, "views must say .* different places in a grid of"),
    ],
)
def test_a_scene_that_does_not_hold_together_is_not_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        written(tmp_path, "a", **changes)
    assert not list(tmp_path.iterdir())

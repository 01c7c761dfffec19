"""Prepared scenes on disk: what the stage `stack` writes, and training and evaluation read.

A root (`scenes/`) holds one directory a scene and `manifest.json`, written last: where it is, the root is complete. This
module is the sole owner of the file names. Arrays are plain .npy files, memory-mapped when read: a crop costs the bytes
of that crop.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
MANIFEST, RECORD = "manifest.json", "scene.json"
PHOTO, STACK, DISPARITY = "photo.npy", "stack.npy", "disparity.npy"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Scene:
    """One prepared scene: the all-in-focus photo, its focal stack and its disparity.

    Attributes
    ----------
    path : Path
        Directory of the scene.
    name, group, split, source : str
        Name; what it is related to (related scenes share a split); train, validation or test; where it came from.
    focus : tuple of float
        The K focus levels of the stack, rising, in [-1, 1]; -1 farthest, +1 nearest.
    trained : tuple of bool
        Which of the levels may be trained on; the others are kept for evaluation.
    aperture : float
        Diameter, in pixels, of the blur of a point one full focus range away from the focus.
    slope_range : tuple of float
        Slopes of focus -1 and +1, in px/view.
    grid : tuple of int
        Rows and columns of views that the stack was averaged from.
    """

    path: Path
    name: str
    group: str
    split: str
    source: str
    focus: tuple[float, ...]
    trained: tuple[bool, ...]
    aperture: float
    slope_range: tuple[float, float]
    grid: tuple[int, int]

    def photo(self) -> NDArray[np.uint8]:
        """Return the centre view, (H, W, 3), memory-mapped."""
        return _mapped(self.path / PHOTO, 3)

    def stack(self) -> NDArray[np.uint8]:
        """Return the focal stack, (K, H, W, 3), memory-mapped, in the order of `focus`."""
        stack = _mapped(self.path / STACK, 4)
        if len(stack) != len(self.focus):
            raise ValueError(f"{self.path / STACK} holds {len(stack)} slices, {RECORD} names {len(self.focus)} levels")
        return stack

    def disparity(self) -> NDArray[np.floating[Any]]:
        """Return the disparity of the photo in focus units, (H, W), memory-mapped; larger is nearer."""
        return _mapped(self.path / DISPARITY, 2)

    @property
    def border(self) -> int:
        """Pixels along the edge that not all views see at every slope: cropped before anything is scored."""
        radius = (max(self.grid) - 1) / 2
        return math.ceil(max(abs(slope) for slope in self.slope_range) * radius)


def _mapped(path: Path, dimensions: int) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is missing or damaged ({error}); run the stage stack again") from None
    if array.ndim != dimensions:
        raise ValueError(f"{path} has {array.ndim} dimensions, {dimensions} are expected; run the stage stack again")
    return array


def write_scene(
    root: Path,
    name: str,
    *,
    photo: NDArray[np.uint8],
    stack: NDArray[np.uint8],
    disparity: NDArray[np.floating[Any]],
    focus: Sequence[float],
    trained: Sequence[bool],
    aperture: float,
    slope_range: tuple[float, float],
    grid: tuple[int, int],
    group: str | None = None,
    split: str = "train",
    source: str = "",
) -> Path:
    """Write a scene as a whole: into a directory beside, renamed when everything is in it.

    Parameters
    ----------
    photo, stack, disparity : ndarray
        (H, W, 3) uint8, (K, H, W, 3) uint8, (H, W) in focus units, kept as float16.

    Raises
    ------
    ValueError
        Shapes that do not go together, levels that do not rise, an unknown split.
    """
    if stack.shape != (len(focus), *photo.shape) or disparity.shape != photo.shape[:2] or len(trained) != len(focus):
        raise ValueError(
            f"scene {name}: photo {photo.shape}, stack {stack.shape}, disparity {disparity.shape}, {len(focus)} levels "
            f"and {len(trained)} marks do not go together"
        )
    if any(b <= a for a, b in zip(focus, focus[1:], strict=False)) or split not in SPLITS:
        raise ValueError(f"scene {name}: focus must rise and split be one of {SPLITS}, got {tuple(focus)}, {split!r}")
    final, partial = root / name, root / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    np.save(partial / PHOTO, np.ascontiguousarray(photo))
    np.save(partial / STACK, np.ascontiguousarray(stack))
    np.save(partial / DISPARITY, np.asarray(disparity, dtype=np.float16))
    record = {
        "name": name,
        "group": group or name,
        "split": split,
        "source": source,
        "focus": [float(f) for f in focus],
        "trained": [bool(t) for t in trained],
        "aperture": float(aperture),
        "slope_range": [float(s) for s in slope_range],
        "grid": [int(n) for n in grid],
    }
    (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)
    return final


def read_scene(path: Path) -> Scene:
    """Read the record of one scene; its arrays are opened when asked for.

    Raises
    ------
    ValueError
        Where the record is missing or damaged.
    """
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        tuples = {key: tuple(record.pop(key)) for key in ("focus", "trained", "slope_range", "grid")}
        scene = Scene(path=path, **record, **tuples)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / RECORD} is missing or damaged ({error!r}); run the stage stack again") from None
    if scene.split not in SPLITS or len(scene.focus) != len(scene.trained):
        raise ValueError(f"{path / RECORD} is damaged (split or levels); run the stage stack again")
    return scene


def write_manifest(root: Path, about: Mapping[str, Any], splits: Mapping[str, str]) -> None:
    """Seal a root: set the split in every scene's record, then write the manifest, which marks the root complete.

    Parameters
    ----------
    about : mapping
        Provenance: what the scenes were made from and how.
    splits : mapping
        Split of each scene, by name.
    """
    for name, split in splits.items():
        path = root / name / RECORD
        record = json.loads(path.read_text(encoding="utf-8")) | {"split": split}
        _write(path, record)
    _write(root / MANIFEST, {"version": VERSION, **about, "scenes": dict(sorted(splits.items()))})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read_manifest(root: str | Path) -> dict[str, Any]:
    """Read the manifest of prepared scenes.

    Raises
    ------
    ValueError
        Where there is none, or one of another version.
    """
    path = Path(root) / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{root} holds no prepared scenes ({MANIFEST} is missing); run the stage stack") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run the stage stack again") from None
    if manifest.get("version") != VERSION:
        raise ValueError(f"{path} has version {manifest.get('version')}, {VERSION} is read; run the stage stack again")
    return manifest


def read_scenes(root: str | Path, split: str | None = None) -> list[Scene]:
    """Return the prepared scenes of a root, or of one split of it, by name.

    Raises
    ------
    ValueError
        Where there is no manifest, a record is damaged, or the split is unknown.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    names = sorted(read_manifest(root)["scenes"])
    scenes = [read_scene(Path(root) / name) for name in names]
    return [scene for scene in scenes if split in (None, scene.split)]

"""`Scene`: prepared scenes on disk. Only this module knows their file names.

    scenes/
      manifest.json     version, provenance, and for each scene its name, group and part of the split
      NAME/             one directory a scene
        scene.json      focus levels, aperture, slope range, grid, source
        photo.npy       uint8 (H, W, 3): the centre view, sRGB
        stack.npy       uint8 (K, H, W, 3): focused at each of the K levels, rising
        disparity.npy   float16 (H, W): of the photo, in focus units (-1 farthest, +1 nearest), NaN where unknown
        views.npy       uint8 (P, H, W, 3), where they were kept: the P views that the stack is the mean of, sRGB
        mask.npy        uint8 (H, W), of the kind "mask": 1 where the thing in front is, 0 elsewhere

Arrays are opened memory-mapped, so that crops of thousands of scenes cost no memory. A scene is written into a hidden
directory beside its place and renamed: one that is there is whole.
"""

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refocal.scenes.arrays import Views, mapped, write_views
from refocal.scenes.metadata import KINDS, VERSION, Kind, as_json, check_metadata, read_metadata, read_json
from refocal.shiftadd.slopes import lens_aperture

MANIFEST, SCENE = "manifest.json", "scene.json"
PHOTO, STACK, DISPARITY, VIEWS, MASK = "photo.npy", "stack.npy", "disparity.npy", "views.npy", "mask.npy"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Scene:
    """A prepared scene; its arrays stay on disk until they are asked for.

    Attributes
    ----------
    path, name, source
        Its directory; that directory's name; where it was made from, relative to the folder of the data.
    group, split
        What it shares with other scenes (a place, a texture), and its part: groups are never divided between parts.
    focus, trained
        The K focus levels of the stack, rising in [-1, 1], and which of them are for training.
    aperture
        Diameter, in pixels, of the blur of a point one full focus range away from the focus; of a light field from the
        middle of the first view to that of the last (`slopes.aperture_of`).
    slope_range
        (far, near) in px/view: the slopes of focus -1 and +1.
    grid
        (U, V): how many views it was made of.
    kind
        What it was made of. "rgbd", a photo and its disparity, and "mask", a photo and the mask of what stands in
        front, have no focal stack: K is 0. The disparity of a "mask" is unknown everywhere.
    places, linear
        P of (u, v), none where no views were kept, and whether the stack is their mean in linear light.
    """

    path: Path
    name: str
    group: str
    split: Split
    focus: tuple[float, ...]
    trained: tuple[bool, ...]
    aperture: float
    slope_range: tuple[float, float]
    grid: tuple[int, int]
    source: str
    kind: Kind = "light_field"
    places: tuple[tuple[int, int], ...] = ()
    linear: bool = True

    def photo(self) -> NDArray[np.uint8]:
        """Return the all-in-focus photo, uint8 (H, W, 3) sRGB, memory-mapped."""
        return mapped(self.path / PHOTO, "uint8", (None, None, 3))

    def stack(self) -> NDArray[np.uint8]:
        """Return the focal stack, uint8 (K, H, W, 3) sRGB, memory-mapped; slice k is focused at `focus[k]`."""
        return mapped(self.path / STACK, "uint8", (len(self.focus), None, None, 3))

    def disparity(self) -> NDArray[np.float16]:
        """Return the photo's disparity in focus units, float16 (H, W), memory-mapped; larger = nearer."""
        return mapped(self.path / DISPARITY, "float16", (None, None))

    def mask(self) -> NDArray[np.uint8]:
        """Return the mask of what stands in front, of the kind "mask", uint8 (H, W), memory-mapped."""
        return mapped(self.path / MASK, "uint8", (None, None))

    def views(self) -> NDArray[np.uint8]:
        """Return the views that the stack is the mean of, uint8 (P, H, W, 3) sRGB, memory-mapped, p at `places[p]`.

        Raises
        ------
        ValueError
            One line, where none were kept.
        """
        if not self.places:
            raise ValueError(
                f"scene {self.name} has no {VIEWS}: prepare them again with stack.keep_views = true (stage `stack`)"
            )
        return mapped(self.path / VIEWS, "uint8", (len(self.places), None, None, 3))

    @property
    def lens_aperture(self) -> float:
        """The aperture, in pixels, of the lens that the views stand for: what generators and blurs get."""
        return lens_aperture(self.aperture, self.grid)

    @property
    def border(self) -> int:
        """Pixels at each edge where some slice misses views: ceil(max |slope| x radius of the grid)."""
        return math.ceil(max(abs(slope) for slope in self.slope_range) * (max(self.grid) - 1) / 2)


def write_scene(
    root: str | Path,
    name: str,
    *,
    photo: NDArray[np.uint8],
    stack: NDArray[np.uint8],
    disparity: NDArray[Any],
    focus: Iterable[float],
    trained: Iterable[bool],
    aperture: float,
    slope_range: tuple[float, float],
    grid: tuple[int, int],
    group: str | None = None,
    source: str = "",
    kind: Kind = "light_field",
    views: Views | None = None,
    mask: NDArray[np.bool_] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write one scene, whole or not at all; see `Scene`. No `group`: one of its own. `about`: further provenance.

    Raises
    ------
    ValueError
        One line: shapes that don't belong together, levels that don't rise, infinite disparity.
    """
    levels, marks = tuple(float(level) for level in focus), tuple(bool(mark) for mark in trained)
    metadata = {
        "version": VERSION,
        "group": name if group is None else group,
        "focus": levels,
        "trained": marks,
        "aperture": float(aperture),
        "slope_range": tuple(float(slope) for slope in slope_range),
        "grid": tuple(int(views) for views in grid),
        "source": source,
        "kind": kind,
        "about": dict(about or {}),
    }
    if views is not None:
        metadata["views"] = {"places": views.places, "linear": views.linear}
    check_metadata(metadata, f"scene {name}")
    for file, pixels, shape in ((PHOTO, photo, (*photo.shape[:2], 3)), (STACK, stack, (len(levels), *photo.shape))):
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise ValueError(f"scene {name}: {file} must be uint8 {shape}, got {pixels.dtype} {pixels.shape}")
    if disparity.shape != photo.shape[:2] or np.isinf(disparity).any() or (mask is None and np.isnan(disparity).all()):
        raise ValueError(f"scene {name}: disparity must be finite or NaN, {photo.shape[:2]}, got {disparity.shape}")
    target = Path(root) / name
    beside = target.with_name(f".{name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # left by a killed run
    beside.mkdir(parents=True)
    np.save(beside / PHOTO, np.ascontiguousarray(photo))
    np.save(beside / STACK, np.ascontiguousarray(stack))
    np.save(beside / DISPARITY, disparity.astype(np.float16))
    if views is not None:
        write_views(beside / VIEWS, views, photo.shape)
    if mask is not None:
        np.save(beside / MASK, mask.astype(np.uint8))
    (beside / SCENE).write_text(as_json(metadata), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    return beside.rename(target)


def write_manifest(root: str | Path, about: Mapping[str, Any], splits: Mapping[str, str]) -> Path:
    """Write the manifest over scenes that lie in `root`: provenance, and each scene's group and part."""
    scenes = []
    for name in sorted(splits):
        metadata = read_metadata(Path(root) / name / SCENE)
        scenes.append({"name": name, "group": metadata["group"], "split": splits[name], "source": metadata["source"]})
    beside = Path(root) / f".{MANIFEST}.partial"
    beside.write_text(as_json({"version": VERSION, **about, "scenes": scenes}), encoding="utf-8")
    return beside.replace(Path(root) / MANIFEST)


def read_manifest(root: str | Path) -> dict[str, Any]:
    """Return the manifest of prepared scenes: version, provenance, and the list `scenes`.

    Raises
    ------
    ValueError
        One line: no manifest there, damaged, or of another version.
    """
    path = Path(root) / MANIFEST
    if not path.is_file():
        raise ValueError(f"no prepared scenes at {root}: {MANIFEST} is missing; the stage `stack` makes them")
    content = read_json(path)
    try:
        unknown = {str(scene["name"]): scene["split"] for scene in content["scenes"] if scene["split"] not in SPLITS}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__} {error}") from None
    if unknown:
        raise ValueError(f"{path}: a split must be one of {', '.join(SPLITS)}, got {unknown}")
    return content


def read_scenes(root: str | Path, split: str | None = None) -> list[Scene]:
    """Return the prepared scenes of one part, or all, sorted by name; every file is checked, no pixel is read.

    Raises
    ------
    ValueError
        One line that names what is missing or damaged, or a part that is not known.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)} or None, got {split!r}")
    entries = [(e["name"], e["split"]) for e in read_manifest(root)["scenes"] if split in {None, e["split"]}]
    return [_read_scene(Path(root) / name, part) for name, part in sorted(entries)]


def _read_scene(path: Path, split: Split) -> Scene:
    metadata = read_metadata(path / SCENE)
    known = {key: metadata[key] for key in ("group", "aperture", "source")} | {"kind": metadata.get("kind", KINDS[0])}
    known |= {key: tuple(metadata[key]) for key in ("focus", "trained", "slope_range", "grid")}
    kept = metadata.get("views", {"places": (), "linear": True})
    known |= {"places": tuple((int(u), int(v)) for u, v in kept["places"]), "linear": kept["linear"]}
    scene = Scene(path=path, name=path.name, split=split, **known)
    sizes = {scene.photo().shape[:2], scene.stack().shape[1:3], scene.disparity().shape}
    sizes |= {scene.views().shape[1:3]} if scene.places else set()
    sizes |= {scene.mask().shape} if scene.kind == "mask" else set()
    if len(sizes) > 1:
        raise ValueError(f"{path} is damaged: its {PHOTO}, {STACK}, {DISPARITY}, … differ in size: {sorted(sizes)}")
    return scene

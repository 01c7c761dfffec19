"""Prepare one light field, focal stack, RGB-D pair or masked photo as a scene."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refocal.depth.from_focus.pose import warped
from refocal.scenes.arrays import Views
from refocal.depth.from_focus.bracket import fit_aperture, fuse_bracket
from refocal.depth.from_views.plane_sweep import find_disparity, find_range, plane_sweep
from refocal.lightfields.lightfield import OPTIONS_FILE, LightField, read_options
from refocal.scenes.photo_pairs import prepare_mask, prepare_pair
from refocal.scenes.scene import write_scene
from refocal.shiftadd.shift_and_add import focal_stack, pupil_mask
from refocal.shiftadd.slopes import FocusRange, aperture_of
from refocal.scenes.sources import Source
from refocal.depth.from_views.matching_cost import planes_between
from refocal.images.image import as_photo, read_image, reduced


@dataclass(frozen=True)
class Recipe:
    """How light fields are prepared, all alike.

    Attributes
    ----------
    levels, levels_between
        Focus levels in [-1, 1]: trained on, and kept for evaluation.
    slope_range
        (far, near) in px/view where a light field's own `lightfield.toml` has none; None: by plane sweep.
    pupil, linear
        As in `refocal.shiftadd.shift_and_add.focal_stack`.
    stack_side
        Short side, in pixels, that the slices of focal stacks are reduced to.
    keep_views
        Whether the views of light fields are kept with their scenes, for `train.on_the_fly`.
    """

    levels: tuple[float, ...]
    levels_between: tuple[float, ...] = ()
    slope_range: tuple[float, float] | None = None
    pupil: Literal["circular", "square"] = "circular"
    linear: bool = True
    stack_side: int = 512
    keep_views: bool = False

    def __post_init__(self) -> None:
        both = self.levels + self.levels_between
        if not self.levels or len(set(both)) < len(both):
            raise ValueError(
                f"levels and levels_between must be different numbers, one at least trained on, got {both}"
            )


def prepare_scene(source: Source, root: Path, recipe: Recipe) -> Path:
    """Prepare one scene and write it into `root`, whole or not at all.

    Raises
    ------
    ValueError
        One line: what is wrong with the files.
    """
    if source.kind == "light_field":
        return prepare_light_field(source, root, recipe)
    if source.kind == "focal_stack":
        return prepare_stack(source, root, recipe)
    image, other = source.files
    prepare = prepare_mask if source.kind == "mask" else prepare_pair
    origin = f"{source.path.name}/{image.stem}"
    return prepare(image, other, root, source.name, group=source.group or source.name, source=origin)


def prepare_stack(source: Source, root: Path, recipe: Recipe) -> Path:
    """Prepare a focal stack: the photo is fused from it, the disparity is where each pixel is sharp.

    Where there are five slices or more, every second inner one is kept for evaluation and never trained on.
    """
    slices = [reduced(read_image(file).pixels, recipe.stack_side) for file in source.files]
    bracket = fuse_bracket(slices)
    aperture = fit_aperture(bracket, slices)
    between = set(range(1, len(slices) - 1, 2)) if len(slices) >= 5 else set()
    order = range(len(slices) - 1, -1, -1)  # far to near: levels rise
    options = read_options(source.path)
    return write_scene(
        root,
        source.name,
        photo=_eight_bit(bracket.photo),
        stack=np.stack([_eight_bit(warped(as_photo(slices[k]), bracket.poses[k])[0]) for k in order]),
        disparity=bracket.disparity,
        focus=[bracket.focus[k] for k in order],
        trained=[k not in between for k in order],
        aperture=max(aperture, 0.1),
        slope_range=(-1.0, 1.0),
        grid=(1, 1),
        group=options.get("group"),
        source=f"{source.path.name}/{source.files[0].stem}",
        kind="focal_stack",
        about={"sha256": source_digest(source), "options": options},
    )


def prepare_light_field(source: Source, root: Path, recipe: Recipe) -> Path:
    """Prepare a light field.

    The slope range comes from its `lightfield.toml`, else from the recipe, else from a plane sweep; the disparity from
    the file that the toml names, else from a plane sweep over the range.
    """
    path = source.path
    options = read_options(path)
    field = LightField.open(path).odd()
    if min(field.grid) == 1:
        raise ValueError(
            f"{path} is a single row of views ({field.grid[0]} x {field.grid[1]}), good for focal stacks; training"
            " wants rows and columns, for the blur of a lens has both"
        )
    if not field.mask[field.grid[0] // 2, field.grid[1] // 2]:
        raise ValueError(f"{path}: the view in the middle is black or vignetted; give crop_grid in lightfield.toml")
    focus_range, origin, disparity = _range_and_disparity(path, field, options, recipe)
    levels = sorted(recipe.levels + recipe.levels_between)
    slopes = [float(focus_range.slope(level)) for level in levels]
    stack = focal_stack(field.views, slopes, mask=field.mask, pupil=recipe.pupil, linear=recipe.linear)
    return write_scene(
        root,
        source.name,
        photo=_eight_bit(field.centre),
        stack=_eight_bit(stack),
        disparity=focus_range.focus(disparity),
        focus=levels,
        trained=[level in recipe.levels for level in levels],
        aperture=aperture_of(field.grid, focus_range),
        slope_range=(focus_range.far, focus_range.near),
        grid=field.grid,
        group=options.get("group"),
        source=path.name,
        views=_averaged_views(field, recipe) if recipe.keep_views else None,
        about={"sha256": source_digest(source), "options": options, "slope_range_from": origin},
    )


def _averaged_views(field: LightField, recipe: Recipe) -> Views:
    """Return the views that the focal stack is the mean of."""
    chosen = np.argwhere(field.mask & pupil_mask(field.grid, recipe.pupil)).tolist()
    places = tuple((int(u), int(v)) for u, v in chosen)
    return Views(places, (_eight_bit(field.views[place]) for place in places), recipe.linear)


def source_digest(source: Source) -> str:
    """Return the SHA-256 over the names and contents of a scene's files."""
    total = hashlib.sha256()
    for file in source_files(source):
        with file.open("rb") as content:
            total.update(f"{file.relative_to(source.path.parent).as_posix()}\0".encode())
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


def source_files(source: Source) -> list[Path]:
    """Return the files that a scene is made from, sorted, behind links too; hidden ones don't count."""
    if source.files:
        origin = source.path / OPTIONS_FILE
        return sorted([*source.files, *([origin] if origin.is_file() else [])])
    path = source.path
    walked = os.walk(path, followlinks=True)
    found = [path] if path.is_file() else [Path(folder, name) for folder, _, names in walked for name in names]
    return sorted(file for file in found if not file.name.startswith("."))


def _range_and_disparity(
    path: Path, field: LightField, options: dict[str, Any], recipe: Recipe
) -> tuple[FocusRange, str, NDArray[Any]]:
    """Return the focus range and what gave it, and the disparity of the centre view in px/view."""
    given, origin = options.get("slope_range"), "lightfield.toml"
    if given is None:
        given, origin = recipe.slope_range, "params"
    known = _given_disparity(path / options["disparity"], field) if "disparity" in options else None
    if given is None:
        if known is not None:
            return find_range(field.views, mask=field.mask), "plane sweep", known
        focus_range, disparity, _ = find_disparity(field.views, mask=field.mask)
        return focus_range, "plane sweep", disparity
    try:
        far, near = (float(slope) for slope in given)
        focus_range = FocusRange(far, near)
    except (TypeError, ValueError):
        raise ValueError(f"{path}: slope_range must be [far, near] with far < near, got {list(given)}") from None
    if known is None:
        slopes = planes_between(focus_range.far, focus_range.near, field.grid)
        known = plane_sweep(field.views, slopes, mask=field.mask)[0]
    return focus_range, origin, known


def _given_disparity(file: Path, field: LightField) -> NDArray[np.float32]:
    try:
        disparity = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"cannot read the disparity {file}: {' '.join(str(error).split())}") from None
    if disparity.shape != field.size or disparity.dtype.kind != "f" or not np.isfinite(disparity).all():
        raise ValueError(
            f"{file} must be finite floats {field.size}, as the views are, got {disparity.dtype} {disparity.shape}"
        )
    return np.asarray(disparity, np.float32)


def _eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    return np.asarray(np.rint(255 * np.clip(pixels, 0, 1)), np.uint8)

"""Contact sheets: a grid of images with titles over the columns and beside the rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from refocal.evaluation.baselines import Method, crop
from refocal.evaluation.metrics import Pixels
from refocal.evaluation.report import rank
from refocal.evaluation.scores import SceneScores
from refocal.images.image import write_image
from refocal.scenes.scene import Scene

CELL = 320  # long side of a picture on the sheet, at most
GAP = 6
MARGIN = 104  # for the names of the rows
TITLE, LABEL = 18, 15  # font sizes
ERROR_FACTOR = 4
ROWS = 6
INK, PAPER = (20, 20, 20), (255, 255, 255)


def write_sheets(
    folder: Path,
    split: str,
    scenes: Mapping[str, Scene],
    scores: Sequence[SceneScores],
    methods: Mapping[str, Method],
    analyse: Callable[[Pixels], NDArray[Any]] | None = None,
) -> None:
    """Write the sheets of the scenes with the best, the median and the worst ssim: {split}_{place}.png in `folder`.

    `methods` are those shown, "refocal" among them; `analyse` finds the disparity in a photo, where a model does.
    """
    for place, found in rank(scores, "refocal", "ssim").items():
        own = found.seen("refocal")
        figures = ", ".join(f"{name} {own[name]:.3f}" for name in ("psnr", "ssim", "defocus_r"))
        title = f"{split}, {place} in ssim: {found.scene} (refocal: {figures})"
        scene = scenes[found.scene]
        disparity = analyse(scene.photo()) if analyse else None
        sheet = scene_sheet(scene, methods, ours="refocal", title=title, disparity=disparity)
        write_image(folder / f"{split}_{place}.png", sheet)


def scene_sheet(
    scene: Scene, methods: Mapping[str, Method], *, ours: str, title: str, disparity: NDArray[Any] | None = None
) -> Pixels:
    """Show truth, what each method makes, and the error of `ours`, at up to six focus levels, nearest on top.

    The first column holds the photo and below it, as far as there are rows, the `disparity` that was found in it and
    the true one, nearer brighter. Pictures are cropped as they are scored. The error is the absolute difference of ours
    and truth times a factor that is named over its column.
    """
    shown = np.unique(np.linspace(0, len(scene.focus) - 1, min(ROWS, len(scene.focus))).round().astype(int))[::-1]
    maps = {"found": disparity, "known": scene.disparity()}
    given = {name: crop(disparity_picture(found), scene.border) for name, found in maps.items() if found is not None}
    first = [crop(scene.photo(), scene.border), *given.values()][: len(shown)]
    blank = np.full_like(first[0], PAPER[0])
    head = f"photo, disparity {', '.join(given)}"
    columns: dict[str, list[Pixels]] = {head: first + [blank] * (len(shown) - len(first)), "truth": []}
    columns |= {name: [] for name in methods}
    labels, errors = [], []
    for index in shown:
        focus = scene.focus[index]
        truth = crop(scene.stack()[index], scene.border)
        made = {name: crop(method(scene, focus), scene.border) for name, method in methods.items()}
        for name, picture in {"truth": truth, **made}.items():
            columns[name].append(picture)
        errors.append(error_picture(made[ours], truth))
        labels.append(f"focus {focus:+g}" + ("" if scene.trained[index] else "\n(unseen)"))
    columns[f"{ours}: error x{ERROR_FACTOR}"] = errors
    return contact_sheet(columns, labels, title=title)


def disparity_picture(disparity: NDArray[Any]) -> Pixels:
    """Return a disparity (H, W) in [-1, 1] as grey: the farthest and the unknown black, the nearest white."""
    grey = np.nan_to_num((np.asarray(disparity, np.float32) + 1) / 2).clip(0, 1) * 255
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=2)


def error_picture(image: Pixels, truth: Pixels) -> Pixels:
    """Return the absolute difference of two pictures, times ERROR_FACTOR, cut at white."""
    difference = np.abs(image.astype(np.int16) - truth.astype(np.int16)) * ERROR_FACTOR
    return np.asarray(np.minimum(difference, 255), dtype=np.uint8)


def contact_sheet(columns: Mapping[str, Sequence[Pixels]], rows: Sequence[str], *, title: str) -> Pixels:
    """Lay out pictures of one size, (H, W, 3) 8 bit, under a title; larger ones than CELL are reduced.

    Raises
    ------
    ValueError
        Where a column has not one picture a row.
    """
    for name, pictures in columns.items():
        if len(pictures) != len(rows):
            raise ValueError(f"columns: {name} has {len(pictures)} pictures for {len(rows)} rows")
    height, width = next(iter(columns.values()))[0].shape[:2]
    scale = min(1.0, CELL / max(height, width))
    cell = (round(width * scale), round(height * scale))
    top = TITLE + LABEL + 4 * GAP
    size = (MARGIN + len(columns) * (cell[0] + GAP), top + len(rows) * (cell[1] + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, INK, ImageFont.load_default(TITLE))
    font = ImageFont.load_default(LABEL)
    for row, label in enumerate(rows):
        draw.multiline_text((GAP, top + row * (cell[1] + GAP) + GAP), label, INK, font)
    for column, (name, pictures) in enumerate(columns.items()):
        left = MARGIN + column * (cell[0] + GAP)
        draw.text((left, TITLE + 2 * GAP), name, INK, font)
        for row, picture in enumerate(pictures):
            sheet.paste(
                Image.fromarray(picture).resize(cell, Image.Resampling.LANCZOS), (left, top + row * (cell[1] + GAP))
            )
    return np.asarray(sheet)

"""Contact sheets: a grid of pictures with names over the columns and beside the rows."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from refocal.judging.baselines import Method, crop
from refocal.judging.metrics import Pixels
from refocal.optics.scenes import Scene

CELL = 320  # long side of a picture on the sheet, at most
GAP = 6
MARGIN = 104  # for the names of the rows
TITLE, LABEL = 18, 15  # font sizes
ERROR_FACTOR = 4
ROWS = 6
INK, PAPER = (20, 20, 20), (255, 255, 255)


def scene_sheet(scene: Scene, methods: Mapping[str, Method], *, ours: str, title: str) -> Pixels:
    """Show photo, truth, what each method makes, and the error of `ours`, at up to six focus levels, nearest on top.

    Pictures are cropped as they are scored. The error is the absolute difference of ours and truth times a factor that
    is named over its column.
    """
    shown = np.unique(np.linspace(0, len(scene.focus) - 1, min(ROWS, len(scene.focus))).round().astype(int))[::-1]
    columns: dict[str, list[Pixels]] = {"photo": [], "truth": [], **{name: [] for name in methods}}
    labels, errors = [], []
    for index in shown:
        focus = scene.focus[index]
        truth = crop(scene.stack()[index], scene.border)
        made = {name: crop(method(scene, focus), scene.border) for name, method in methods.items()}
        pictures = {"photo": crop(scene.photo(), scene.border), "truth": truth, **made}
        for name, picture in pictures.items():
            columns[name].append(picture)
        errors.append(error_picture(made[ours], truth))
        labels.append(f"focus {focus:+g}" + ("" if scene.trained[index] else "\n(unseen)"))
    columns[f"{ours}: error x{ERROR_FACTOR}"] = errors
    return contact_sheet(columns, labels, title=title)


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

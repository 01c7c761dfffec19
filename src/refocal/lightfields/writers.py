"""Light fields to files that light field tools read: a folder of views, or a mosaic of interleaved ones (ESLF).

Views are stored as Lytro's decoders do: what is near moves against the view's index. A `lightfield.toml` says so.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.images.image import write_image
from refocal.lightfields.lightfield import OPTIONS_FILE


def write_light_field(
    folder: Path,
    views: Iterable[NDArray[Any]],
    grid: tuple[int, int],
    *,
    slopes: tuple[float, float],
    mosaic: str = "",
) -> None:
    """Write a light field into a folder.

    Parameters
    ----------
    folder : Path
        It is there.
    views : iterable of ndarray
        U V pictures in canonical order, row by row; with transparency or without.
    grid : (int, int)
        U and V.
    slopes : (float, float)
        Of the farthest and the nearest, in px/view.
    mosaic : str
        Write one picture, this name and _eslf.png, in which pixel (r, c) of view (u, v) stands at (r U + u, c V + v);
        by default a file a view, view_uu_vv.png.
    """
    rows, columns = grid
    whole: NDArray[Any] | None = None
    for number, view in enumerate(views):
        u, v = rows - 1 - number // columns, columns - 1 - number % columns  # near is stored as negative
        colour = view[..., :3] if view.ndim == 3 else view
        if not mosaic:
            write_image(folder / f"view_{u:02d}_{v:02d}.png", colour)
            continue
        if whole is None:
            height, width = colour.shape[:2]
            whole = np.empty((height * rows, width * columns, *colour.shape[2:]), colour.dtype)
        whole[u::rows, v::columns] = colour
    options = [f"grid = [{rows}, {columns}]", 'near = "negative"', f"slope_range = [{slopes[0]:.6g}, {slopes[1]:.6g}]"]
    if whole is not None:
        write_image(folder / f"{mosaic}_eslf.png", whole)
        options.append(f'lightfield = "{mosaic}_eslf.png"')
    (folder / OPTIONS_FILE).write_text("\n".join(options) + "\n", encoding="utf-8")

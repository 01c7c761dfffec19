"""Frames of a sweep, and views of a light field, as one file in memory."""

import io
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refocal.images.animation import LONGEST, write_animation
from refocal.images.encoding import encode
from refocal.lightfields.writers import write_light_field
from refocal.serving.errors import RequestError

Film = Literal["webp", "gif", "mp4", "zip"]
FILMS = {"webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4", "zip": "application/zip"}


Views = Literal["zip", "png", "webp", "gif", "mp4"]
VIEWS = {"zip": "application/zip", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4"}


def film(frames: list[NDArray[np.uint8]], name: Film, fps: float) -> bytes:
    """Encode frames, uint8 (H, W, 3), as an animation, a film, or a ZIP file of JPEG files.

    Raises
    ------
    RequestError
        422: frames too small or too large for the format.
    """
    most = LONGEST.get(f".{name}", 65500)
    longest, shortest = max(frames[0].shape[:2]), min(frames[0].shape[:2])
    if longest > most or (name == "mp4" and shortest < 2):
        line = f"a film of the format {name} must be at most {most} px a side, these are {shortest} x {longest}"
        raise RequestError(422, line, "format")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sweep.{name}"
        if name != "zip":
            try:
                write_animation(path, frames, fps)
            except ValueError as error:
                raise RequestError(422, str(error).replace(str(path), f"a {name}"), "format") from None
            return path.read_bytes()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # JPEG does not shrink
            for k, frame in enumerate(frames):
                archive.writestr(f"{k:03d}.jpg", encode(frame, Path("frame.jpg"), quality=92))
        return path.read_bytes()


def light_field(
    views: Iterable[NDArray[np.uint8]], grid: tuple[int, int], slopes: tuple[float, float], *, mosaic: bool
) -> bytes:
    """Return the views of a light field, row by row, as one mosaic picture (PNG) or a ZIP file of the folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_light_field(folder, views, grid, slopes=slopes, mosaic="photo" if mosaic else "")
        if mosaic:
            return (folder / "photo_eslf.png").read_bytes()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNG does not shrink
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)
        return buffer.getvalue()

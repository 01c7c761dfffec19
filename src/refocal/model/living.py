"""A living picture: one HTML file that refocuses where it is clicked, with nothing loaded from elsewhere.

Inside are frames of a focus sweep, far to near, and a small disparity map that says which of them a click means.
"""

import base64
import html
import io
import json
from importlib import resources
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.depth.disparity import to_focus
from refocal.depth.upsampling import enlarge
from refocal.images.encoding import LONGEST
from refocal.images.image import Pixels, checked_pixels, reduced
from refocal.model.deblurring import When
from refocal.model.refocuser import Refocuser

SIDE = 1280  # px: long side of the frames at most; larger ones would weigh more than a page should
MAP_SIDE = 320  # px: long side of the disparity inside
START = 0.5  # of the way from far to near, where a model finds no disparity


def living_html(
    refocuser: Refocuser,
    photo: Pixels,
    *,
    disparity: NDArray[Any] | None = None,
    disparity_range: tuple[float, float] | None = None,
    aperture: float | None = None,
    levels: int = 17,
    title: str = "",
    deblur: When = "auto",
) -> str:
    """Return the HTML of a living picture.

    Parameters
    ----------
    refocuser
        Of the kind that finds depth, for clicks; another gives a picture with a slider alone.
    photo
        (H, W), (H, W, 3) or (H, W, 4); transparency is left out.
    disparity, disparity_range
        The depth where it is known, of any size, larger = nearer, and what of it -1 and +1 mean; as for `Refocuser`.
    aperture
        Blur diameter in pixels of this photo; None: as in training.
    levels
        Frames, 3 to 65.
    title
        Shown where the page has a name.
    deblur
        Whether the photo is made sharp first, as for `Refocuser`.

    Returns
    -------
    The file's text; some 20 to 100 kB a frame.

    Raises
    ------
    ValueError
        One line: levels out of range, or what `Refocuser` refuses.
    """
    if not 3 <= levels <= 65:
        raise ValueError(f"levels must be 3 to 65, got {levels}")
    pixels = checked_pixels(photo, "photo")
    long = max(pixels.shape[:2])
    side = max(1, round(min(pixels.shape[:2]) * min(1, SIDE / long)))
    small = np.rint(reduced(pixels, side) * 255).astype(np.uint8)
    if max(small.shape) > LONGEST[".webp"]:
        raise ValueError(f"photo is too narrow for a living picture: {pixels.shape[1]} x {pixels.shape[0]} px")
    small = refocuser.deblurred(small, deblur)
    strength = None if aperture is None else aperture * max(small.shape) / long
    depth = None
    if refocuser.finds_depth:
        depth = refocuser.analyse(small) if disparity is None else enlarge(to_focus(disparity, disparity_range), small)
    elif disparity is not None:
        raise ValueError(f"disparity: the model {refocuser.model} takes none")
    frames = [
        refocuser(small, focus, strength, deblur="never")
        if depth is None
        else refocuser.render(small, depth, focus, strength)
        for focus in np.linspace(-1, 1, levels).tolist()
    ]
    content = {
        "frames": [_inside(frame, "WEBP", quality=84, method=4) for frame in frames],
        "depth": None if depth is None else _inside(_map(depth), "PNG", optimize=True),
        "start": round(float(np.quantile(depth, 0.9)), 2) if depth is not None else 2 * START - 1,
    }
    text = resources.files("refocal.model").joinpath("living.html").read_text(encoding="utf-8")
    name = html.escape(title or "A living picture: click where the focus should be")
    return Template(text).substitute(title=name, data=json.dumps(content).replace("<", "\\u003c"))


def _map(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the disparity small, 0 farthest and 255 nearest."""
    height, width = depth.shape
    scale = min(1, MAP_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = Image.fromarray(np.rint((depth + 1) * 127.5).astype(np.uint8))
    return np.asarray(grey.resize(size, Image.Resampling.BOX))


def _inside(pixels: NDArray[np.uint8], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"

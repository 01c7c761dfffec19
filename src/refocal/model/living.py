"""A living picture: one HTML file that refocuses where it is clicked, with nothing loaded from elsewhere.

Inside are the photo, its disparity, which says what a click means, and what the rendering half of the model is made of:
where the viewer's browser has WebGL 2, `lens.js` renders there, at any focus and aperture. Small frames of a focus
sweep, far to near, are shown until it has, and where it cannot. Of a model that does not say what it renders with, the
frames are all there is, and large.
"""

import base64
import html
import io
import json
from importlib import resources
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

SIDE = 1280  # px: long side of what is shown at most; more would weigh more than a page should
FRAME_SIDE = 480  # px: of the frames where the browser may render
MAP_SIDE = 320  # px: of the disparity where it says no more than what a click means
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
    The file's text; about 1 MB of a photo of 1280 px; where frames are all there is, some 20 to 100 kB each.

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
    small = _eight_bit(pixels, side)
    if max(small.shape) > LONGEST[".webp"]:
        raise ValueError(f"photo is too narrow for a living picture: {pixels.shape[1]} x {pixels.shape[0]} px")
    small = refocuser.deblurred(small, deblur)
    diameter = refocuser.aperture_for(*small.shape[:2]) if aperture is None else aperture * max(small.shape) / long
    depth = None
    if refocuser.finds_depth:
        depth = refocuser.analyse(small) if disparity is None else enlarge(to_focus(disparity, disparity_range), small)
    elif disparity is not None:
        raise ValueError(f"disparity: the model {refocuser.model} takes none")
    renderer = refocuser.renderer if depth is not None else None
    shown, part = small, 1.0
    if renderer is not None and max(small.shape) > FRAME_SIDE:
        part = FRAME_SIDE / max(small.shape)
        shown = _eight_bit(small, max(1, round(min(small.shape[:2]) * part)))
    near = None if depth is None else _of_size(depth, shown.shape[:2])
    frames = [
        refocuser(shown, focus, None if aperture is None else diameter, deblur="never")
        if near is None
        else refocuser.render(shown, near, focus, diameter * part)
        for focus in np.linspace(-1, 1, levels).tolist()
    ]
    content = {
        "frames": [_inside(frame, "WEBP", quality=84, method=4) for frame in frames],
        "depth": None if depth is None else _map(depth, whole=renderer is not None),
        "size": small.shape[1::-1],
        "start": round(float(np.quantile(depth, 0.9)), 2) if depth is not None else 2 * START - 1,
    }
    if renderer is not None:
        content |= {
            "photo": _inside(small, "WEBP", quality=90, method=4),
            "aperture": diameter,
            "renderer": json.loads(renderer),
        }
    name = html.escape(title or "A living picture: click where the focus should be")
    data = json.dumps(content).replace("<", "\\u003c")
    return living_template().replace("$data", data, 1).replace("$title", name)


def _eight_bit(pixels: Pixels, side: int) -> NDArray[np.uint8]:
    """Return a picture as RGB of 8 bits whose short side is at most `side` pixels."""
    return np.rint(reduced(pixels, side) * 255).astype(np.uint8)


def living_template() -> str:
    """Return the page with the script that renders, whose $title and $data are to be filled in."""
    files = resources.files("refocal.model")
    page, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("living.html", "lens.js"))
    return page.replace("$script", script)


def _map(depth: NDArray[np.float32], *, whole: bool) -> str:
    """Return the disparity as a picture, 0 farthest and 255 nearest: to render with, or small for clicks alone."""
    scale = 1 if whole else min(1, MAP_SIDE / max(depth.shape))
    height, width = (max(1, round(side * scale)) for side in depth.shape)
    grey = np.rint((_of_size(depth, (height, width)) + 1) * 127.5).astype(np.uint8)
    return _inside(grey, "JPEG", quality=92) if whole else _inside(grey, "PNG", optimize=True)


def _of_size(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if depth.shape == size:
        return depth
    return np.asarray(Image.fromarray(depth).resize(size[::-1], Image.Resampling.BOX)).clip(-1, 1)


def _inside(pixels: NDArray[np.uint8], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"

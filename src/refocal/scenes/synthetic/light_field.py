"""Render light fields of textured planes with exact occlusion and known disparity.

Notation: a point (y, x) of the centre view with disparity d stands in view (u, v) at (y + (u - uc) d, x + (v - vc) d),
as `refocal.shiftadd.shift_and_add` has it: positive = nearer. A layer is a plane, d = d0 + gy (y - yc) + gx (x - xc), so for a
pixel (Y, X) of a view both can be solved for exactly:

    d = (d0 + gy (Y - yc) + gx (X - xc)) / (1 + gy (u - uc) + gx (v - vc)),   y = Y - (u - uc) d,   x = X - (v - vc) d

Texture (cubic splines) and matte (analytic) are evaluated there, at sub-pixel places, and layers are composited from
back to front in linear light, view by view. No view is warped from another, so what is occluded is right in each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

from refocal.images.colour import to_srgb

Array = NDArray[Any]
LENS = 0.75  # px of a texture: standard deviation of the blur of lens and sensor; no capture is sharper
SOLID = 0.5  # coverage from which on a pixel's disparity is that of the layer


@dataclass(frozen=True)
class Layer:
    """A textured plane, cut out by a matte.

    Attributes
    ----------
    texture
        Linear light, float (h, w, 3) in [0, 1]; beyond its edges it is mirrored.
    placement
        (3, 3) homography from (y, x, 1) of the centre view, in pixels, to (y, x, 1) of the texture, in its pixels.
    plane
        (d0, gy, gx): disparity at the middle of the picture in px/view, and its change a pixel.
    matte
        (y, x) of the centre view -> coverage in [0, 1]; None: the layer fills the view.
    """

    texture: Array
    placement: Array
    plane: tuple[float, float, float]
    matte: Callable[[Array, Array], Array] | None = None


@dataclass(frozen=True)
class Arrangement:
    """Layers from back to front, and the camera.

    Attributes
    ----------
    layers
        From back to front; the first must fill the view.
    grid
        (U, V).
    size
        (H, W) of a view.
    haze
        (r, g, b) in linear light of what lies in the air, and its share at `haze_range[0]`; none at `haze_range[1]`.
    haze_share, haze_range
        Share in [0, 1], and the (far, near) disparities between which it grows linearly.
    """

    layers: tuple[Layer, ...]
    grid: tuple[int, int]
    size: tuple[int, int]
    haze: tuple[float, float, float] = (0.5, 0.5, 0.5)
    haze_share: float = 0.0
    haze_range: tuple[float, float] = (-1.0, 1.0)


def render_light_field(arrangement: Arrangement) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render every view, and the disparity of the centre view.

    Returns
    -------
    views
        uint8 (U, V, H, W, 3), sRGB, canonical: u = view row, v = view column, positive disparity = nearer.
    disparity
        float32 (H, W), px/view: of the front layer that covers more than half the pixel. The centre view is the one in
        the middle of the grid, whether or not a rendered view stands there.

    Raises
    ------
    ValueError
        If there are no layers, or the first leaves holes.
    """
    layers, (U, V), (H, W) = arrangement.layers, arrangement.grid, arrangement.size
    if not layers or layers[0].matte is not None:
        raise ValueError("layers: the first must fill the view (matte=None), the others lie before it")
    smooth = [_spline(layer.texture) for layer in layers]
    views = np.empty((U, V, H, W, 3), np.uint8)
    for u in range(U):
        for v in range(V):
            light, _ = _view(arrangement, smooth, u - (U - 1) / 2, v - (V - 1) / 2)
            views[u, v] = np.round(255 * to_srgb(light))
    return views, _view(arrangement, smooth, 0.0, 0.0)[1]


def _spline(texture: Array) -> list[Array]:
    """Return the coefficients of the cubic spline through each channel, as a lens sees it."""
    soft = gaussian_filter(texture, (LENS, LENS, 0), mode="mirror")
    return [np.asarray(spline_filter(soft[..., c], 3, output=np.float32, mode="mirror")) for c in range(3)]


def _view(
    arrangement: Arrangement, smooth: list[list[Array]], du: float, dv: float
) -> tuple[Array, NDArray[np.float32]]:
    """Return the view du rows and dv columns from the centre, in linear light, and its disparity."""
    H, W = arrangement.size
    Y, X = np.mgrid[:H, :W].astype(np.float64)
    light, disparity = np.zeros((H, W, 3), np.float32), np.zeros((H, W), np.float32)
    far, near = arrangement.haze_range
    for layer, coefficients in zip(arrangement.layers, smooth, strict=True):
        d0, gy, gx = layer.plane
        d = (d0 + gy * (Y - (H - 1) / 2) + gx * (X - (W - 1) / 2)) / (1 + gy * du + gx * dv)
        y, x = Y - du * d, X - dv * d
        cover = np.ones((H, W)) if layer.matte is None else layer.matte(y, x)
        seen = cover > 0
        ty, tx, tw = layer.placement @ np.stack((y[seen], x[seen], np.ones(np.count_nonzero(seen))))
        places = np.stack((ty / tw, tx / tw))
        colours = [map_coordinates(c, places, order=3, mode="mirror", prefilter=False) for c in coefficients]
        share = arrangement.haze_share * np.clip((near - d[seen]) / (near - far), 0, 1)[:, None]
        lit = np.clip(np.stack(colours, axis=-1), 0, 1) * (1 - share) + np.asarray(arrangement.haze) * share
        light[seen] += (cover[seen][:, None] * (lit - light[seen])).astype(np.float32)
        disparity = np.where(cover > SOLID, d, disparity).astype(np.float32)
    return light, disparity

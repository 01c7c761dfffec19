"""`Refocuser`: an exported model, ready to refocus photos of any size."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import checked_disparity, to_focus
from refocal.depth.upsampling import enlarge
from refocal.images.image import Pixels, checked_pixels, in_precision_of, in_single, reduced
from refocal.images.sharpness import warn_if_blurred
from refocal.inference.session import find_model, part_of, run
from refocal.model.conditioned import Conditioned, check_aperture, check_focus
from refocal.model.deblurring import Deblurring, When, check_when
from refocal.model.rendering import Rendering
from refocal.model.sessions import open_model
from refocal.render.tiles import reflected
from refocal.render.views import ViewRenderer, check_grid


class Refocuser:
    """An exported model, ready to refocus photos of any size.

    Parameters
    ----------
    model
        ONNX file; None: `REFOCAL_MODEL`, else models/refocal.onnx in the working directory, else the released weights.
    tile
        Photos larger than this (pixels a side) are computed in tiles of at most this size; memory grows with its
        square, not with the photo.
    overlap
        Of neighbouring tiles, in pixels; a quarter of it at each end is thrown away and the half between blended.
    threads
        Of onnxruntime; 0: one a core.
    providers
        Execution providers of onnxruntime in order; None: CUDA where there is a GPU, else the CPU.
    require_gpu
        Refuse to run on the CPU, to which onnxruntime would fall back silently.
    batch
        Largest micro-batch of photos of one size that threads refocus at the same time: for a GPU.

    Attributes
    ----------
    metadata
        Metadata of the model, as written in the file (strings).
    deblurring
        Makes photos sharp; None without NAME.deblur.onnx.
    renderer
        JSON: what the half that renders is made of, for living pictures; None where a model does not say.

    Raises
    ------
    ValueError
        No model, not a refocal model, a provider that does not work, or a setting out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        tile: int = 1024,
        overlap: int = 192,
        threads: int = 0,
        providers: Sequence[str] | None = None,
        require_gpu: bool = False,
        batch: int = 1,
    ) -> None:
        least_of = {"tile": (tile, 64), "overlap": (overlap, 0), "threads": (threads, 0), "batch": (batch, 1)}
        for name, (value, least) in least_of.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be an integer, at least {least}, got {value!r}")
        self.model = find_model(model)
        options: dict[str, Any] = {"threads": threads, "providers": providers, "require_gpu": require_gpu}
        opened = open_model(self.model, batch=batch, options=options)
        session, self.metadata, self._conventions = opened[""]
        self._whole = Conditioned(session, self._conventions, tile=tile, overlap=overlap)
        self._analyse = opened.get("analyse")
        self._rendering: Rendering | None = None
        if "render" in opened:
            session, _, conventions = opened["render"]
            self._rendering = Rendering(session, conventions, tile=tile, margin=overlap // 4, threads=threads)
        self.renderer = opened["render"].metadata.get("renderer") if "render" in opened else None
        self.deblurring = Deblurring(opened["deblur"], tile=tile, overlap=overlap) if "deblur" in opened else None

    @property
    def finds_depth(self) -> bool:
        """Whether the model finds the disparity: only then `analyse`, `render` and a given disparity work."""
        return self._analyse is not None

    def __call__(
        self,
        photo: NDArray[Any],
        focus: float,
        aperture: float | None = None,
        disparity: NDArray[Any] | None = None,
        disparity_range: tuple[float, float] | None = None,
        deblur: When = "auto",
    ) -> Pixels:
        """Refocus a photo.

        Parameters
        ----------
        photo
            (H, W), (H, W, 3) or (H, W, 4), upright; uint8, uint16, or floats in [0, 1]; sRGB.
        focus
            -1 the farthest, +1 the nearest plane of the scene.
        aperture
            Blur diameter, in pixels of this photo, of a point one full focus range away from the focus; None: as in
            training, in proportion to the photo (`aperture_for`).
        disparity, disparity_range
            A known disparity of any size, larger = nearer. `disparity_range` = (far, near): its values at focus -1 and
            +1, by default its 1st and 99th percentile. Only for models that find the disparity.
        deblur
            Whether the photo is made sharp first: "always", "never", or "auto": where its edges are soft.

        Returns
        -------
        As the photo: size, dtype, channels, alpha.

        Raises
        ------
        ValueError
            One line that names the argument, its value and what is allowed.

        Warns
        -----
        UserWarning
            Of a blurred photo that the model cannot make sharp; once, of models that find no disparity, of an aperture
            beyond those of the training data.
        """
        if disparity_range is not None and disparity is None:
            raise ValueError("disparity_range needs a disparity")
        photo = self._sharp(photo, deblur)
        if self.finds_depth:
            pixels = checked_pixels(in_single(photo), "photo")
            given = None if disparity is None else enlarge(to_focus(disparity, disparity_range), pixels)
            return self.render(photo, self.analyse(photo) if given is None else given, focus, aperture)
        if disparity is not None:
            raise ValueError(f"disparity: the model {self.model} takes none, only {self.metadata.get('inputs', '')}")
        return self._refocus(photo, focus, aperture, None)

    def deblurred(self, photo: NDArray[Any], when: When = "auto") -> Pixels:
        """Return a photo with what is blurred made sharp: "always", "never", or "auto", where its edges are soft.

        Raises ValueError where the model has no deblurring generator and is "always" to use it, for another word, and
        for an invalid photo; warns of a blurred photo that the model cannot make sharp.
        """
        return self._sharp(photo, when)

    def _sharp(self, photo: NDArray[Any], when: When) -> Pixels:
        pixels = checked_pixels(in_single(photo), "photo")
        if check_when(when) == "always" and self.deblurring is None:
            raise ValueError(f"deblur: the model {self.model} has no {part_of(self.model, 'deblur').name}")
        if self.deblurring is None:
            if when == "auto":
                warn_if_blurred(pixels)
            return photo
        return in_precision_of(self.deblurring(pixels, when), photo)

    def analyse(self, photo: NDArray[Any]) -> NDArray[np.float32]:
        """Return the disparity of a photo: float32 (H, W), -1 the farthest, +1 the nearest plane.

        The whole photo is analysed at the size that the model was trained at; the disparity is enlarged along the edges
        of the photo.

        Raises
        ------
        ValueError
            The model finds no disparity, or the photo is invalid.
        """
        if self._analyse is None:
            raise self._knows_none("analyse")
        session, _, conventions = self._analyse
        pixels = checked_pixels(in_single(photo), "photo")
        small = reduced(pixels, conventions.analysis_side)
        multiple = conventions.size_multiple
        rows, columns = (reflected(side, -(-side // multiple) * multiple) for side in small.shape[:2])
        found = run(session, small[np.ix_(rows, columns)])[: small.shape[0], : small.shape[1]]
        return enlarge(np.ascontiguousarray(found), pixels)

    def render(
        self, photo: NDArray[Any], disparity: NDArray[np.float32], focus: float, aperture: float | None = None
    ) -> Pixels:
        """Refocus a photo whose disparity is known, (H, W) in focus units as `analyse` gives it. Else as a call."""
        if self._rendering is None:
            raise self._knows_none("render")
        return self._refocus(photo, focus, aperture, checked_disparity(disparity, photo))

    def views(
        self,
        photo: NDArray[Any],
        disparity: NDArray[Any] | None = None,
        grid: tuple[int, int] = (7, 7),
        slopes: tuple[float, float] | None = None,
    ) -> Pixels:
        """Return a light field of a photo: its sub-aperture views, as if a camera had taken them.

        Parameters
        ----------
        photo, disparity
            A sharp photo and, as for `render`, its disparity; by default as `analyse` gives it.
        grid
            U and V, the rows and columns of views.
        slopes
            Of focus -1 and +1, in px/view, far below near; by default around 0, of the aperture `aperture_for`.

        Returns
        -------
        (U, V, H, W …) in canonical order: content moves by its slope from each view to the next.

        Raises ValueError as `render`, and for a grid or slopes that are none.
        """
        renderer = self.view_renderer(photo, disparity, grid, slopes)
        return np.stack(list(renderer.grid(*grid))).reshape(*grid, *renderer.pixels.shape)

    def view_renderer(
        self,
        photo: NDArray[Any],
        disparity: NDArray[Any] | None,
        grid: tuple[int, int],
        slopes: tuple[float, float] | None,
    ) -> ViewRenderer:
        """Return what renders the views of `views` one by one."""
        pixels = checked_pixels(in_single(photo), "photo")
        half = self.aperture_for(*pixels.shape[:2]) / max(grid) / 2
        ends = check_grid(grid, (-half, half) if slopes is None else slopes)
        known = self.analyse(photo) if disparity is None else checked_disparity(disparity, pixels)
        return ViewRenderer(pixels, known, ends, (max(grid) - 1) / 2)

    def _knows_none(self, part: str) -> ValueError:
        return ValueError(f"the model {self.model} finds no disparity: it has no {part_of(self.model, part).name}")

    def _refocus(
        self, photo: NDArray[Any], focus: float, aperture: float | None, disparity: NDArray[np.float32] | None
    ) -> Pixels:
        if isinstance(photo, np.ndarray) and photo.dtype.kind == "f" and photo.dtype != np.float32:
            return in_precision_of(self._refocus(photo.astype(np.float32), focus, aperture, disparity), photo)
        pixels = checked_pixels(photo, "photo")
        check_focus(focus, self._conventions.focus_range)
        diameter = self.aperture_for(*pixels.shape[:2]) if aperture is None else check_aperture(aperture)
        if self._rendering is not None and disparity is not None:
            return self._rendering(pixels, disparity, float(focus), float(diameter))
        return self._whole(pixels, float(focus), float(diameter), given=aperture is not None)

    def aperture_for(self, height: int, width: int) -> float:
        """Return the aperture, in pixels, of a photo of that size when none is given: the training data's median."""
        return self._conventions.aperture_fraction * max(height, width)

"""`Refocuser`: an exported model, ready to refocus photos of any size."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import to_focus
from refocal.depth.upsampling import enlarge
from refocal.images.image import Pixels, checked_pixels, reduced
from refocal.images.sharpness import warn_if_blurred
from refocal.inference.batching import MicroBatcher
from refocal.inference.session import Conventions, find_model, open_session, part_of, read_metadata, run
from refocal.model.rendering import Rendering
from refocal.render.tiles import reflected, refocus_by_tiles

WIDEST = 1e6  # px: a larger aperture is a mistake


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
        self._batch, self._warned = batch, False
        self._session = self._open(self.model, options)
        self.metadata, self._conventions = read_metadata(self._session, self.model)
        halves = {part: part_of(self.model, part) for part in ("analyse", "render")}
        # Empty files stand for none: the stage `export` always leaves some.
        there = all(path.is_file() and path.stat().st_size for path in halves.values())
        self._tile, self._overlap = tile, overlap
        self._analyse = self._half(halves["analyse"], "analyse", options) if there else None
        self._rendering: Rendering | None = None
        if there:  # tiles are the renderer's threads
            session, conventions = self._half(halves["render"], "render", options | {"threads": 1})
            self._rendering = Rendering(session, conventions, tile=tile, margin=overlap // 4, threads=threads)

    def _open(self, path: Path, options: Mapping[str, Any]) -> Any:
        session = open_session(path, **options)
        return MicroBatcher(session, self._batch) if self._batch > 1 else session

    def _half(self, path: Path, part: str, options: Mapping[str, Any]) -> tuple[Any, Conventions]:
        session = self._open(path, options)
        metadata, conventions = read_metadata(session, path, part)
        if metadata.get("weights") != self.metadata.get("weights"):
            raise ValueError(f"{path} has other weights than {self.model}: export them together, or remove it")
        return session, conventions

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
            For a photo that is blurred already; once, for a given aperture beyond those of the training data, of models
            that do not find the disparity.
        """
        if disparity_range is not None and disparity is None:
            raise ValueError("disparity_range needs a disparity")
        pixels = checked_pixels(_single(photo), "photo")
        warn_if_blurred(pixels)
        if self.finds_depth:
            given = None if disparity is None else enlarge(to_focus(disparity, disparity_range), pixels)
            return self.render(photo, self.analyse(photo) if given is None else given, focus, aperture)
        if disparity is not None:
            raise ValueError(f"disparity: the model {self.model} takes none, only {self.metadata.get('inputs', '')}")
        return self._refocus(photo, focus, aperture, None)

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
        session, conventions = self._analyse
        pixels = checked_pixels(_single(photo), "photo")
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
        size, real = np.shape(photo)[:2], isinstance(disparity, np.ndarray) and disparity.dtype.kind in "uif"
        if not real or disparity.shape != size or not np.isfinite(disparity).all():
            found = f"{disparity.dtype} {disparity.shape}" if isinstance(disparity, np.ndarray) else type(disparity)
            raise ValueError(f"disparity must be an array of finite numbers, of the photo's {size}, got {found}")
        return self._refocus(photo, focus, aperture, disparity.astype(np.float32, copy=False))

    def _knows_none(self, part: str) -> ValueError:
        return ValueError(f"the model {self.model} finds no disparity: it has no {part_of(self.model, part).name}")

    def _refocus(
        self, photo: NDArray[Any], focus: float, aperture: float | None, disparity: NDArray[np.float32] | None
    ) -> Pixels:
        if isinstance(photo, np.ndarray) and photo.dtype.kind == "f" and photo.dtype != np.float32:
            out = self._refocus(photo.astype(np.float32), focus, aperture, disparity).astype(photo.dtype)
            if out.shape[2:] == (4,):
                out[..., 3] = photo[..., 3]  # alpha to the last bit
            return out
        pixels = checked_pixels(photo, "photo")
        far, near = self._conventions.focus_range
        if not _is_number(focus) or not far <= focus <= near:  # NaN fails too
            raise ValueError(f"focus must be between {far:g} (farthest) and {near:g} (nearest), got {focus!r}")
        diameter = self.aperture_for(*pixels.shape[:2]) if aperture is None else aperture
        if not _is_number(diameter) or not 0 <= diameter < WIDEST:
            raise ValueError(
                f"aperture must be a blur diameter in pixels, below {WIDEST:g} and 0 or more, got {aperture!r}"
            )
        if self._rendering is not None and disparity is not None:
            return self._rendering(pixels, disparity, float(focus), float(diameter))
        if aperture is not None:  # the default comes from the training data
            self._warn_of_aperture(float(diameter))
        return refocus_by_tiles(
            pixels,
            lambda tile: run(self._session, tile, focus=float(focus), aperture=float(diameter)),
            multiple=self._conventions.size_multiple,
            tile=self._tile,
            overlap=self._overlap,
        )

    def aperture_for(self, height: int, width: int) -> float:
        """Return the aperture, in pixels, of a photo of that size when none is given: the training data's median."""
        return self._conventions.aperture_fraction * max(height, width)

    def _warn_of_aperture(self, aperture: float) -> None:
        smallest, largest = self._conventions.aperture_range
        if self._warned or smallest <= aperture <= largest:
            return
        self._warned = True
        warnings.warn(
            f"aperture {aperture:.3g} px lies outside the {smallest:.3g} to {largest:.3g} px of the training data",
            stacklevel=4,  # who called the Refocuser
        )


def _single(photo: NDArray[Any]) -> NDArray[Any]:
    """Return floats of other precision as float32."""
    other = isinstance(photo, np.ndarray) and photo.dtype.kind == "f" and photo.dtype != np.float32
    return photo.astype(np.float32) if other else photo


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)

"""The one front door: a photo in, the same photo focused elsewhere out."""

import math
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refocal.photo.images import Pixels, checked_pixels
from refocal.photo.session import find_model, open_session, read_metadata, run
from refocal.photo.tiles import refocus_by_tiles


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
        Refuse to run on the CPU, which onnxruntime else falls back to in silence.

    Attributes
    ----------
    metadata
        What the model says of itself, as written in the file (strings).

    Raises
    ------
    ValueError
        No model, not a refocal model, a provider that does not work, or a setting out of range.

    Examples
    --------
    >>> refocuser = Refocuser("models/refocal.onnx")  # doctest: +SKIP
    >>> near = refocuser(photo, focus=1)  # doctest: +SKIP
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
    ) -> None:
        for name, value, least in (("tile", tile, 64), ("overlap", overlap, 0), ("threads", threads, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be an integer, at least {least}, got {value!r}")
        self.model = find_model(model)
        self._session = open_session(self.model, threads=threads, providers=providers, require_gpu=require_gpu)
        self.metadata, self._conventions = read_metadata(self._session, self.model)
        self._tile, self._overlap = tile, overlap
        self._warned = False

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
            For models that are given the depth; none is yet.

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
            Once, for an aperture beyond those that the model was trained on.
        """
        if disparity is not None or disparity_range is not None:
            raise ValueError(f"disparity: the model {self.model} takes none, only {self.metadata.get('inputs', '')}")
        if isinstance(photo, np.ndarray) and photo.dtype.kind == "f" and photo.dtype != np.float32:
            out = self(photo.astype(np.float32), focus, aperture).astype(photo.dtype)
            if out.shape[2:] == (4,):
                out[..., 3] = photo[..., 3]  # alpha to the last bit
            return out
        pixels = checked_pixels(photo, "photo")
        far, near = self._conventions.focus_range
        if not _is_number(focus) or not far <= focus <= near:  # NaN fails too
            raise ValueError(f"focus must be between {far:g} (farthest) and {near:g} (nearest), got {focus!r}")
        diameter = self.aperture_for(*pixels.shape[:2]) if aperture is None else aperture
        if not _is_number(diameter) or not 0 <= diameter < math.inf:
            raise ValueError(f"aperture must be a blur diameter in pixels, 0 or more, got {aperture!r}")
        self._warn_of_aperture(float(diameter), given=aperture is not None)
        return refocus_by_tiles(
            pixels,
            lambda part: run(self._session, part, float(focus), float(diameter)),
            multiple=self._conventions.size_multiple,
            tile=self._tile,
            overlap=self._overlap,
        )

    def aperture_for(self, height: int, width: int) -> float:
        """Return the aperture, in pixels, of a photo of that size when none is given: the training data's median."""
        return self._conventions.aperture_fraction * max(height, width)

    def _warn_of_aperture(self, aperture: float, *, given: bool) -> None:
        smallest, largest = self._conventions.aperture_range
        if self._warned or smallest <= aperture <= largest:
            return
        self._warned = True
        helps = "larger" if aperture < smallest else "smaller"
        why = "" if given else f" (what photos of this size get; a {helps} photo or an aperture of your own helps)"
        warnings.warn(
            f"aperture {aperture:.3g} px{why} lies outside the {smallest:.3g} to {largest:.3g} px of the training data",
            stacklevel=3,
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)

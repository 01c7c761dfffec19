"""The arrays of a prepared scene: opened memory-mapped and checked; views are written one by one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Views:
    """The views of a light field that its focal stack is the mean of, to be kept with the scene.

    Attributes
    ----------
    places
        P of (u, v): their rows and columns in the grid.
    pixels
        Each of them in turn, uint8 (H, W, 3) sRGB; one at a time is held.
    linear
        Whether the stack is their mean in linear light.
    """

    places: tuple[tuple[int, int], ...]
    pixels: Iterable[NDArray[np.uint8]]
    linear: bool


def write_views(path: Path, views: Views, shape: tuple[int, ...]) -> None:
    """Write views one by one: a second light field is never held."""
    kept = np.lib.format.open_memmap(path, "w+", np.uint8, (len(views.places), *shape))
    for place, view in zip(kept, views.pixels, strict=True):
        place[:] = view
    kept.flush()


def mapped(path: Path, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Open an array whose shape must be as given; None stands for any length."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; prepare the scenes again (stage `stack`)") from None
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    fits = len(array.shape) == len(shape) and all(w in {None, n} for w, n in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        wanted = " x ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{path} must be {dtype} {wanted}, got {array.dtype} {array.shape}")
    return array

"""The slices of a focus bracket in their files, decoded when they are looked at: 300 need the memory of few."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray

from refocal.images.image import read_image
from refocal.resources import available_memory, check_memory

FUSING = 140  # bytes a pixel that fusing and rendering take, whatever the number of slices is
DECODING = 20  # bytes a pixel of a slice while it is decoded and aligned
KEPT = 1 / 4  # of the memory that is left then goes to slices that are kept decoded


class Slices(Sequence[NDArray[Any]]):
    """Photos by their paths, from near to far; a file that is there twice counts once.

    Parameters
    ----------
    paths : sequence of Path
        Two or more.
    size : (int, int)
        Height and width that all must have.

    Raises
    ------
    ValueError
        One line: fusing photos of this size takes more memory than there is; from indexing, a file that cannot be read
        or has another size.
    """

    def __init__(self, paths: Sequence[Path], size: tuple[int, int]) -> None:
        self.size = size
        self.paths = _without_copies(paths)
        pixels = size[0] * size[1]
        needed = pixels * (FUSING + DECODING)
        check_memory(needed, f"fusing photos of {size[1]} x {size[0]} pixels", "make them smaller first")
        left = (available_memory() or 2**31) - needed
        fit = max(0, int(left * KEPT / (pixels * 6)))  # 6: three channels of 16 bit
        self._read = lru_cache(fit)(self._decoded) if fit >= len(self.paths) else self._decoded

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.paths)

    @overload
    def __getitem__(self, number: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, number: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, number: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        """Return the pixels of a photo, as `images.Image` has them."""
        if isinstance(number, slice):
            return [self[k] for k in range(len(self))[number]]
        return self._read(self.paths[number])

    def _decoded(self, path: Path) -> NDArray[Any]:
        pixels = read_image(path).pixels
        if pixels.shape[:2] != self.size:
            sizes = [f"{size[1]} x {size[0]}" for size in (pixels.shape, self.size)]
            raise ValueError(f"photos of a bracket must have one size: {path} is {sizes[0]}, another is {sizes[1]}")
        return pixels


def _without_copies(paths: Sequence[Path]) -> list[Path]:
    """Return the paths whose contents differ from those before."""
    kept: dict[str, Path] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                kept.setdefault(hashlib.file_digest(file, "sha256").hexdigest(), path)
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    return list(kept.values())

"""`LightField`: the views of a scene on a grid, in canonical order.

Canonical, everywhere behind `LightField.open`: u is the row of a view, v its column, and what is nearer has the larger
disparity, in pixels that content moves per view step (see `shiftadd` for the notation).
"""

import os
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from refocal.lightfields.folders import read_folder
from refocal.lightfields.readers import PICTURES, RAW, Grid, read_file

OPTIONS_FILE = "lightfield.toml"
# What lightfield.toml may say, and as what: options of the reader, and what the stage `stack` wants to know.
READER = {
    "grid": (int, list),
    "pattern": str,
    "order": str,
    "flip_rows": bool,
    "flip_columns": bool,
    "near": str,
    "crop_grid": (int, list),
}
ABOUT = {"kind": str, "lightfield": str, "group": str, "slope_range": list, "disparity": str}
# Folders of macOS's archives, of Synology's and QNAP's servers, of ext4, of Windows.
NOT_OURS = {"__macosx", "@eadir", "@recycle", "#recycle", "lost+found", "$recycle.bin", "system volume information"}
ILLUM, ILLUM_CROP = (14, 14), 7  # the outer views of a Lytro Illum are black or vignetted
DARK = 0.7  # of the middle's brightness: a view below it, or with a corner below it, is vignetted


@dataclass(frozen=True)
class LightField:
    """A light field in canonical order.

    Attributes
    ----------
    views : ndarray
        (U, V, H, W, 3), sRGB: uint8, or float32 in [0, 1] (16-bit files, float arrays).
    mask : ndarray
        (U, V) bool: views that count; black and vignetted ones do not.
    name : str
        What it is called: its folder or file.
    """

    views: NDArray[Any]
    mask: NDArray[np.bool_]
    name: str

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        grid: int | Grid | None = None,
        pattern: str | None = None,
        order: Literal["row", "column"] | None = None,
        flip_rows: bool | None = None,
        flip_columns: bool | None = None,
        near: Literal["negative", "positive"] | None = None,
        crop_grid: int | Grid | None = None,
    ) -> Self:
        """Open a folder of views, a lenslet mosaic (ESLF) or an array.

        A folder may hold `lightfield.toml` with the same options, and `lightfield = "file"` where the light field is
        one file in it; arguments given here win.

        Parameters
        ----------
        path : path
            A folder of pictures (view_00_00.png, 00_00.png, input_Cam000.png, IMG_…_00_00.png, out_00_00_….png), a
            mosaic picture of N x N interleaved views, or .npy / .npz of shape (U, V, H, W, 3) or (U, V, H, W).
        grid : int or (int, int), optional
            U = V = N, or U and V, where the file names do not give it; found where possible.
        pattern : str, optional
            Names of views, as "cam_{r}_{c}.png" or "cam{n}.png", or a regular expression with groups.
        order : str
            Which of two numbers in a name comes first: "row" (default) or "column".
        flip_rows, flip_columns : bool
            Views are counted from the bottom up, from right to left.
        near : str
            Sign of the disparity, as stored, of what is near: "negative" (default), as Lytro decoders and the HCI
            benchmark have it, or "positive".
        crop_grid : int or (int, int), optional
            Use only so many views in the middle; 7 for the 14 x 14 of a Lytro Illum, unless said otherwise.

        Raises
        ------
        ValueError
            One line that names the file, what is wrong with it, and what is read.
        """
        path = Path(path)
        given = {"grid": grid, "pattern": pattern, "order": order, "flip_rows": flip_rows, "near": near}
        given |= {"flip_columns": flip_columns, "crop_grid": crop_grid}
        stored = read_options(path)
        options = stored | {key: value for key, value in given.items() if value is not None}
        _check_options(options, path)
        shape = _grid(options.get("grid"), "grid")
        source = path / options["lightfield"] if "lightfield" in options else path
        if not source.exists():
            raise ValueError(f"no light field at {source}: there is no such file or folder")
        if source.is_dir():
            views = read_folder(source, shape, options.get("pattern"), options.get("order", "row"))
        else:
            views = read_file(source, shape)
            if options.get("order") == "column":
                views = views.swapaxes(0, 1)
        crop = _grid(options.get("crop_grid"), "crop_grid") or (
            (ILLUM_CROP, ILLUM_CROP) if views.shape[:2] == ILLUM else None
        )
        views = np.ascontiguousarray(_middle(views, crop, source))  # of a mosaic no more than is wanted
        if options.get("flip_rows"):
            views = views[::-1]
        if options.get("flip_columns"):
            views = views[:, ::-1]
        if options.get("near", "negative") == "negative":
            views = views[::-1, ::-1]
        return cls(views, find_valid(views), path.stem if path.is_file() else path.resolve().name)

    @property
    def grid(self) -> Grid:
        """Rows and columns of views."""
        return self.views.shape[0], self.views.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a view, in pixels."""
        return self.views.shape[2], self.views.shape[3]

    @property
    def centre(self) -> NDArray[Any]:
        """The reference view, (H, W, 3): of an even number the one behind the middle."""
        view: NDArray[Any] = self.views[self.grid[0] // 2, self.grid[1] // 2]
        return view

    def odd(self) -> "LightField":
        """Leave out the first row or column of an even number, so that a real view sits in the middle; no copy."""
        cut = tuple(slice(1 - count % 2, None) for count in self.grid)
        return LightField(self.views[cut], self.mask[cut], self.name)


def read_options(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the `lightfield.toml` of a light field's folder; without one, nothing.

    Raises
    ------
    ValueError
        Not TOML, an unknown key, a value of another type.
    """
    file = Path(path) / OPTIONS_FILE
    if not file.is_file():
        return {}
    try:
        options = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not TOML: {' '.join(str(error).split())}") from None
    known = READER | ABOUT
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{file}: unknown key {key}; known are {', '.join(known)}")
        if not isinstance(value, known[key]):  # type: ignore[arg-type]
            raise ValueError(f"{file}: {key} has a value of another type: {value!r}")  # noqa: TRY004  our contract
    return options


def list_light_fields(root: str | os.PathLike[str]) -> list[Path]:
    """Return the light fields in a folder: its subfolders, and its pictures, .npy and .npz; sorted by name.

    What systems and servers put beside them is left out, and so are folders without any file that could be one, with a
    warning.
    """
    suffixes = PICTURES | RAW | {".npy", ".npz"}
    if not Path(root).is_dir():
        raise ValueError(f"no folder of light fields at {root}")
    found = []
    for path in sorted(Path(root).iterdir()):
        if path.name.startswith(".") or path.name.lower() in NOT_OURS:
            continue
        if path.is_dir() and not _holds_any(path, suffixes):
            warnings.warn(f"{path} holds no pictures; it is left out", stacklevel=2)
        elif path.is_dir() or path.suffix.lower() in suffixes:
            found.append(path)
    return found


def _holds_any(folder: Path, suffixes: frozenset[str]) -> bool:
    """Tell whether a folder holds its options, or a file of such a suffix, at any depth."""
    for _, _, names in os.walk(folder, followlinks=True):
        kept = [name for name in names if not name.startswith(".")]
        if OPTIONS_FILE in kept or any(Path(name).suffix.lower() in suffixes for name in kept):
            return True
    return False


def find_valid(views: NDArray[Any]) -> NDArray[np.bool_]:
    """Find views that are neither black nor vignetted, (U, V) bool.

    Each view's brightness, whole and in each of 3 x 3 parts, is compared with that of the reference view.
    """
    rows, columns, height, width, _ = views.shape
    step = max(1, min(height, width) // 96)  # a sample of the pixels is enough
    edges = [np.linspace(0, len(range(0, n, step)), 4).astype(int) for n in (height, width)]

    def brightness(u: int, v: int) -> NDArray[np.float64]:
        view = views[u, v, ::step, ::step, 1].astype(np.float64)
        parts = [view[a:b, c:d] for a, b in _pairs(edges[0]) for c, d in _pairs(edges[1])]
        return np.array([view.mean(), *(part.mean() if part.size else view.mean() for part in parts)])

    found = np.array([[brightness(u, v) for v in range(columns)] for u in range(rows)])  # (U, V, 10)
    middle = found[rows // 2, columns // 2]
    dark = found < DARK * np.maximum(middle, 1e-6)
    # parts change with the parallax too: two of them must be dark
    return np.asarray(~(dark[..., 0] | (dark[..., 1:].sum(axis=-1) >= 2)))


def _pairs(edges: NDArray[Any]) -> list[tuple[int, int]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _check_options(options: dict[str, Any], path: Path) -> None:
    for key, allowed in (("order", ("row", "column")), ("near", ("negative", "positive"))):
        if options.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{path}: {key} must be {allowed[0]} or {allowed[1]}, got {options[key]!r}")


def _grid(value: Any, name: str) -> Grid | None:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2 or not all(type(n) is int and 1 <= n <= 1024 for n in pair):  # True is no count
        raise ValueError(f"{name} must be N, or rows and columns of views, got {value!r}")
    return pair[0], pair[1]


def _middle(views: NDArray[Any], crop: Grid | None, source: Path) -> NDArray[Any]:
    """Cut the grid to its middle; of an odd remainder the first row or column goes."""
    if crop is None:
        return views
    rows, columns = views.shape[:2]
    if crop[0] > rows or crop[1] > columns:
        raise ValueError(f"crop_grid: {source} has {rows} x {columns} views, {crop[0]} x {crop[1]} are asked for")
    top, left = (rows - crop[0] + 1) // 2, (columns - crop[1] + 1) // 2
    return views[top : top + crop[0], left : left + crop[1]]

"""Light fields in a folder with one image per view: which file is which view, and all of them in one array."""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refocal.lightfields.readers import PICTURES, RAW, Grid, read_file, read_view, warn_if_dim

# Names of views, most telling first: two numbers (of row and column, or the other way round), or one that counts on.
NAMES = (
    r"view_(-?\d+)_(-?\d+)",  # counted from the middle too
    r"(-?\d+)_(-?\d+)",
    r"out_(\d+)_(\d+)_.*",  # Stanford's archive: the camera's place follows
    r"IMG_.*?_(\d+)_(\d+)",
    r".*?[_-](\d+)[_-](\d+)",
    r"input_Cam(\d+)",  # the HCI benchmark
    r"\D*(\d+)",
)
STACK = 'kind = "focal_stack" in lightfield.toml'


def read_folder(path: Path, grid: Grid | None, pattern: str | None, order: Literal["row", "column"]) -> NDArray[Any]:
    """Read a folder with a picture a view.

    Raises
    ------
    ValueError
        One line: no views, one missing or twice there, one of another size, one that cannot be read.
    """
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    if not pictures:
        raw = next((file for file in files if file.suffix.lower() in RAW), None)
        if raw is not None:
            return read_file(raw, None)
        raise ValueError(f"{path} holds no pictures; a light field's folder holds one a view, or name the file in it")
    found = by_index(pictures, pattern, grid, path)
    rows, columns = (_axis([index[axis] for index in found], path, pattern) for axis in (0, 1))
    missing = [(r, c) for r in rows for c in columns if (r, c) not in found]
    if missing:
        like = next(iter(found.values())).name
        raise ValueError(
            f"{path}: view {missing[0]} is missing ({len(missing)} of {len(rows) * len(columns)} are; names as {like})"
        )
    if order == "column":
        return _read_views([[found[r, c] for r in rows] for c in columns])
    return _read_views([[found[r, c] for c in columns] for r in rows])


def by_index(pictures: list[Path], pattern: str | None, grid: Grid | None, path: Path) -> dict[Grid, Path]:
    """Return each view's file by the numbers in its name: both as they stand, or a count broken into rows."""
    if pattern is None:
        tried = [[(re.fullmatch(name, file.stem), file) for file in pictures] for name in NAMES]
        # The first that makes a whole grid: thumbnails and masks may lie beside the views. Else what matches most.
        matches = next((matches for matches in tried if _is_whole(matches)), None) or max(tried, key=_matched)
    else:
        expression = _expression(pattern)
        matches = [(expression.fullmatch(file.name), file) for file in pictures]
    numbers: dict[tuple[int, ...], Path] = {}
    for match, file in matches:
        if match is None:
            continue
        key = _numbers(match)
        if key in numbers:
            raise ValueError(f"{path}: {numbers[key].name} and {file.name} are both view {key}; give a pattern")
        numbers[key] = file
    if len(numbers) < 2:
        wanted = f"the pattern {pattern}" if pattern else "names with row and column, as view_00_00.png"
        count = f"{len(numbers)} of {len(pictures)} pictures have {wanted}"
        raise ValueError(f"{path}: {count}; give a pattern, or say that they are slices ({STACK})")
    if len(next(iter(numbers))) == 1:
        return _in_rows({key[0]: file for key, file in numbers.items()}, grid, path)
    found = {(key[0], key[1]): file for key, file in numbers.items()}
    if grid is not None and len(found) != grid[0] * grid[1]:
        raise ValueError(f"{path} holds {len(found)} views, not {grid[0]} x {grid[1]}")
    return found


def _matched(matches: list[tuple[re.Match[str] | None, Path]]) -> int:
    return sum(match is not None for match, _ in matches)


def _is_whole(matches: list[tuple[re.Match[str] | None, Path]]) -> bool:
    """Tell whether names that match are those of four views or more, each there once and none missing."""
    found = [_numbers(match) for match, _ in matches if match is not None]
    if len(found) < 4 or len(set(found)) < len(found):
        return False
    if len(found[0]) == 1:
        return max(found)[0] - min(found)[0] + 1 == len(found)
    rows, columns = ({key[axis] for key in found} for axis in (0, 1))
    return len(rows) * len(columns) == len(found)


def _expression(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern of the user: view_{r}_{c}.png, cam{n}.png, or a regular expression."""
    if re.search(r"\{[rcn]\}", pattern):
        parts = re.split(r"\{([rcn])\}", pattern)
        pattern = "".join(f"(?P<{part}>-?\\d+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        pattern = pattern.replace(r"\*", ".*")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern} is no regular expression: {error}") from None
    named = set(expression.groupindex)
    if named not in ({"r", "c"}, {"n"}) and (named or expression.groups not in (1, 2)):
        raise ValueError(f"pattern must have {{r}} and {{c}}, or {{n}}, or one or two groups of digits, got {pattern}")
    return expression


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    groups = match.groupdict()
    texts = [groups["r"], groups["c"]] if "r" in groups else match.groups()
    try:
        return tuple(int(text) for text in texts)
    except ValueError:
        raise ValueError(f"pattern finds {texts} in {match.string}; the groups must be digits") from None


def _in_rows(numbered: dict[int, Path], grid: Grid | None, path: Path) -> dict[Grid, Path]:
    """Break a count of views into rows: of the grid if it is given, of a square for the HCI benchmark, else one row."""
    first, count = min(numbered), len(numbered)
    last = max(numbered)
    if last - first + 1 != count:
        gap = next(n for n in range(first, last) if n not in numbered)
        raise ValueError(f"{path}: view {gap} is missing between {numbered[first].name} and {numbered[last].name}")
    side = math.isqrt(count)
    if grid is None and side**2 == count and count > 1:
        if not all(file.stem.startswith("input_Cam") for file in numbered.values()):
            raise ValueError(
                f"{path}: {count} numbered views may be {side} x {side} or one row; say it (grid, --grid), "
                f"or that they are slices ({STACK})"
            )
        grid = (side, side)
    elif grid is None:
        if all(file.stem.startswith("input_Cam") for file in numbered.values()):
            raise ValueError(f"{path}: {count} views input_Cam… are no square grid; a view is missing, or give a grid")
        grid = (1, count)
    if grid[0] * grid[1] != count:
        raise ValueError(f"{path} holds {count} views, not {grid[0]} x {grid[1]}")
    return {divmod(number - first, grid[1]): file for number, file in numbered.items()}


def _axis(values: list[int], path: Path, pattern: str | None) -> list[int]:
    """Return the indices along one axis; they may start anywhere and go in steps, but evenly."""
    found = sorted(set(values))
    steps = {b - a for a, b in pairwise(found)}
    if len(steps) > 1:
        text = ", ".join(str(value) for value in found[:12])
        raise ValueError(
            f"{path}: views are missing: an index goes {text} ({pattern or 'give a pattern if it is none'})"
        )
    return found


def _read_views(files: list[list[Path]]) -> NDArray[Any]:
    """Read all views into one array, a few at a time."""
    flat = [file for row in files for file in row]
    first = read_view(flat[0])
    views = np.empty((len(files), len(files[0]), *first.shape), first.dtype)
    places = views.reshape(-1, *first.shape)

    def read(index: int) -> None:
        view = read_view(flat[index])
        if view.shape != first.shape or view.dtype != first.dtype:
            raise ValueError(
                f"{flat[index]} is {view.shape[1]} x {view.shape[0]} {view.dtype}, "
                f"{flat[0].name} is {first.shape[1]} x {first.shape[0]} {first.dtype}; views must be alike"
            )
        places[index] = view

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(len(flat))):
            pass
    if views.dtype == np.float32:
        warn_if_dim(views, flat[0].parent)
    return views

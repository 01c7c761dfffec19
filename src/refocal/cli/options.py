"""What commands share: options of the light field readers, lists of numbers, outputs that must not be overwritten."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

T = TypeVar("T")
_READER = "How the light field is stored"
Grid = Annotated[
    str | None,
    typer.Option(metavar="N|UxV", rich_help_panel=_READER, help="Views: N x N, or rows x columns; else found."),
]
CropGrid = Annotated[
    str | None,
    typer.Option(metavar="N|UxV", rich_help_panel=_READER, help="Use only that many views in the middle."),
]
Pattern = Annotated[
    str | None,
    typer.Option(rich_help_panel=_READER, help="File names of the views, as view_{r}_{c}.png, or a regex; else found."),
]
Order = Annotated[
    Literal["row", "column"] | None,
    typer.Option(rich_help_panel=_READER, help="Which index comes first in the names (default: row)."),
]
FlipRows = Annotated[
    bool | None, typer.Option("--flip-rows", rich_help_panel=_READER, help="Views are counted from the bottom up.")
]
FlipColumns = Annotated[
    bool | None, typer.Option("--flip-columns", rich_help_panel=_READER, help="Views are counted from right to left.")
]
Near = Annotated[
    Literal["negative", "positive"] | None,
    typer.Option(rich_help_panel=_READER, help="Sign of what is near as stored (default: negative, as Lytro)."),
]


def focus_number(text: str) -> float:
    """Read the focus: any number, whose range is checked with the rest."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"focus must be a number between -1 (farthest) and 1 (nearest), got {text}") from None


Focus = Annotated[
    float,
    typer.Option(parser=focus_number, metavar="FLOAT", help="-1 the farthest, 1 the nearest plane of the scene."),
]
OptionalFocus = Annotated[
    float | None,
    typer.Option(parser=focus_number, metavar="FLOAT", help="-1 the farthest, 1 the nearest plane of the scene."),
]
Deblur = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(help="Make what is blurred sharp first: auto, where many of the photo's edges are soft; or as named."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def reader_options(
    *,
    grid: str | None,
    crop_grid: str | None,
    pattern: str | None,
    order: str | None,
    flip_rows: bool | None,
    flip_columns: bool | None,
    near: str | None,
) -> dict[str, Any]:
    """Return the options of LightField.open that were given.

    The others stay as lightfield.toml or the default has them.
    """
    given = {
        "grid": two_sides(grid, "--grid"),
        "crop_grid": two_sides(crop_grid, "--crop-grid"),
        "pattern": pattern,
        "order": order,
        "flip_rows": flip_rows,
        "flip_columns": flip_columns,
        "near": near,
    }
    return {name: value for name, value in given.items() if value is not None}


def two_sides(text: str | None, name: str) -> int | tuple[int, int] | None:
    """Read N or UxV, as of views or pixels.

    Raises
    ------
    ValueError
        Something else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if found is None:
        raise ValueError(f"{name} must be N or UxV, as 7 or 5x9, got {text}")
    return (int(found[1]), int(found[2])) if found[2] else int(found[1])


def span(text: str, name: str) -> list[float]:
    """Read FIRST:LAST:COUNT (both ends included) or numbers with commas between.

    Raises
    ------
    ValueError
        Something else, no or more than 1000 numbers, or numbers that are not finite.
    """
    try:
        if ":" in text:
            first, last, count = text.split(":")
            steps = int(count)
            numbers = [
                float(first) + k * (float(last) - float(first)) / max(steps - 1, 1) for k in range(min(steps, 1001))
            ]
        else:
            numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 1000 or not all(abs(number) < 1e6 for number in numbers):
        raise ValueError(f"{name} must be FIRST:LAST:COUNT or numbers with commas, as -1:1:21 or -1,0,1, got {text}")
    return numbers


def check_new(path: Path, *, force: bool) -> None:
    """Refuse an output that is there, unless forced, or whose folder is not.

    Raises
    ------
    ValueError
        One line that names the path.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if path.exists() and not force:
        raise ValueError(f"{path} is there already; --force overwrites it")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.absolute().parent}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise ValueError(f"cannot write {path}: the folder {path.absolute().parent} is read-only")


def check_disparity_out(path: Path | None, output: Path, *, force: bool) -> None:
    """Refuse a file for the disparity that cannot hold it, or that `check_new` refuses; None is no file.

    Raises
    ------
    ValueError
        One line that names the path.
    """
    if path is None:
        return
    check_new(path, force=force)
    if path.suffix.lower() != ".png" or path == output:
        raise ValueError(f"--disparity-out must be another file, .png, got {path}")


@contextmanager
def output_folder(path: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write to. A new one appears when all is written; one that is there needs force, and keeps files.

    Raises
    ------
    ValueError
        One line: not empty, not a folder, or it cannot be written.
    """
    from refocal.images.image import written_beside

    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; name a folder")
    if path.is_dir():
        if not force and any(path.iterdir()):
            raise ValueError(f"{path} is not empty; --force writes into it, over files of the same name")
        yield path
        return
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    with written_beside(path) as beside:
        beside.mkdir()
        yield beside


def with_progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Go through items, `total` of them where they do not say, with a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    yield from track(items, what, total, console=Console(stderr=True), transient=True, disable=quiet)

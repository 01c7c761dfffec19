"""The files of a model, opened: the whole, its halves where they lie beside it, and the generator that deblurs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from refocal.inference.batching import MicroBatcher
from refocal.inference.session import Conventions, open_session, part_of, read_metadata


class Opened(NamedTuple):
    """A file of a model: its session, its metadata as written, and the conventions in them."""

    session: Any
    metadata: dict[str, str]
    conventions: Conventions


def open_model(model: Path, *, batch: int, options: Mapping[str, Any]) -> dict[str, Opened]:
    """Open the files of a model by the name of the part: "" the whole, "analyse" and "render", "deblur".

    Parameters
    ----------
    model : path
        The whole.
    batch : int
        Largest micro-batch.
    options : mapping
        Of `open_session`. The renderer gets one thread: tiles are its threads.

    Raises
    ------
    ValueError
        A file that is no part of a refocal model, or a half with other weights than the whole.
    """
    opened = {"": _open(model, "", batch, options)}
    if all(_is_there(part_of(model, half)) for half in ("analyse", "render")):
        opened["analyse"] = _open(model, "analyse", batch, options)
        opened["render"] = _open(model, "render", batch, {**options, "threads": 1})
        for half in ("analyse", "render"):
            if opened[half].metadata.get("weights") != opened[""].metadata.get("weights"):
                raise ValueError(
                    f"{part_of(model, half)} has other weights than {model}: export them together, or remove it"
                )
    if _is_there(part_of(model, "deblur")):
        opened["deblur"] = _open(model, "deblur", 1, options)
    return opened


def _is_there(path: Path) -> bool:
    """Empty files stand for none: the stage `export` always leaves some."""
    return path.is_file() and path.stat().st_size > 0


def _open(model: Path, part: str, batch: int, options: Mapping[str, Any]) -> Opened:
    path = part_of(model, part)
    session = open_session(path, **options)
    session = MicroBatcher(session, batch) if batch > 1 else session
    return Opened(session, *read_metadata(session, path, part))

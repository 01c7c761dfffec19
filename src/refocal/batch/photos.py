"""Which photos a batch has, and what their outputs are called: folders, globs, lists and files, local or by URL."""

import posixpath
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from refocal.batch.storage import in_one_line, opened, read, url_of, version_of
from refocal.images.encoding import SUFFIXES

READ = {*SUFFIXES, ".heic", ".heif", ".avif", ".bmp", ".ppm", ".pgm", ".pnm"}  # what a folder is searched for
LISTS = {".txt", ".lst"}
MAGIC = "*?["


@dataclass(frozen=True)
class Photo:
    """A photo of a batch.

    Attributes
    ----------
    source
        Path or URL.
    output
        Name in the folder of outputs, with slashes.
    version
        What tells it from an earlier file of the same name; empty: not known.
    """

    source: str
    output: str
    version: str = ""


def list_photos(sources: Sequence[str], out: str, suffix: str | None) -> list[Photo]:
    """Return the photos that folders, globs, lists and files name, sorted by the names of their outputs.

    Parameters
    ----------
    sources
        Folders, searched with all that is in them; globs; text files with a path or URL a line, and "-", that of
        standard input; photos.
    out
        Folder of the outputs; what lies in it is no photo of the batch.
    suffix
        Of the outputs, as ".png"; None: that of each photo where refocal writes such files, else ".jpg". A photo that
        changes its format keeps its own suffix before the new one, so that a.png and a.jpg stay two.

    Raises
    ------
    ValueError
        One line: nothing there, two photos with one output, an output that is a photo.
    """
    outputs = url_of(*opened(out)).rstrip("/")
    found: dict[str, Photo] = {}
    taken: dict[str, str] = {}
    for source in sources:
        for named in _named(source, outputs):
            photo = replace(named, output=_output(named.output, suffix))
            if photo.source in taken:
                continue  # named twice
            if photo.output in found:
                both = f"{found[photo.output].source} and {photo.source}"
                raise ValueError(f"{both} would both become {photo.output}; name the folder above both, or two batches")
            found[photo.output] = photo
            taken[photo.source] = photo.output
    if not found:
        raise ValueError(f"no photos in {', '.join(sources)} ({', '.join(sorted(READ))})")
    for name in found:
        if f"{outputs}/{name}" in taken:
            raise ValueError(f"{name} would overwrite the photo {outputs}/{name}: name another folder of outputs")
    return [found[name] for name in sorted(found)]


def _named(source: str, outputs: str) -> Iterable[Photo]:
    if source == "-":
        return _of_list(sys.stdin.read())
    system, path = opened(source)
    with in_one_line(f"list {source}"):
        if system.isdir(path):
            return _below(system, path, system.find(path, detail=True), outputs, READ)
        if system.isfile(path):
            if PurePosixPath(path).suffix.lower() in LISTS:
                return _of_list(read(source).decode("utf-8", "surrogateescape"))
            return [_photo(system, path, posixpath.basename(path), system.info(path))]
        magic = [path.index(char) for char in MAGIC if char in path]
        if magic:
            listed = {name: info for name, info in system.glob(path, detail=True).items() if info["type"] == "file"}
            return _below(system, posixpath.dirname(path[: min(magic)]), listed, outputs, None)
    raise ValueError(f"{source}: no such folder, photo or list")


def _below(
    system: Any, folder: str, listed: dict[str, Any], outputs: str, suffixes: Container[str] | None
) -> list[Photo]:
    """Return the listed files of some suffixes, named from the folder; hidden ones and outputs apart."""
    photos = []
    apart = f"{outputs}/" if url_of(system, folder).rstrip("/") != outputs else None
    for path, info in sorted(listed.items()):
        name = posixpath.relpath(path, folder or "/")
        hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        wanted = suffixes is None or PurePosixPath(path).suffix.lower() in suffixes
        photo = _photo(system, path, name, info)
        if wanted and not hidden and not (apart and photo.source.startswith(apart)):
            photos.append(photo)
    return photos


def _photo(system: Any, path: str, name: str, info: dict[str, Any]) -> Photo:
    return Photo(url_of(system, path), name, version_of(info))


def _of_list(text: str) -> list[Photo]:
    """Return the photos of a list, named from the folder that all of them lie in; what is not there shows later."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    urls = [url_of(*opened(line)) for line in lines]
    if not urls:
        return []
    folder = posixpath.commonpath([posixpath.dirname(url.replace("://", "/")) for url in urls])
    return [Photo(url, posixpath.relpath(url.replace("://", "/"), folder)) for url in urls]


def _output(name: str, suffix: str | None) -> str:
    own = PurePosixPath(name).suffix.lower()
    if suffix is None:
        return name if own in SUFFIXES else f"{name}.jpg"
    same = own == suffix or {own, suffix} in ({".jpg", ".jpeg"}, {".tif", ".tiff"})
    return name if same else f"{name}{suffix}"

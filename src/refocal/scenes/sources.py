"""List what a folder of data holds: light fields, focal stacks, photos with disparity or masks.

data/ROOM/            views                      -> one scene, a light field
data/LYTRO/           7__refocus_00.jpg …, or lightfield.toml with kind = "focal_stack" and other names that count on
                      -> a scene for each name before the number of the slice, which rises from near to far
data/KINECT/          image/ID.jpg, disparity/ID.png                              -> a scene for each pair
data/PAIR/            image.jpg, disparity.png                                    -> a scene
data/CUTOUTS/         image/ID.jpg, mask/ID.png                                   -> a scene for each photo and mask
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refocal.scenes.metadata import Kind
from refocal.lightfields.lightfield import READER, list_light_fields, read_options
from refocal.lightfields.readers import PICTURES
from refocal.scenes.photo_pairs import DISPARITY, IMAGE, MASK, list_pairs

# 7__refocus_00, focus-3, slice12, 0001: the word marks it as a slice, not as a view of a light field.
SLICE = re.compile(r"^(?P<scene>.*?)(?P<word>[_-]*(?:(?:re)?focus(?:ed)?|slice))?[_-]?(?P<slice>\d+)$", re.IGNORECASE)
BLOCK = 40  # neighbours in a collection often show one room: such blocks stay in one part of the split


@dataclass(frozen=True)
class Source:
    """What one scene is made from.

    Attributes
    ----------
    name
        Of the scene.
    kind
        What it is.
    path
        The light field; or the folder of the collection.
    files
        Of a pair: photo, disparity or mask; of a focal stack: the slices from near to far; of a light field: none are
        named.
    group
        What it shares with others; None: what the light field's toml says, or nothing.
    """

    name: str
    kind: Kind
    path: Path
    files: tuple[Path, ...] = ()
    group: str | None = None


def list_sources(data: Path) -> dict[str, Source]:
    """Return what lies in a folder, by the scene's name, sorted.

    Raises
    ------
    ValueError
        One line: no such folder, nothing in it, two sources of one name, a collection that is not whole.
    """
    found: dict[str, Source] = {}
    for path in list_light_fields(data):
        for source in _of(path):
            if source.name in found:
                both = f"{path} and {found[source.name].path}"
                raise ValueError(f"{both} would both become the scene {source.name}; rename one")
            found[source.name] = source
    if not found:
        raise ValueError(f"no light fields in {data}: put a folder or a mosaic a light field there")
    return found


def _of(path: Path) -> list[Source]:
    single = _pair(path)
    if single is not None:
        return [Source(path.name, "rgbd", path, single)]
    kinds: tuple[tuple[str, Kind], ...] = ((DISPARITY, "rgbd"), (MASK, "mask"))
    for other, kind in kinds:
        if path.is_dir() and (path / IMAGE).is_dir() and (path / other).is_dir():
            return [
                Source(f"{path.name}_{name}", kind, path, files, f"{path.name}/{number // BLOCK}")
                for number, (name, files) in enumerate(list_pairs(path, other).items())
            ]
    if path.is_dir() and _kind(path) == "focal_stack":
        stacks = list_stacks(path)
        names = {stack: f"{path.name}_{stack}" if stack else path.name for stack in stacks}
        return [Source(names[stack], "focal_stack", path, files) for stack, files in stacks.items()]
    return [Source(path.name if path.is_dir() else path.stem, "light_field", path)]


def _kind(path: Path) -> str:
    try:
        options = read_options(path)
    except ValueError:
        return "light_field"  # whose reader then says what is wrong
    by_name = "light_field" if options.keys() & READER.keys() or not _are_slices(path) else "focal_stack"
    return str(options.get("kind", by_name))


def _are_slices(folder: Path) -> bool:
    """Tell whether all pictures of a folder are called slices; numbers alone may be views as well."""
    matches = [SLICE.match(file.stem) for file in _pictures(folder)]
    return len(matches) > 1 and all(match is not None and match["word"] for match in matches)


def _pair(folder: Path) -> tuple[Path, Path] | None:
    """Return photo and disparity of a folder that holds these two pictures alone."""
    found = {file.stem: file for file in _pictures(folder)} if folder.is_dir() else {}
    return (found[IMAGE], found[DISPARITY]) if found.keys() == {IMAGE, DISPARITY} else None


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")
    )


def list_stacks(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the slices of each focal stack in a folder, near to far, by what their names have before the number.

    Raises
    ------
    ValueError
        One line: a picture whose name has no number, or a stack of one slice.
    """
    stacks: dict[str, dict[int, Path]] = {}
    for file in _pictures(folder):
        match = SLICE.match(file.stem)
        if match is None:
            raise ValueError(f"{file}: the name of a slice must end in its number, counted from near to far")
        stacks.setdefault(match["scene"], {})[int(match["slice"])] = file
    if not stacks:
        raise ValueError(f"{folder} holds no slices of focal stacks ({', '.join(sorted(PICTURES))})")
    for name, slices in stacks.items():
        if len(slices) < 2:
            raise ValueError(f"{folder}: the focal stack {name or folder.name} has one slice, 2 are needed")
    return {name: tuple(slices[number] for number in sorted(slices)) for name, slices in stacks.items()}

"""Prepare scenes on a Ray cluster: their files travel there, the scenes travel back.

No machine of the cluster needs the folder of data; each scene is byte for byte what this machine would make of it.
"""

import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

from refocal.cluster import cluster, room
from refocal.scenes.preparation import Recipe, prepare_scene, source_files
from refocal.scenes.sources import Source

Contents = dict[str, bytes]  # of a folder, by the relative path
Task = tuple[Source, Path, Recipe, str]


def prepared_on_ray(
    tasks: Sequence[Task], workers: int, code: Callable[[], str], keep: Callable[[Path, str, str], None]
) -> Generator[tuple[str, str | None]]:
    """Prepare sources as they come; yields each one's name, and what is wrong with it or None.

    Parameters
    ----------
    tasks
        Source, work folder, recipe and key of each.
    workers
        How many at once; 0: as many as the cluster has CPUs.
    code
        Gives the digest of the code that decides what a scene holds: every machine must have the same.
    keep
        Called with work folder, name and key of a scene that has arrived.

    Raises
    ------
    ValueError
        No cluster, or one with other code.
    """
    left = list(reversed(tasks))
    with cluster() as ray:
        count, digest = workers or room(ray, 1), code()
        prepare = ray.remote(num_cpus=1)(_prepare_there)
        running: dict[object, Task] = {}
        while left or running:
            while left and len(running) < 2 * count:  # each holds its files in memory
                task = left.pop()
                running[prepare.remote(task[0], _packed(task[0]), task[2], code, digest)] = task
            (ready,), _ = ray.wait(list(running), num_returns=1)
            source, work, _, key = running.pop(ready)
            try:
                made = ray.get(ready)
            except ray.exceptions.RayTaskError as error:  # raised there, by Ray in its own kind
                raise error.cause from None
            except ray.exceptions.RayError as error:
                made = f"its worker died: {type(error).__name__}"
            if isinstance(made, str):
                yield source.name, made
                continue
            _unpack(made, work / source.name)
            keep(work, source.name, key)
            yield source.name, None


def _packed(source: Source) -> Contents:
    root = source.path.parent
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in source_files(source)}


def _prepare_there(
    source: Source, files: Contents, recipe: Recipe, code: Callable[[], str], digest: str
) -> Contents | str:
    """Prepare a scene on a machine of the cluster; return its files, or what is wrong."""
    if code() != digest:
        raise ValueError("the Ray cluster has another refocal than this machine: install the same on both")
    with tempfile.TemporaryDirectory() as place:
        data, made, root = Path(place) / "data", Path(place) / "made", source.path.parent
        for name, content in files.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(content)
        made.mkdir()
        moved = [data / file.relative_to(root) for file in source.files]
        there = replace(source, path=data / source.path.name, files=tuple(moved))
        try:
            scene = prepare_scene(there, made, recipe)
        except ValueError as error:
            return " ".join(str(error).replace(str(data), str(root)).split())
        return {file.relative_to(scene).as_posix(): file.read_bytes() for file in scene.rglob("*") if file.is_file()}


def _unpack(files: Contents, folder: Path) -> None:
    """Write a scene, whole or not at all."""
    beside = folder.with_name(f".{folder.name}.arriving")
    for old in (beside, folder):
        if old.exists():
            shutil.rmtree(old)
    for name, content in files.items():
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        (beside / name).write_bytes(content)
    beside.rename(folder)

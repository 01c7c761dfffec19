"""Prepare all sources of a folder in parallel processes, resumably.

Scenes are prepared in a work folder that replaces the final one when all is done. A finished scene has a key beside it: a
digest of the light field's files (names, sizes, times), of the recipe, and of our own code. A run that was killed goes
on behind the scenes whose keys still hold; whatever else has changed is made anew.
"""

import hashlib
import shutil
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numba

from refocal.lightfields.lightfield import read_options
from refocal.progress import Progress
from refocal.resources import cores
from refocal.scenes.on_ray import prepared_on_ray
from refocal.scenes.preparation import Recipe, prepare_scene, source_files
from refocal.scenes.scene import Split, write_manifest
from refocal.scenes.sources import Source, list_sources
from refocal.workers import end_with_the_parent

PACKAGES = ("depth", "images", "lightfields", "render", "scenes", "shiftadd")  # whose code decides what a scene holds


@dataclass(frozen=True)
class Folders:
    """Folders of the data, of the prepared scenes, and of the work in progress."""

    data: Path
    scenes: Path
    work: Path


def prepare_scenes(
    folders: Folders,
    recipe: Recipe,
    split: Callable[[Mapping[str, str]], dict[str, Split]],
    *,
    about: Mapping[str, Any],
    progress: Progress,
    workers: int = 0,
    skip: bool = False,
    engine: Literal["local", "ray"] = "local",
) -> dict[str, str]:
    """Prepare every light field of a folder, or go on where a stopped run was; replaces scenes that are there.

    Parameters
    ----------
    split
        From each scene's group to its part. It is asked before anything is computed, with all light fields that are
        listed, so that a bad one changes nothing for the others.
    about
        Provenance for the manifest.
    progress
        Called for each scene that is there.
    workers
        Processes; 0: one a core.
    skip
        Leave bad light fields out, and say so in the manifest, instead of stopping at the first.
    engine
        What prepares them: processes of this machine, or a Ray cluster.

    Returns
    -------
    dict
        What was skipped, and why.

    Raises
    ------
    ValueError
        One line: nothing to prepare, a bad light field, all of them bad, a part that is left without scenes.
    """
    sources = list_sources(folders.data)
    skipped: dict[str, str] = {}
    splits = split(_groups(sources, skipped))
    _stop_at(skipped, skip=skip)
    keys = {name: _key(path, recipe) for name, path in sources.items() if name not in skipped}
    folders.work.mkdir(parents=True, exist_ok=True)
    kept = [name for name, key in keys.items() if _is_kept(folders.work, name, key)]
    for count, name in enumerate(kept):
        progress(count + 1, len(keys), name)
    tasks = [(sources[name], folders.work, recipe, key) for name, key in keys.items() if name not in kept]
    with closing(_prepared(tasks, workers, engine)) as results:
        for count, (name, reason) in enumerate(results):
            if reason is not None:
                skipped[name] = reason
                _stop_at(skipped, skip=skip)
            progress(len(kept) + count + 1, len(keys), name)
    ready = {name: part for name, part in splits.items() if name not in skipped}
    lost = set(splits.values()) - set(ready.values())
    if lost:
        reason = next(iter(skipped.values()))
        raise ValueError(
            f"no scene is left for {', '.join(sorted(lost))}: {len(skipped)} were skipped, first: {reason}"
        )
    _finish(folders, ready, {**about, "skipped": dict(sorted(skipped.items()))})
    return skipped


def _groups(sources: Mapping[str, Source], skipped: dict[str, str]) -> dict[str, str]:
    groups = {}
    for name, source in sources.items():
        try:
            groups[name] = source.group or read_options(source.path).get("group", name)
        except ValueError as error:
            skipped[name], groups[name] = str(error), name
    return groups


def _stop_at(skipped: Mapping[str, str], *, skip: bool) -> None:
    for name, reason in skipped.items():
        if not skip:
            named = reason if name in reason else f"{name}: {reason}"
            raise ValueError(f"{named} (on_error: skip leaves such a light field out)")


def _key(source: Source, recipe: Recipe) -> str:
    """Return what a prepared scene depends on, as a digest; contents count by size and time, since they are large."""
    total = hashlib.sha256(repr((asdict(recipe), _code_digest())).encode())
    for file in source_files(source):
        status = file.stat()
        total.update(repr((file.relative_to(source.path.parent), status.st_size, status.st_mtime_ns)).encode())
    return total.hexdigest()


@cache
def _code_digest() -> str:
    code = Path(str(files("refocal")))
    modules = sorted(module for package in PACKAGES for module in (code / package).rglob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def _key_file(work: Path, name: str) -> Path:
    return work / f".{name}.key"


def _is_kept(work: Path, name: str, key: str) -> bool:
    file = _key_file(work, name)
    return (work / name).is_dir() and file.is_file() and file.read_text(encoding="utf-8") == key


def _prepare(source: Source, work: Path, recipe: Recipe, key: str) -> str | None:
    """Prepare one scene and leave its key; return what is wrong with it, if anything is."""
    _key_file(work, source.name).unlink(missing_ok=True)  # first: an old key must never stand beside a new scene
    try:
        prepare_scene(source, work, recipe)
    except ValueError as error:
        return " ".join(str(error).split())
    _leave_key(work, source.name, key)
    return None


def _leave_key(work: Path, name: str, key: str) -> None:
    _key_file(work, name).write_text(key, encoding="utf-8")


def _prepared(
    tasks: Sequence[tuple[Source, Path, Recipe, str]], workers: int, engine: Literal["local", "ray"]
) -> Generator[tuple[str, str | None]]:
    """Prepare light fields as they come; yields each one's name, and what is wrong with it or None."""
    if engine == "ray" and tasks:
        for source, work, _, _ in tasks:
            _key_file(work, source.name).unlink(missing_ok=True)
        yield from prepared_on_ray(tasks, workers, _code_digest, _leave_key)
        return
    workers = min(workers or cores(), len(tasks))
    if workers <= 1:
        for task in tasks:
            yield task[0].name, _prepare(*task)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(max(1, cores() // workers),))
    futures: dict[Future[str | None], str] = {}
    try:
        futures |= {pool.submit(_prepare, *task): task[0].name for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise ValueError(
            "a worker process died, most likely for lack of memory; try fewer stack.workers; finished scenes are kept"
        ) from None
    finally:  # whatever stops us: what runs is finished and kept, nothing new begins
        pool.shutdown(wait=True, cancel_futures=True)


def _start(threads: int) -> None:
    """Set a worker up: its share of the cores, deaf to Ctrl-C (the parent hears it), gone when the parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    end_with_the_parent()


def _finish(folders: Folders, splits: Mapping[str, Split], about: Mapping[str, Any]) -> None:
    """Write the manifest, clear away what doesn't belong, and move the work folder to the final place."""
    for path in folders.work.iterdir():
        if path.name not in splits:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_manifest(folders.work, about, splits)
    if folders.scenes.exists():
        shutil.rmtree(folders.scenes)
    folders.scenes.parent.mkdir(parents=True, exist_ok=True)
    folders.work.rename(folders.scenes)

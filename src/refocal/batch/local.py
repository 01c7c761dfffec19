"""The engine of one machine: a process a core, each with a model of its own."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from refocal.batch.photos import Photo
from refocal.batch.worker import BatchSettings, Line, Worker, died
from refocal.resources import cores
from refocal.workers import end_with_the_parent, leave_signals_to_the_parent

Stopped = Callable[[], bool]

_worker: Worker


def refocus_here(
    photos: Sequence[Photo], settings: BatchSettings, out: str, *, workers: int, stopped: Stopped
) -> Iterator[Line]:
    """Refocus photos in processes and yield their lines of the manifest, as they come.

    A photo whose process dies is tried once more, alone: others that were at work then are not to blame.

    Parameters
    ----------
    workers
        Processes; 0: one a core.
    stopped
        Asked again and again; once it is true nothing new begins, and what runs is finished.

    Raises
    ------
    StorageError
        An output cannot be written.
    """
    count = max(1, min(workers or cores(), len(photos)))
    waiting = deque(photos)
    while waiting and not stopped():
        running: dict[Future[Line], Photo] = {}
        pool = _pool(settings, out, count)
        try:
            yield from _through(pool, waiting, running, 2 * count, stopped)
        except BrokenProcessPool:
            pool.shutdown()
            for photo in running.values():
                yield _alone(photo, settings, out)
        finally:  # whatever ends it
            pool.shutdown(cancel_futures=True)


def _through(
    pool: ProcessPoolExecutor, waiting: deque[Photo], running: dict[Future[Line], Photo], width: int, stopped: Stopped
) -> Iterator[Line]:
    """Keep `width` photos in the pool; those that are there stay in `running` until they are done."""
    while waiting or running:
        if stopped():
            waiting.clear()
            for future in [future for future in running if future.cancel()]:
                del running[future]
        while waiting and len(running) < width:
            photo = waiting.popleft()
            try:
                running[pool.submit(_refocus, photo)] = photo
            except BrokenProcessPool:
                waiting.appendleft(photo)  # it has not begun
                raise
        for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
            line = future.result()
            del running[future]
            yield line


def _alone(photo: Photo, settings: BatchSettings, out: str) -> Line:
    with _pool(settings, out, 1) as pool:
        try:
            return pool.submit(_refocus, photo).result()
        except BrokenProcessPool:
            return died(photo)


def _pool(settings: BatchSettings, out: str, workers: int) -> ProcessPoolExecutor:
    threads = max(1, cores() // workers)
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(settings, out, threads))


def _start(settings: BatchSettings, out: str, threads: int) -> None:
    """Open the model in a new process, deaf to Ctrl-C (the parent hears it) and gone when the parent is."""
    global _worker  # noqa: PLW0603  a process pool has no other place for what its processes keep
    leave_signals_to_the_parent()
    end_with_the_parent()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    _worker = Worker(settings, out, threads)


def _refocus(photo: Photo) -> Line:
    return _worker(photo)

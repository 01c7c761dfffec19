"""Batches of photos as jobs on disk: they survive the server, and any worker goes on with them; see `job_folder`."""

import json
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refocal.serving.jobs.files import check_locks, flush_folder, is_full, write
from refocal.serving.jobs.job_folder import (
    ENDED,
    State,
    Status,
    is_leased,
    lease,
    modified,
    read_job,
    read_outcome,
    read_upload,
)
from refocal.serving.jobs.results import pack
from refocal.serving.logs import LOG

Made = tuple[str, bytes, Mapping[str, Any]]  # suffix, picture, what to report of it
Refocus = Callable[[bytes, Mapping[str, Any]], Made]
IDLE = 0.5  # s between looks for work
LATEST = 30.0  # s between tries while the disk is full, at most
TOLD_EVERY = 60.0  # s between lines about it
ID = re.compile(r"[0-9a-f]{32}")


class TooManyJobsError(Exception):
    """The limit of jobs is reached."""


class Jobs:
    """The jobs in a folder, shared by any number of processes.

    Parameters
    ----------
    folder : Path
        Created if needed, readable by its owner only.
    limit : int
        Jobs kept at the same time, finished ones included.
    max_age : float
        Seconds until a job and its result are removed.
    """

    def __init__(self, folder: Path, *, limit: int, max_age: float) -> None:
        self.folder, self.limit, self.max_age = folder, limit, max_age
        self.wake = threading.Event()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_locks(folder)

    def create(self, photos: Iterable[tuple[str, bytes]], settings: Mapping[str, Any]) -> str:
        """Write a job and return its id.

        Raises
        ------
        TooManyJobsError
            There are `limit` jobs already.
        ValueError
            Raised by `photos` while it is read; nothing is left behind.
        OSError
            The disk is full, or fails; nothing is left behind.
        """
        self.clean()
        if sum(1 for _ in self._all()) >= self.limit:
            raise TooManyJobsError
        job = secrets.token_hex(16)
        beside = self.folder / f".{job}"
        try:
            (beside / "in").mkdir(parents=True)
            (beside / "out").mkdir()
            names = []
            for number, (name, data) in enumerate(photos):
                write(beside / "in" / f"{number:04d}", data)
                names.append(name)
            content = {"created": time.time(), "settings": dict(settings), "names": names}
            write(beside / "job.json", json.dumps(content).encode())
            beside.rename(self.folder / job)
            flush_folder(self.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self.wake.set()
        return job

    def status(self, job: str) -> Status:
        """Return the progress of a job; KeyError where there is none."""
        path = self._path(job)
        try:
            names, created, _ = read_job(path)
        except ValueError:
            when = modified(path / "job.json")
            return Status(job, "failed", 0, 0, 0, when, when)
        # Not *.json, which includes .0000.json: an outcome that is being written.
        ends = [end for entry in sorted((path / "out").glob("[0-9]*.json")) if (end := read_outcome(entry)) is not None]
        finished = next((modified(path / mark) for mark in ENDED if (path / mark).exists()), None)
        state: State = "running" if ends or is_leased(path) else "queued"
        if finished is not None:
            marks: tuple[State, ...] = ("done", "cancelled", "failed")
            state = next(mark for mark, file in zip(marks, ENDED, strict=True) if (path / file).exists())
        failed = sum("error" in end for end in ends)
        return Status(job, state, len(names), len(ends), failed, created, finished)

    def cancel(self, job: str) -> Status:
        """Stop a job after the photo in progress; a finished job stays finished."""
        path = self._path(job)
        if not (path / "result.zip").exists():
            (path / "cancelled").touch()
        return self.status(job)

    def result(self, job: str) -> Path | None:
        """Return the ZIP file of a finished job, else None."""
        path = self._path(job) / "result.zip"
        return path if path.exists() else None

    def waiting(self) -> list[Path]:
        """Return the folders of the jobs that wait or run, the oldest first; none while the disk fails."""
        try:
            paths = [path for path in self._all() if not any((path / mark).exists() for mark in ENDED)]
        except OSError:
            LOG.exception("the folder of batches cannot be read")
            return []
        return sorted(paths, key=modified)

    def clean(self) -> None:
        """Remove what is older than `max_age`, and incomplete jobs of killed servers."""
        oldest = time.time() - self.max_age
        for entry in self.folder.iterdir():
            if modified(entry) < oldest and not is_leased(entry):
                shutil.rmtree(entry, ignore_errors=True)

    def work(self, refocus: Refocus, stop: threading.Event, report: Callable[[int], None] = lambda _: None) -> None:
        """Process jobs until `stop` is set, and report how many wait: the loop of a worker's thread."""
        pause, told = IDLE, -math.inf
        while not stop.is_set():
            self.wake.clear()
            waits = False
            paths = self.waiting()
            report(len(paths))
            for path in paths:
                try:
                    self._take(path, refocus, stop)
                except Exception:  # noqa: BLE001  a full disk, most likely: nothing of a job may end this thread
                    waits = True
                    if time.monotonic() - told > TOLD_EVERY:
                        LOG.exception("a batch waits", extra={"entry": {"job": path.name}})
                        told = time.monotonic()
                if stop.is_set():
                    return
            pause = min(2 * pause, LATEST) if waits else IDLE
            (stop if waits else self.wake).wait(pause)

    def _take(self, path: Path, refocus: Refocus, stop: threading.Event) -> None:
        """Do a job, unless another worker has it; one that cannot be read is marked as failed."""
        try:
            with lease(path) as mine:
                if mine:
                    self._do(path, refocus, stop)
        except FileNotFoundError:  # removed meanwhile
            if (path / "job.json").exists():
                raise
        except ValueError as error:
            LOG.exception("job", extra={"entry": {"job": path.name}})
            write(path / "failed", str(error).encode())

    def _do(self, path: Path, refocus: Refocus, stop: threading.Event) -> None:
        if any((path / mark).exists() for mark in ENDED):
            return  # another worker has ended it since this one looked for work
        names, _, settings = read_job(path)
        (path / "out").mkdir(exist_ok=True)
        for number in range(len(names)):
            if stop.is_set() or (path / "cancelled").exists():
                return
            end = path / "out" / f"{number:04d}.json"
            if read_outcome(end) is not None:
                continue
            start, data = time.perf_counter(), None
            try:
                suffix, data, about = refocus(read_upload(path, number), settings)
                outcome: dict[str, Any] = {"suffix": suffix, **about}
            except Exception as error:  # one bad photo must not fail the others
                if is_full(error):
                    raise
                outcome = {"error": " ".join(str(error).split()) or type(error).__name__}
            if data is not None:
                write(end.with_suffix(".bin"), data)
            outcome["milliseconds"] = round((time.perf_counter() - start) * 1000, 1)
            write(end, json.dumps(outcome).encode())
        if not (path / "cancelled").exists():
            pack(path, names)
            shutil.rmtree(path / "in", ignore_errors=True)

    def _all(self) -> Iterator[Path]:
        return (entry for entry in self.folder.iterdir() if ID.fullmatch(entry.name))

    def _path(self, job: str) -> Path:
        path = self.folder / job
        if not ID.fullmatch(job) or not path.is_dir():
            raise KeyError(job)
        return path

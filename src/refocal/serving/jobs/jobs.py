"""Batches of photos as files: they survive the server, and any worker goes on with them.

    jobs/ID/
      job.json            time of creation, settings, names of the photos
      in/0000 …           the photos as uploaded
      out/0000.json …     outcome of each: a name in the result, or an error; beside it 0000.bin, the image
      cancelled           exists once the job was cancelled
      result.zip          the images and manifest.json, once all are done
      lease               locked by the worker that processes the job; the kernel releases it when that dies

Every file is written beside its place and renamed: a file that exists is complete, and nothing is done twice.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from refocal.serving.jobs.results import pack, read
from refocal.serving.logs import LOG

State = Literal["queued", "running", "done", "cancelled"]
Made = tuple[str, bytes, Mapping[str, Any]]  # suffix, picture, what to report of it
Refocus = Callable[[bytes, Mapping[str, Any]], Made]
IDLE = 0.5  # s between looks for work
ID = re.compile(r"[0-9a-f]{32}")


class TooManyJobsError(Exception):
    """The limit of jobs is reached."""


@dataclass(frozen=True)
class Status:
    """Progress of a job: photos in total, done, and failed among those; creation and end in seconds since 1970."""

    job: str
    state: State
    total: int
    done: int
    failed: int
    created: float
    finished: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the status as a JSON object."""
        return asdict(self)


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

    def create(self, photos: Iterable[tuple[str, bytes]], settings: Mapping[str, Any]) -> str:
        """Write a job and return its id.

        Raises
        ------
        TooManyJobsError
            There are `limit` jobs already.
        ValueError
            Raised by `photos` while it is read; nothing is left behind.
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
                (beside / "in" / f"{number:04d}").write_bytes(data)
                names.append(name)
            content = {"created": time.time(), "settings": dict(settings), "names": names}
            (beside / "job.json").write_text(json.dumps(content))
            beside.rename(self.folder / job)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self.wake.set()
        return job

    def status(self, job: str) -> Status:
        """Return the progress of a job; KeyError where there is none."""
        path = self._path(job)
        content = read(path / "job.json")
        # Not *.json, which includes .0000.json: an outcome that is being written.
        ends = [read(entry) for entry in sorted((path / "out").glob("[0-9]*.json"))]
        result, cancelled = path / "result.zip", path / "cancelled"
        finished = next((_time(mark) for mark in (result, cancelled) if mark.exists()), None)
        state: State = "running" if ends or _is_leased(path) else "queued"
        if finished is not None:
            state = "done" if result.exists() else "cancelled"
        failed = sum("error" in end for end in ends)
        return Status(job, state, len(content["names"]), len(ends), failed, content["created"], finished)

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

    def waiting(self) -> int:
        """Return the number of jobs that wait or run."""
        return sum(1 for _ in self._open())

    def clean(self) -> None:
        """Remove what is older than `max_age`, and incomplete jobs of killed servers."""
        oldest = time.time() - self.max_age
        for entry in self.folder.iterdir():
            if _time(entry) < oldest and not _is_leased(entry):
                shutil.rmtree(entry, ignore_errors=True)

    def work(self, refocus: Refocus, stop: threading.Event, report: Callable[[int], None] = lambda _: None) -> None:
        """Process jobs until `stop` is set, and report how many wait: the loop of a worker's thread."""
        while not stop.is_set():
            self.wake.clear()
            report(self.waiting())
            for path in list(self._open()):
                try:
                    with _lease(path) as mine:
                        if mine:
                            self._do(path, refocus, stop)
                except OSError:  # removed meanwhile, or the disk is full: the next round tries again
                    LOG.exception("job", extra={"entry": {"job": path.name}})
                if stop.is_set():
                    return
            self.wake.wait(IDLE)

    def _do(self, path: Path, refocus: Refocus, stop: threading.Event) -> None:
        content = read(path / "job.json")
        for number in range(len(content["names"])):
            if stop.is_set() or (path / "cancelled").exists():
                return
            end = path / "out" / f"{number:04d}.json"
            if end.exists():
                continue
            start, outcome = time.perf_counter(), {}
            try:
                suffix, data, about = refocus((path / "in" / f"{number:04d}").read_bytes(), content["settings"])
                _write(end.with_suffix(".bin"), data)
                outcome = {"suffix": suffix, **about}
            except Exception as error:  # noqa: BLE001  one bad photo must not fail the others
                outcome = {"error": " ".join(str(error).split()) or type(error).__name__}
            outcome["milliseconds"] = round((time.perf_counter() - start) * 1000, 1)
            _write(end, json.dumps(outcome).encode())
        if not (path / "cancelled").exists():
            pack(path, content["names"])
            shutil.rmtree(path / "in", ignore_errors=True)

    def _all(self) -> Iterator[Path]:
        return (entry for entry in self.folder.iterdir() if ID.fullmatch(entry.name))

    def _open(self) -> Iterator[Path]:
        ended = ("result.zip", "cancelled")
        paths = (path for path in self._all() if not any((path / mark).exists() for mark in ended))
        return iter(sorted(paths, key=_time))

    def _path(self, job: str) -> Path:
        path = self.folder / job
        if not ID.fullmatch(job) or not (path / "job.json").is_file():
            raise KeyError(job)
        return path


@contextmanager
def _lease(path: Path) -> Iterator[bool]:
    """Lock a job for this worker; False where another worker has it."""
    with (path / "lease").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_leased(path: Path) -> bool:
    try:
        with (path / "lease").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(data)
    beside.replace(path)


def _time(path: Path) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116  as Path.stat
    except FileNotFoundError:
        return 0.0

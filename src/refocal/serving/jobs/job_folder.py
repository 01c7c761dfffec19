"""The folder of a job: what its files are, and reading them whatever happened to them.

    jobs/ID/
      job.json            time of creation, settings, names of the photos
      in/0000 …           the photos as uploaded
      out/0000.json …     outcome of each: a name in the result, or an error; beside it 0000.bin, the image
      cancelled           exists once the job was cancelled
      failed              exists once the job could not be read, and says why
      result.zip          the images and manifest.json, once all are done
      lease               locked by the worker that processes the job; the kernel releases it when that dies

Every file is written beside its place, flushed to the disk and renamed: a file that exists is complete, and nothing is
done twice. What a power cut or a disk damaged all the same ends its own job, or is done again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from refocal.serving.jobs.files import read

State = Literal["queued", "running", "done", "cancelled", "failed"]
ENDED = ("result.zip", "cancelled", "failed")  # files of which one exists once a job has ended


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


def read_job(path: Path) -> tuple[list[str], float, dict[str, Any]]:
    """Return names, time of creation, and settings of a job; ValueError where its file is damaged or gone."""
    try:
        content = read(path / "job.json")
        names, created, settings = content["names"], float(content["created"]), dict(content["settings"])
    except (KeyError, TypeError, FileNotFoundError):
        raise ValueError("job.json is damaged") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("job.json is damaged")
    return names, created, settings


def read_outcome(path: Path) -> dict[str, Any] | None:
    """Return what became of a photo; None where it is not known, or its picture is gone: it is done again."""
    try:
        found = read(path)
    except (OSError, ValueError):
        return None
    packed = (path.parents[1] / "result.zip").exists()
    return found if "error" in found or packed or path.with_suffix(".bin").is_file() else None


def read_upload(path: Path, number: int) -> bytes:
    """Return a photo as uploaded; ValueError where it is gone."""
    try:
        return (path / "in" / f"{number:04d}").read_bytes()
    except FileNotFoundError:
        raise ValueError("the upload is gone") from None


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Lock a job for this worker; False where another worker has it."""
    with (path / "lease").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def is_leased(path: Path) -> bool:
    """Tell whether a worker, here or elsewhere, processes a job."""
    try:
        with (path / "lease").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def modified(path: Path) -> float:
    """Return when a file was last changed, in seconds since 1970; 0 where it is gone."""
    try:
        return os.stat(path).st_mtime  # noqa: PTH116  as Path.stat
    except FileNotFoundError:
        return 0.0

"""What of the service can be set, each by an environment variable that begins with REFOCAL_."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings; the variable of each is its name in capitals, with REFOCAL_ before it.

    Attributes
    ----------
    model
        ONNX file; empty: as `refocal photo` finds it.
    token
        Where set, requests must bring it ("Authorization: Bearer …"), those of health and of the page's files apart.
    cors
        Origins, with commas between, whose pages may call the API; empty: none.
    max_bytes, max_batch_bytes
        Of a request's body; of /batch.
    max_pixels
        Of a photo, checked before it is decoded.
    max_photos
        Of a batch.
    workers, threads
        Processes; threads of onnxruntime in each, 0: the cores shared out among the processes.
    concurrency
        Requests that a worker holds at once; further ones get 503 and when to come again.
    at_once
        Of those, the photos that are worked on at the same time.
    batch
        Of those, the ones of one size that go through the model together at most: for a GPU.
    timeout
        Seconds until a request is given up with 503.
    dir
        Where jobs and analyses lie, shared by all workers.
    cache_bytes
        Of the analyses kept on disk.
    jobs, job_days
        Jobs kept at once, and how long.
    """

    model: str = ""
    token: str = ""
    cors: str = ""
    max_bytes: int = 64 << 20
    max_batch_bytes: int = 1 << 30
    max_pixels: int = 50_000_000
    max_photos: int = 500
    workers: int = 1
    threads: int = 0
    concurrency: int = 32
    at_once: int = 2
    batch: int = 1
    timeout: float = 120.0
    dir: Path = Path(tempfile.gettempdir()) / "refocal"
    cache_bytes: int = 1 << 30
    jobs: int = 100
    job_days: float = 1.0

    @property
    def session_threads(self) -> int:
        """Threads of onnxruntime in each worker."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.workers)


READERS: dict[type, Callable[[str], object]] = {str: str, int: int, float: float, Path: Path}
AT_LEAST_0 = {"threads", "cache_bytes"}


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; what is not set keeps its default.

    Raises
    ------
    ValueError
        One line that names the variable, its value and what is allowed.
    """
    told: dict[str, object] = {}
    for field in fields(Settings):
        name = f"REFOCAL_{field.name.upper()}"
        text = environment.get(name, "").strip()
        if not text:
            continue
        kind = type(field.default)
        reader = READERS[Path if issubclass(kind, Path) else kind]
        try:
            value = reader(text)
        except ValueError:
            value = None
        if value is None or (isinstance(value, int | float) and not _allowed(field.name, value)):
            least = "0 or more" if field.name in AT_LEAST_0 else "more than 0"
            raise ValueError(f"{name} must be {'an integer' if kind is int else 'a number'}, {least}, got {text!r}")
        told[field.name] = value
    return Settings(**told)  # type: ignore[arg-type]  # each was read as its own type


def _allowed(name: str, value: float) -> bool:
    return value < float("inf") and (value >= 0 if name in AT_LEAST_0 else value > 0)

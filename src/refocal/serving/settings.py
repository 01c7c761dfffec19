"""Settings of the service, each an environment variable that begins with REFOCAL_."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from refocal.resources import cores


@dataclass(frozen=True)
class Settings:
    """Settings of the service. The variable of each is its name in capitals, prefixed with REFOCAL_.

    Attributes
    ----------
    model
        ONNX file; empty: as `refocal photo` finds it.
    depth_model
        Depth network whose disparity replaces the model's own: an ONNX file, or a name for Hugging Face transformers
        (needs the depth extra); empty: none.
    depth_preset, depth_size, depth_mean, depth_std
        Conventions of the ONNX file, as `refocal photo` has them; empty or 0: those of the preset.
    depth_kind
        What the network gives: "disparity", "depth" or "inverted"; empty: as the preset or the model says.
    token
        Where set, requests must carry it ("Authorization: Bearer …"), except those of health and of the page's files.
    cors
        Comma-separated origins whose pages may call the API; empty: none.
    max_bytes, max_batch_bytes
        Size of a request; of a request to /batch.
    max_pixels
        Pixels of a photo, checked before it is decoded.
    max_photos
        Photos of a batch.
    workers, threads
        Processes; threads of onnxruntime in each, 0: the cores divided by the number of processes.
    concurrency
        Requests that a worker accepts at once; further ones get 503 with `Retry-After`.
    at_once
        Photos that a worker processes at the same time; others wait for their turn.
    max_wait
        Seconds that a request may have to wait for its turn: one that would wait longer gets 503 at once.
    require_gpu
        Fail at the start rather than run on the CPU.
    batch
        Photos of one size that the model processes as one micro-batch, at most: for a GPU.
    timeout
        Seconds until a request is answered with 503.
    dir
        Folder of jobs and cached disparities, shared by all workers.
    cache_bytes
        Size of the cache of disparities.
    jobs, job_days
        Jobs kept at once, and how long.
    engine
        What the page refocuses by: "server"; "browser", so that no photo is sent; "auto": the browser where it can.
    site
        Folder that `make site` wrote, of which the browser's engine is served.
    """

    model: str = ""
    depth_model: str = ""
    depth_preset: str = ""
    depth_size: int = 0
    depth_mean: str = ""
    depth_std: str = ""
    depth_kind: str = ""
    token: str = ""
    cors: str = ""
    max_bytes: int = 64 << 20
    max_batch_bytes: int = 1 << 30
    max_pixels: int = 64_000_000
    max_photos: int = 500
    workers: int = 1
    threads: int = 0
    concurrency: int = 32
    at_once: int = 2
    max_wait: float = 10.0
    require_gpu: bool = False
    batch: int = 1
    timeout: float = 120.0
    dir: Path = Path(tempfile.gettempdir()) / "refocal"
    cache_bytes: int = 1 << 30
    jobs: int = 100
    job_days: float = 1.0
    engine: str = "server"
    site: Path = Path("public")

    @property
    def session_threads(self) -> int:
        """Threads of onnxruntime in each worker."""
        return self.threads or max(1, cores() // self.workers)


def _flag(text: str) -> bool:
    """Read yes or no, as typer does for the command line."""
    if text.lower() in {"1", "true", "t", "yes", "y", "on"}:
        return True
    if text.lower() in {"0", "false", "f", "no", "n", "off"}:
        return False
    raise ValueError


READERS: dict[type, Callable[[str], object]] = {str: str, bool: _flag, int: int, float: float, Path: Path}
ENGINES = ("server", "browser", "auto")
AT_LEAST_0 = {"threads", "cache_bytes", "depth_size", "require_gpu"}


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; what is not set keeps its default.

    Raises
    ------
    ValueError
        One line that names the variable, its value and what is allowed.
    """
    given: dict[str, object] = {}
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
            wanted = {bool: "true or false", int: f"an integer, {least}"}.get(kind, f"a number, {least}")
            raise ValueError(f"{name} must be {wanted}, got {text!r}")
        given[field.name] = value
    settings = Settings(**given)  # type: ignore[arg-type]  # each was read as its own type
    _check_engine(settings)
    return settings


def _check_engine(settings: Settings) -> None:
    if settings.engine not in ENGINES:
        raise ValueError(f"REFOCAL_ENGINE must be one of {', '.join(ENGINES)}, got {settings.engine!r}")
    models = settings.site / "static" / "models" / "models.json"
    if settings.engine != "server" and not models.is_file():
        raise ValueError(f"REFOCAL_ENGINE={settings.engine} needs what `make site` writes: there is no {models}")


def _allowed(name: str, value: float) -> bool:
    return value < float("inf") and (value >= 0 if name in AT_LEAST_0 else value > 0)

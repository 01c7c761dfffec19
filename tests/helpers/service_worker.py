"""A worker of the service, with or without a server: the API behind its guard, photos to send, and files to read."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from refocal.model.refocuser import Refocuser
from refocal.serving.api.app import build
from refocal.serving.guard import Guard
from refocal.serving.jobs.jobs import Jobs
from refocal.serving.pipeline.cache import Cache
from refocal.serving.pipeline.depth import depth_network
from refocal.serving.pipeline.pipeline import RequestPipeline
from refocal.serving.settings import Settings
from refocal.serving.turns import Turns


def photo_of(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return a photo whose left half is near (red) and whose right half is far, with detail all over."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 0] = 0
    return pixels


def file_of(pixels: NDArray[Any] | None = None, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(photo_of() if pixels is None else pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    """Return what a picture file holds."""
    return np.asarray(Image.open(io.BytesIO(data)))


def worker(tmp_path: Path, model: Path, **told: Any) -> tuple[FastAPI, Settings]:
    """Return an app as a worker has it; its jobs wait until somebody works."""
    settings = Settings(dir=tmp_path / "state", **told)
    app = build(settings)
    cache = Cache(settings.dir / "cache", settings.cache_bytes)
    app.state.pipeline = RequestPipeline(
        Refocuser(model, threads=1),
        cache,
        max_pixels=settings.max_pixels,
        turns=Turns(settings.at_once),
        network=depth_network(settings),
    )
    app.state.jobs = Jobs(settings.dir / "jobs", limit=settings.jobs, max_age=settings.job_days * 86400)
    return app, settings


@contextmanager
def served(app: FastAPI, settings: Settings) -> Iterator[str]:
    """Serve a worker on loopback, for a browser; gives its address."""
    server = uvicorn.Server(uvicorn.Config(Guard(app, settings, Turns(settings.at_once)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

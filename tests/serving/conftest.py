"""A worker without its server: the API behind its guard, with a model known by heart."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blurring_lens import write_blurring_lens
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from refocal.photo.refocuser import Refocuser
from refocal.serving.api import build
from refocal.serving.cache import Cache
from refocal.serving.guard import Guard
from refocal.serving.jobs import Jobs
from refocal.serving.settings import Settings
from refocal.serving.studio import Studio
from tiny_model import PROPS, write_model


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
    app.state.studio = Studio(
        Refocuser(model, threads=1), cache, max_pixels=settings.max_pixels, at_once=settings.at_once
    )
    app.state.jobs = Jobs(settings.dir / "jobs", limit=settings.jobs, max_age=settings.job_days * 86400)
    return app, settings


@pytest.fixture(scope="session")
def lens_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blurring_lens(tmp_path_factory.mktemp("lens") / "lens.onnx")


@pytest.fixture(scope="session")
def blind_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("blind") / "blind.onnx", PROPS)


@pytest.fixture
def serve(tmp_path: Path, lens_model: Path) -> Callable[..., TestClient]:
    """Return what makes a client of a worker, by settings."""

    def start(model: Path = lens_model, **told: Any) -> TestClient:
        app, settings = worker(tmp_path, model, **told)
        return TestClient(Guard(app, settings), raise_server_exceptions=False)

    return start


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()

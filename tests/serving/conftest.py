"""A worker without its server: the API behind its guard, with a model known by heart."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blurring_lens import write_blurring_lens
from chromium import CHROMIUM
from service_worker import worker
from starlette.testclient import TestClient
from tiny_model import PROPS, write_deblur_model, write_model

from refocal.serving.guard import Guard
from refocal.serving.turns import Turns


@pytest.fixture(scope="session")
def lens_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blurring_lens(tmp_path_factory.mktemp("lens") / "lens.onnx")


@pytest.fixture(scope="session")
def blind_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("blind") / "blind.onnx", PROPS)


@pytest.fixture(scope="session")
def sharpening_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lens that can deblur: what it calls sharp is half as bright."""
    model = write_blurring_lens(tmp_path_factory.mktemp("sharpening") / "lens.onnx")
    write_deblur_model(model)
    return model


@pytest.fixture
def serve(tmp_path: Path, lens_model: Path) -> Callable[..., TestClient]:
    """Return what makes a client of a worker, by settings."""

    def start(model: Path = lens_model, **told: Any) -> TestClient:
        app, settings = worker(tmp_path, model, **told)
        return TestClient(Guard(app, settings, Turns(settings.at_once)), raise_server_exceptions=False)

    return start


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium, once for the tests of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()

"""The service that `bentoml serve` runs: workers, each with a model, the API, the page, and a thread for batches."""

import sys
import threading
from collections.abc import Mapping
from typing import Any

import bentoml
from starlette.middleware.cors import CORSMiddleware

from refocal.model.refocuser import Refocuser
from refocal.serving import logs, metrics
from refocal.serving.api.app import build
from refocal.serving.guard import Guard
from refocal.serving.jobs.jobs import Jobs, Made
from refocal.serving.pipeline.cache import Cache
from refocal.serving.pipeline.depth import depth_network
from refocal.serving.pipeline.options import options_of
from refocal.serving.pipeline.pipeline import RequestPipeline
from refocal.serving.settings import Settings, read_settings
from refocal.serving.turns import Turns

try:
    SETTINGS: Settings = read_settings()
except ValueError as error:
    sys.exit(f"refocal: {error}")
APP, TURNS = build(SETTINGS), Turns(SETTINGS.at_once)
EXPOSED = ("Aperture", "Deblurred", "Depth", "Focus")
logs.set_up()


# What `bentoml build` packs: the package with its weights; its container installs the locked versions.
CARRIED = ["pyproject.toml", "hatch_build.py", "requirements.lock", "README.md", "LICENSE", "src", "models"]
IMAGE = (
    bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    .build_include(*CARRIED)
    .python_packages(".", "fastapi", "prometheus-client", "pydantic", "python-multipart")
    .run("cd src && uv pip install --constraint requirements.lock '.[serve]'")
)


@bentoml.service(
    name="refocal",
    image=IMAGE,
    workers=SETTINGS.workers,
    traffic={"timeout": SETTINGS.timeout + 5},
    logging={"access": {"enabled": False}},  # the guard writes it, with the id of the request
    metrics={"enabled": True},
)
@bentoml.asgi_app(APP, path="/")
class Refocal:
    """A worker process."""

    def __init__(self) -> None:
        try:
            refocuser = Refocuser(
                SETTINGS.model or None,
                threads=SETTINGS.session_threads,
                batch=SETTINGS.batch,
                require_gpu=SETTINGS.require_gpu,
            )
            network = depth_network(SETTINGS)
            self.jobs = Jobs(SETTINGS.dir / "jobs", limit=SETTINGS.jobs, max_age=SETTINGS.job_days * 86400)
        except (ValueError, OSError) as error:
            sys.exit(f"refocal: {error}")
        cache = Cache(SETTINGS.dir / "cache", SETTINGS.cache_bytes)
        self.pipeline = RequestPipeline(refocuser, cache, max_pixels=SETTINGS.max_pixels, turns=TURNS, network=network)
        self.pipeline.warm_up()  # ready means that the model has run once
        APP.state.pipeline, APP.state.jobs = self.pipeline, self.jobs
        self.stop = threading.Event()
        self.batch_thread = threading.Thread(
            target=self.jobs.work, args=(self.refocus_batch_photo, self.stop, metrics.QUEUE.set), daemon=True
        )
        self.batch_thread.start()

    def refocus_batch_photo(self, data: bytes, settings: Mapping[str, Any]) -> Made:
        """Refocus one photo of a batch."""
        try:
            answer = self.pipeline.refocus(data, options_of(settings))
        except Exception:
            metrics.PHOTOS.labels("failed").inc()
            raise
        metrics.PHOTOS.labels("done").inc()
        return answer.suffix, answer.data, {"focus": answer.focus}

    def __is_ready__(self) -> bool:
        """Tell /readyz whether batches are being done: without their thread they would wait for ever."""
        return self.batch_thread.is_alive()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def finish(self) -> None:
        """Finish the photo of a batch in progress; the next server goes on from there."""
        self.stop.set()
        self.jobs.wake.set()
        self.batch_thread.join(timeout=5)


SERVICE: Any = Refocal  # the decorator makes it a Service, which its types do not say
SERVICE.add_asgi_middleware(Guard, settings=SETTINGS, turns=TURNS)
if SETTINGS.cors:
    SERVICE.add_asgi_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in SETTINGS.cors.split(",")],
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "X-Request-ID"],
        expose_headers=["Server-Timing", "X-Request-ID", *(f"X-Refocal-{name}" for name in EXPOSED)],
    )

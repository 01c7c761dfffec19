"""The service that `bentoml serve` runs: workers, each with a model, the API, the page, and a hand for batches."""

import sys
import threading
from collections.abc import Mapping
from typing import Any

import bentoml
from starlette.middleware.cors import CORSMiddleware

from refocal.photo.refocuser import Refocuser
from refocal.serving import logs, meters
from refocal.serving.api import build
from refocal.serving.cache import Cache
from refocal.serving.guard import Guard
from refocal.serving.jobs import Jobs, Made
from refocal.serving.settings import Settings, read_settings
from refocal.serving.studio import Studio
from refocal.serving.wishes import wish_of

try:
    SETTINGS: Settings = read_settings()
except ValueError as error:
    sys.exit(f"refocal: {error}")
APP = build(SETTINGS)
logs.set_up()


# What `bentoml build` puts into a bento: the package itself, its weights inside; in a container of the locked versions.
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
    logging={"access": {"enabled": False}},  # the guard writes it, with the request's id
    metrics={"enabled": True},
)
@bentoml.asgi_app(APP, path="/")
class Refocal:
    """A worker."""

    def __init__(self) -> None:
        try:
            refocuser = Refocuser(SETTINGS.model or None, threads=SETTINGS.session_threads, batch=SETTINGS.batch)
        except ValueError as error:
            sys.exit(f"refocal: {error}")
        cache = Cache(SETTINGS.dir / "cache", SETTINGS.cache_bytes)
        self.studio = Studio(refocuser, cache, max_pixels=SETTINGS.max_pixels, at_once=SETTINGS.at_once)
        self.studio.warm()  # ready is who has run once
        self.jobs = Jobs(SETTINGS.dir / "jobs", limit=SETTINGS.jobs, max_age=SETTINGS.job_days * 86400)
        APP.state.studio, APP.state.jobs = self.studio, self.jobs
        self.stop = threading.Event()
        self.hand = threading.Thread(
            target=self.jobs.work, args=(self.refocus_one, self.stop, meters.QUEUE.set), daemon=True
        )
        self.hand.start()

    def refocus_one(self, data: bytes, settings: Mapping[str, Any]) -> Made:
        """Do one photo of a batch."""
        try:
            answer = self.studio.refocus(data, wish_of(settings))
        except Exception:
            meters.PHOTOS.labels("failed").inc()
            raise
        meters.PHOTOS.labels("done").inc()
        return answer.suffix, answer.data, {"focus": answer.focus}

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML has no types for it
    def finish(self) -> None:
        """Let the photo of a batch that is at work end; the next server goes on from there."""
        self.stop.set()
        self.jobs.wake.set()
        self.hand.join(timeout=5)


SERVICE: Any = Refocal  # the decorator makes it a Service, which its types do not tell
SERVICE.add_asgi_middleware(Guard, settings=SETTINGS)
if SETTINGS.cors:
    SERVICE.add_asgi_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in SETTINGS.cors.split(",")],
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "X-Request-ID"],
        expose_headers=["Server-Timing", "X-Refocal-Aperture", "X-Refocal-Focus", "X-Request-ID"],
    )

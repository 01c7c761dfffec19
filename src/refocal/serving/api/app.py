"""The FastAPI application: endpoints and page.

The endpoints are FastAPI's and not BentoML's own: those answer a damaged image with 500, read a body of any size, and
fetch the URL that a file field holds. BentoML runs the workers, health, metrics and the bento.
"""

from fastapi import FastAPI

import refocal
from refocal.serving.api import batch, online, page
from refocal.serving.errors import answer_as_json
from refocal.serving.settings import Settings


def build(settings: Settings) -> FastAPI:
    """Return the API and the page; `app.state.pipeline` and `app.state.jobs` are set when a worker starts."""
    app = FastAPI(
        title="refocal",
        version=refocal.__version__,
        summary="Take one photo, choose where its focus lies afterwards.",
        openapi_url="/docs.json",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    answer_as_json(app)
    for part in (online, batch, page):
        app.include_router(part.router)
    return app

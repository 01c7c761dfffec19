"""The API: what is asked for, checked by FastAPI, and answered by the studio; its OpenAPI tells of all of it.

The doors are FastAPI's and not BentoML's own: those answer a damaged picture with 500, read a body of any size, and
fetch what a file field names where it holds a URL. BentoML runs the workers, the health doors,
the metrics and the bento.
"""

from fastapi import FastAPI

import refocal
from refocal.serving import batches, online, pages
from refocal.serving.refusals import answer_as_json
from refocal.serving.settings import Settings


def build(settings: Settings) -> FastAPI:
    """Return the API and the page; `app.state.studio` and `app.state.jobs` are set when a worker starts."""
    app = FastAPI(
        title="refocal",
        version=refocal.__version__,
        summary="Take one photo, choose where its focus lies afterwards.",
        openapi_url="/docs.json",
        docs_url=None,  # it loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    answer_as_json(app)
    for part in (online, batches, pages):
        app.include_router(part.router)
    return app

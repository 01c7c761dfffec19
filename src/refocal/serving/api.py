"""The API: what is asked for, checked by FastAPI, and answered by the studio; its OpenAPI tells of all of it.

The doors are FastAPI's and not BentoML's own: those answer a damaged picture with 500, read a body of any size, and
fetch what a file field names where it holds a URL. BentoML runs the workers, the health doors, the metrics and the bento.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Path, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

import refocal
from refocal.serving import meters
from refocal.serving.archives import photos_of
from refocal.serving.jobs import Jobs, TooManyJobsError
from refocal.serving.refusals import Refusal
from refocal.serving.settings import Settings
from refocal.serving.studio import FILMS, MEDIA, Answer, Film, Format, Studio, Wish

PhotoFile = Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF or HEIC")]
MapFile = Annotated[UploadFile | None, File(description="Its disparity: grey PNG or TIFF, larger = nearer")]
Share = Form(ge=0, le=1, allow_inf_nan=False, description="Of the upright photo: what lies there shall be sharp")
Focus = Annotated[
    float | None,
    Form(ge=-1, le=1, allow_inf_nan=False, description="-1 the farthest, +1 the nearest plane", examples=[0.4]),
]
Point = Annotated[float | None, Share]
Aperture = Annotated[
    float | None,
    Form(
        ge=0,
        le=65536,
        allow_inf_nan=False,
        description="Blur diameter in px, one focus range away; default: the model's",
    ),
]
Quality = Annotated[int, Form(ge=1, le=100, description="Of JPEG and WebP")]
Metadata = Annotated[Literal["keep", "strip"], Form(description="EXIF; the colour profile always stays")]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0123456789abcdef0123456789abcdef"])]


class Problem(BaseModel):
    """What was refused, and why."""

    error: str = Field(description="One line", examples=["focus must be between -1 and 1"])
    field: str | None = Field(None, examples=["focus"])
    request_id: str = Field("", examples=["9f86d081884c7d65"])


class Job(BaseModel):
    """A batch on its way."""

    job: str
    state: Literal["queued", "running", "done", "cancelled"]
    total: int
    done: int = 0
    failed: int = 0
    created: float = Field(0, description="Seconds since 1970")
    finished: float | None = None
    status: str = Field("", description="Where to ask again")
    result: str = Field("", description="Where the ZIP file is, once done")


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in (400, 401, 413, 415, 422, 503, *statuses)}


def _files(media: dict[str, str], *statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media.values()}
    return {200: {"content": content, "description": "The file"}, **_refusals(*statuses)}


def build(settings: Settings) -> FastAPI:
    """Return the API; `app.state.studio` and `app.state.jobs` are set when a worker starts."""
    app = FastAPI(title="refocal", version=refocal.__version__, openapi_url="/docs.json", docs_url=None, redoc_url=None)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    _add_online(app)
    _add_batch(app, settings)
    return app


def _add_online(app: FastAPI) -> None:
    @app.post("/refocus", response_class=Response, responses=_files(MEDIA, 409), summary="Focus a photo elsewhere")
    def refocus(
        request: Request,
        photo: PhotoFile,
        focus: Focus = None,
        x: Point = None,
        y: Point = None,
        aperture: Aperture = None,
        disparity: MapFile = None,
        format: Annotated[Format | None, Form(description="Default: the photo's own; of HEIC jpeg")] = None,  # noqa: A002
        quality: Quality = 92,
        metadata: Metadata = "keep",
    ) -> Response:
        """Say where by focus, or by a point x, y of the photo that shall be sharp."""
        wish = _wish(focus, x, y, aperture, format, quality, metadata)
        return _answered(request, _studio(request).refocus(photo.file.read(), wish, _bytes(disparity)))

    @app.post("/sweep", response_class=Response, responses=_files(FILMS, 409), summary="All the way from far to near")
    def sweep(
        request: Request,
        photo: PhotoFile,
        levels: Annotated[int, Form(ge=2, le=64, description="Frames")] = 15,
        aperture: Aperture = None,
        disparity: MapFile = None,
        format: Annotated[Film, Form()] = "webp",  # noqa: A002
        fps: Annotated[float, Form(ge=1, le=60, allow_inf_nan=False)] = 12,
    ) -> Response:
        """A film, or a ZIP file of its frames."""
        told = _bytes(disparity)
        made = _studio(request).sweep(
            photo.file.read(), levels=levels, aperture=aperture, name=format, fps=fps, told=told
        )
        return _answered(request, made)

    @app.post("/disparity", response_class=Response, responses=_files({"png": "image/png"}, 409), summary="How near")
    def disparity(
        request: Request,
        photo: PhotoFile,
        disparity: MapFile = None,
        view: Annotated[Literal["map", "preview"], Form(description="16-bit grey, or coloured")] = "map",
    ) -> Response:
        """The map has 0 for the farthest (focus -1) and 65535 for the nearest (+1)."""
        return _answered(request, _studio(request).disparity(photo.file.read(), view, _bytes(disparity)))


def _add_batch(app: FastAPI, settings: Settings) -> None:
    @app.post("/batch", status_code=202, responses=_refusals(409, 429), summary="Many photos at once")
    def batch(
        request: Request,
        photos: Annotated[list[UploadFile] | None, File(description="Photos")] = None,
        archive: Annotated[UploadFile | None, File(description="A ZIP file of photos")] = None,
        focus: Focus = None,
        x: Point = None,
        y: Point = None,
        aperture: Aperture = None,
        format: Annotated[Format | None, Form()] = None,  # noqa: A002
        quality: Quality = 92,
        metadata: Metadata = "keep",
    ) -> Job:
        """Answers with a job id at once; ask for its status, then its result."""
        wish = _wish(focus, x, y, aperture, format, quality, metadata)
        if wish.at is not None and not _studio(request).refocuser.finds_depth:
            raise Refusal(409, "the model in use knows no disparity: say a focus", "x")
        if not photos and archive is None:
            raise Refusal(422, "photos, or an archive of them, must be sent", "photos")
        if len(photos or []) > settings.max_photos:
            raise Refusal(422, f"photos must be at most {settings.max_photos}, got {len(photos or [])}", "photos")
        settings_of = {name: value for name, value in vars(wish).items()}
        try:
            job = _jobs(request).create(_sent(photos, archive, settings), settings_of)
        except TooManyJobsError:
            raise Refusal(429, f"{settings.jobs} jobs are kept already; cancel one, or wait", None) from None
        except ValueError as error:
            raise Refusal(400, str(error), "archive") from None
        return _job(_jobs(request), job)

    @app.get("/batch/{job}", responses=_refusals(404), summary="How far a batch is")
    def status(request: Request, job: JobId) -> Job:
        """Photos done and failed, of how many."""
        return _job(_jobs(request), job)

    @app.delete("/batch/{job}", responses=_refusals(404), summary="Cancel a batch")
    def cancel(request: Request, job: JobId) -> Job:
        """It ends after the photo that is at work."""
        _job(_jobs(request), job)
        _jobs(request).cancel(job)
        return _job(_jobs(request), job)

    @app.get("/batch/{job}/result", response_class=FileResponse, responses=_files({"zip": FILMS["zip"]}, 404, 409))
    def result(request: Request, job: JobId) -> FileResponse:
        """A ZIP file of the pictures and manifest.json; 409 until the batch is done."""
        state = _job(_jobs(request), job).state
        path = _jobs(request).result(job)
        if path is None:
            raise Refusal(409, f"the batch is {state}, its result is not there", None)
        return FileResponse(path, media_type=FILMS["zip"], filename=f"refocal-{job[:8]}.zip")


def _wish(
    focus: float | None,
    x: float | None,
    y: float | None,
    aperture: float | None,
    name: Format | None,
    quality: int,
    metadata: str,
) -> Wish:
    at = None if x is None or y is None else (x, y)
    if (x is None) != (y is None) or (focus is None) == (at is None):
        raise Refusal(422, "either focus, or x and y, must say where the photo shall be sharp", "focus")
    return Wish(focus, at, aperture, name, quality, metadata == "keep")


def _bytes(upload: UploadFile | None) -> bytes | None:
    """Return what was uploaded; forms of browsers send an empty file for none."""
    return None if upload is None or (not upload.filename and not upload.size) else upload.file.read()


def _sent(
    photos: list[UploadFile] | None, archive: UploadFile | None, settings: Settings
) -> Iterator[tuple[str, bytes]]:
    for upload in photos or []:
        yield upload.filename or "photo", upload.file.read()
    told = _bytes(archive)
    if told is not None:
        yield from photos_of(told, max_files=settings.max_photos, max_bytes=2 * settings.max_batch_bytes)


def _answered(request: Request, answer: Answer) -> Response:
    endpoint = request.url.path.strip("/")
    for step, milliseconds in answer.took.items():
        meters.STEP.labels(endpoint, step).observe(milliseconds / 1000)
    headers = {"Server-Timing": ", ".join(f"{step};dur={took:.1f}" for step, took in answer.took.items())}
    headers["X-Refocal-Model"] = _studio(request).weights
    if answer.focus is not None:
        headers["X-Refocal-Focus"] = f"{answer.focus:.4f}"
    request.scope.setdefault("state", {})["log"] = {"took": {k: round(v, 1) for k, v in answer.took.items()}}
    return Response(answer.data, media_type=answer.media, headers=headers)


def _job(jobs: Jobs, job: str) -> Job:
    try:
        status = jobs.status(job)
    except (KeyError, FileNotFoundError):
        raise Refusal(404, f"there is no job {job}", "job") from None
    return Job(**status.as_json(), status=f"/batch/{job}", result=f"/batch/{job}/result")


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _problem(request: Request, status: int, line: str, field: str | None) -> JSONResponse:
    name = request.scope.get("state", {}).get("request_id", "")
    if status != 500:
        meters.REFUSED.labels(field or str(status)).inc()
    return JSONResponse({"error": line, "field": field, "request_id": name}, status)


def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal(500, "failed")
    return _problem(request, refusal.status, refusal.line, refusal.field)


def _invalid(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    first: dict[str, Any] = dict(problems[0]) if problems else {}
    field = str(first.get("loc", ("", ""))[-1])
    line = f"{field}: {first.get('msg', 'not allowed')}"
    if isinstance(first.get("input"), str | int | float):
        line += f", got {json.dumps(str(first['input'])[:60])}"
    return _problem(request, 422, line, field)


def _http(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    return _problem(request, known.status_code, str(known.detail), None)


def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001  the log has it
    return _problem(request, 500, "refocal failed; the log tells more under this request's id", None)

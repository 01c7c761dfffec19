"""Endpoints for many photos: POST /batch returns the id of a job; GET and DELETE follow it."""

from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse

from refocal.serving.api.online import options_from_fields, pipeline_of
from refocal.serving.api.schemas import (
    Aperture,
    Deblur,
    Focus,
    Job,
    JobId,
    Metadata,
    Point,
    Quality,
    error_responses,
    file_of,
    files,
)
from refocal.serving.errors import RequestError
from refocal.serving.jobs.archives import photos_of
from refocal.serving.jobs.jobs import Jobs, TooManyJobsError
from refocal.serving.pipeline.animation import FILMS
from refocal.serving.pipeline.options import Format
from refocal.serving.settings import Settings

router = APIRouter(tags=["many photos"])


@router.post("/batch", status_code=202, responses=error_responses(409, 429, 507), summary="Refocus many photos")
def batch(
    request: Request,
    photos: Annotated[list[UploadFile] | None, File(description="Photos")] = None,
    archive: Annotated[UploadFile | None, File(description="A ZIP file of photos")] = None,
    focus: Focus = None,
    x: Point = None,
    y: Point = None,
    aperture: Aperture = None,
    format: Annotated[Format | None, Form(description="Default: each photo's own", examples=["jpeg"])] = None,  # noqa: A002
    quality: Quality = 92,
    metadata: Metadata = "keep",
    deblur: Deblur = "auto",
) -> Job:
    """Create a job and return its id at once; then request its status and its result."""
    options = options_from_fields(focus, x, y, aperture, format, quality, metadata, deblur)
    if options.at is not None and not pipeline_of(request).refocuser.finds_depth:
        raise RequestError(409, "the model in use finds no disparity: give a focus", "x")
    zipped, limit = file_of(archive), _settings(request).max_photos
    if not photos and zipped is None:
        raise RequestError(422, "photos, or an archive of photos, must be sent", "photos")
    if len(photos or []) > limit:
        raise RequestError(422, f"photos must be at most {limit}, got {len(photos or [])}", "photos")
    try:
        job = _jobs(request).create(_sent(photos or [], zipped, _settings(request)), vars(options))
    except TooManyJobsError:
        raise RequestError(
            429, f"{_settings(request).jobs} jobs are kept already; cancel one, or try again later", None
        ) from None
    except ValueError as error:
        raise RequestError(400, str(error), "archive") from None
    except OSError as error:
        raise RequestError(507, f"the batch cannot be kept: {error.strerror or error}; try again later") from None
    return _job(_jobs(request), job)


@router.get("/batch/{job}", responses=error_responses(404), summary="Progress of a batch")
def status(request: Request, job: JobId) -> Job:
    """Return the number of photos done, failed and in total."""
    return _job(_jobs(request), job)


@router.delete("/batch/{job}", responses=error_responses(404), summary="Cancel a batch")
def cancel(request: Request, job: JobId) -> Job:
    """Stop the job after the photo in progress; a finished job keeps its result until it expires."""
    _job(_jobs(request), job)
    _jobs(request).cancel(job)
    return _job(_jobs(request), job)


@router.get(
    "/batch/{job}/result",
    response_class=FileResponse,
    responses=files({"zip": FILMS["zip"]}, 404, 409),
    summary="Result of a batch",
)
def result(request: Request, job: JobId) -> FileResponse:
    """Return a ZIP file of the images and manifest.json; 409 until the batch is done."""
    state = _job(_jobs(request), job).state
    path = _jobs(request).result(job)
    if path is None:
        raise RequestError(409, f"the batch is {state}; it has no result", None)
    return FileResponse(path, media_type=FILMS["zip"], filename=f"refocal-{job[:8]}.zip")


def _sent(photos: list[UploadFile], zipped: BinaryIO | None, settings: Settings) -> Iterator[tuple[str, bytes]]:
    for upload in photos:
        yield upload.filename or "photo", upload.file.read()
    if zipped is not None:
        yield from photos_of(zipped, max_files=settings.max_photos, max_bytes=2 * settings.max_batch_bytes)


def _job(jobs: Jobs, job: str) -> Job:
    try:
        status = jobs.status(job)
    except (KeyError, FileNotFoundError):
        raise RequestError(404, f"there is no job {job}", "job") from None
    return Job(**status.as_json(), status=f"/batch/{job}", result=f"/batch/{job}/result")


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings

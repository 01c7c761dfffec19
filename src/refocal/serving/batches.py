"""The doors for many photos: POST /batch answers with a job's id; GET and DELETE look after it."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import FileResponse

from refocal.serving.archives import photos_of
from refocal.serving.films import FILMS
from refocal.serving.jobs import Jobs, TooManyJobsError
from refocal.serving.online import studio_of, wish_from
from refocal.serving.refusals import Refusal
from refocal.serving.schemas import Aperture, Focus, Job, JobId, Metadata, Point, Quality, bytes_of, files, refusals
from refocal.serving.settings import Settings
from refocal.serving.wishes import Format

router = APIRouter(tags=["many photos"])


@router.post("/batch", status_code=202, responses=refusals(409, 429), summary="Many photos at once")
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
) -> Job:
    """Answer with a job id at once; ask for its status, then its result."""
    wish = wish_from(focus, x, y, aperture, format, quality, metadata)
    if wish.at is not None and not studio_of(request).refocuser.finds_depth:
        raise Refusal(409, "the model in use knows no disparity: say a focus", "x")
    zipped, limit = bytes_of(archive), _settings(request).max_photos
    if not photos and zipped is None:
        raise Refusal(422, "photos, or an archive of them, must be sent", "photos")
    if len(photos or []) > limit:
        raise Refusal(422, f"photos must be at most {limit}, got {len(photos or [])}", "photos")
    try:
        job = _jobs(request).create(_sent(photos or [], zipped, _settings(request)), vars(wish))
    except TooManyJobsError:
        raise Refusal(429, f"{_settings(request).jobs} jobs are kept already; cancel one, or wait", None) from None
    except ValueError as error:
        raise Refusal(400, str(error), "archive") from None
    return _job(_jobs(request), job)


@router.get("/batch/{job}", responses=refusals(404), summary="How far a batch is")
def status(request: Request, job: JobId) -> Job:
    """Tell photos done and failed, of how many."""
    return _job(_jobs(request), job)


@router.delete("/batch/{job}", responses=refusals(404), summary="Cancel a batch")
def cancel(request: Request, job: JobId) -> Job:
    """Stop it after the photo that is at work; one that is done stays, with its result, until it is too old."""
    _job(_jobs(request), job)
    _jobs(request).cancel(job)
    return _job(_jobs(request), job)


@router.get(
    "/batch/{job}/result",
    response_class=FileResponse,
    responses=files({"zip": FILMS["zip"]}, 404, 409),
    summary="What a batch has made",
)
def result(request: Request, job: JobId) -> FileResponse:
    """Fetch a ZIP file of the pictures and manifest.json; 409 until the batch is done."""
    state = _job(_jobs(request), job).state
    path = _jobs(request).result(job)
    if path is None:
        raise Refusal(409, f"the batch is {state}, its result is not there", None)
    return FileResponse(path, media_type=FILMS["zip"], filename=f"refocal-{job[:8]}.zip")


def _sent(photos: list[UploadFile], zipped: bytes | None, settings: Settings) -> Iterator[tuple[str, bytes]]:
    for upload in photos:
        yield upload.filename or "photo", upload.file.read()
    if zipped is not None:
        yield from photos_of(zipped, max_files=settings.max_photos, max_bytes=2 * settings.max_batch_bytes)


def _job(jobs: Jobs, job: str) -> Job:
    try:
        status = jobs.status(job)
    except (KeyError, FileNotFoundError):
        raise Refusal(404, f"there is no job {job}", "job") from None
    return Job(**status.as_json(), status=f"/batch/{job}", result=f"/batch/{job}/result")


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings

"""What requests and answers hold, with their limits; OpenAPI tells of it, and FastAPI refuses the rest."""

from typing import Annotated, Any, Literal

from fastapi import File, Form, Path, UploadFile
from pydantic import BaseModel, Field

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


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI tells of refusals."""
    return {status: {"model": Problem} for status in (400, 401, 413, 415, 422, 503, *statuses)}


def files(media: dict[str, str], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI tells of an answer that is a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media.values()}
    return {200: {"content": content, "description": "The file"}, **refusals(*statuses)}


def bytes_of(upload: UploadFile | None) -> bytes | None:
    """Return what was uploaded; forms of browsers send an empty file for none."""
    return None if upload is None or (not upload.filename and not upload.size) else upload.file.read()

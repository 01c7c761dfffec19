"""Fields of requests and responses with their ranges: OpenAPI shows them, FastAPI checks them."""

from typing import Annotated, Any, BinaryIO, Literal

from fastapi import File, Form, Path, UploadFile
from pydantic import BaseModel, Field

from refocal.model.deblurring import When

PhotoFile = Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF, HEIC or AVIF")]
MapFile = Annotated[
    UploadFile | None, File(description="Its disparity, larger = nearer: grey PNG or TIFF, NPY, NPZ or PFM")
]
Share = Form(
    ge=0,
    le=1,
    allow_inf_nan=False,
    description="Of the upright photo, 0 to 1 from its top left corner: the point to focus on",
    examples=[0.5],
)
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
        examples=[16.0],
    ),
]
Quality = Annotated[int, Form(ge=1, le=100, description="Of JPEG and WebP", examples=[92])]
Metadata = Annotated[
    Literal["keep", "strip"], Form(description="EXIF; the colour profile always stays", examples=["strip"])
]
Deblur = Annotated[
    When,
    Form(
        description="Make what is blurred sharp first: auto, where many edges are soft; or as named", examples=["auto"]
    ),
]
Slope = Annotated[
    float | None,
    Form(
        ge=-100,
        le=100,
        allow_inf_nan=False,
        description="Pixels per view step of the farthest, of the nearest; default: as the lens of the model",
        examples=[0.8],
    ),
]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0123456789abcdef0123456789abcdef"])]


class Problem(BaseModel):
    """A rejected request."""

    error: str = Field(description="One line", examples=["focus must be between -1 and 1"])
    field: str | None = Field(None, examples=["focus"])
    request_id: str = Field("", examples=["9f86d081884c7d65"])


class Job(BaseModel):
    """A batch and its progress."""

    job: str = Field(description="Its id", examples=["0123456789abcdef0123456789abcdef"])
    state: Literal["queued", "running", "done", "cancelled", "failed"] = Field(examples=["running"])
    total: int = Field(description="Photos", examples=[12])
    done: int = Field(0, description="Photos done, failed ones too", examples=[5])
    failed: int = Field(0, examples=[1])
    created: float = Field(0, description="Seconds since 1970", examples=[1767225600.0])
    finished: float | None = Field(None, description="Seconds since 1970", examples=[1767225660.0])
    status: str = Field("", description="Path of the status", examples=["/batch/0123456789abcdef0123456789abcdef"])
    result: str = Field(
        "", description="Path of the ZIP file, once done", examples=["/batch/0123456789abcdef0123456789abcdef/result"]
    )


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses for OpenAPI."""
    return {status: {"model": Problem} for status in (400, 401, 413, 415, 422, 503, *statuses)}


def files(media: dict[str, str], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the file responses for OpenAPI."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media.values()}
    return {200: {"content": content, "description": "The file"}, **error_responses(*statuses)}


def file_of(upload: UploadFile | None) -> BinaryIO | None:
    """Return the upload as it lies, in memory or on the disk; browsers send an empty file for none."""
    return None if upload is None or (not upload.filename and not upload.size) else upload.file


def bytes_of(upload: UploadFile | None) -> bytes | None:
    """Return the uploaded bytes; browsers send an empty file for none."""
    return None if upload is None or (not upload.filename and not upload.size) else upload.file.read()

"""Options of a request, and its result: shared by the endpoints, the pipeline and the files of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from refocal.model.deblurring import When

Format = Literal["jpeg", "png", "webp", "tiff"]
MEDIA = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}


@dataclass(frozen=True)
class RequestOptions:
    """Options of a request.

    Attributes
    ----------
    focus
        -1 the farthest to +1 the nearest; None where `at` gives a point instead.
    at
        x, y as fractions of the upright photo: the point to focus on.
    aperture
        Blur diameter in pixels; None: the model's own.
    format
        Output format; None: that of the photo, JPEG for HEIC.
    quality, keep_metadata
        Quality of JPEG and WebP; whether EXIF is kept (the colour profile always is).
    deblur
        Whether the photo is made sharp first: always, never, or "auto", where its edges are soft.
    """

    focus: float | None = None
    at: tuple[float, float] | None = None
    aperture: float | None = None
    format: Format | None = None
    quality: int = 92
    keep_metadata: bool = True
    deblur: When = "auto"


@dataclass
class Result:
    """The result of a request: a file and its media type, the pixels of the photo, milliseconds of each step, the focus
    and aperture used, and whether the photo was made sharp first.
    """

    data: bytes
    media: str
    suffix: str
    pixels: int
    timings: dict[str, float]
    depth: str  # where the disparity comes from
    focus: float | None = None
    aperture: float | None = None
    deblurred: bool = False


def options_of(settings: Mapping[str, Any]) -> RequestOptions:
    """Return the options that are stored in the file of a batch."""
    at = settings.get("at")
    return RequestOptions(**{**settings, "at": None if at is None else (float(at[0]), float(at[1]))})

"""What is wanted of a photo, and what it becomes: between the doors, the studio and the files of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["jpeg", "png", "webp", "tiff"]
MEDIA = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}


@dataclass(frozen=True)
class Wish:
    """What is wanted of a photo.

    Attributes
    ----------
    focus
        -1 the farthest to +1 the nearest; None where the click `at` says it.
    at
        x, y as fractions of the upright photo: what lies there shall be sharp.
    aperture
        Blur diameter in pixels; None: the model's own.
    format
        None: the photo's own; of HEIC JPEG.
    quality, keep_metadata
        Of JPEG and WebP; whether EXIF stays (the colour profile always does).
    """

    focus: float | None = None
    at: tuple[float, float] | None = None
    aperture: float | None = None
    format: Format | None = None
    quality: int = 92
    keep_metadata: bool = True


@dataclass
class Answer:
    """A file, its media type, the pixels of the photo, milliseconds of each step, focus and aperture that were used."""

    data: bytes
    media: str
    suffix: str
    pixels: int
    took: dict[str, float]
    focus: float | None = None
    aperture: float | None = None


def wish_of(settings: Mapping[str, Any]) -> Wish:
    """Return the wish that a batch's settings, as written to its file, stand for."""
    at = settings.get("at")
    return Wish(**{**settings, "at": None if at is None else (float(at[0]), float(at[1]))})

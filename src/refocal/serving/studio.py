"""What the service does with a photo, without HTTP: decode, analyse once, render, encode. Online and batch alike."""

import hashlib
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refocal.photo.animation import write_animation
from refocal.photo.disparity import enlarge
from refocal.photo.encoding import encode
from refocal.photo.images import Image, reduced
from refocal.photo.refocuser import Refocuser
from refocal.serving.cache import Cache
from refocal.serving.colours import turbo
from refocal.serving.refusals import Refusal
from refocal.serving.uploads import format_of, read_map, read_photo

Format = Literal["jpeg", "png", "webp", "tiff"]
Film = Literal["webp", "gif", "mp4", "zip"]
Map = NDArray[np.float32]
MEDIA = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}
FILMS = {"webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4", "zip": "application/zip"}
FILM_PIXELS = 40_000_000  # of all frames together: larger photos are reduced
AROUND = 0.006  # of the long side: a click means what lies there in the middle


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
    """A file, its media type, the focus that was used, and how many milliseconds each step took."""

    data: bytes
    media: str
    suffix: str
    focus: float | None = None
    took: dict[str, float] = field(default_factory=dict)


class Studio:
    """A model, the analyses that it has made, and what both are good for.

    Parameters
    ----------
    refocuser : Refocuser
    cache : Cache
        Of analyses, shared by all workers.
    max_pixels : int
        Of a photo.
    """

    def __init__(self, refocuser: Refocuser, cache: Cache, max_pixels: int) -> None:
        self.refocuser, self.cache, self.max_pixels = refocuser, cache, max_pixels
        self.weights = refocuser.metadata.get("weights", "")[:12]

    def warm(self) -> None:
        """Run the model once, so that the first request does not wait, and a model that cannot run is found now."""
        self.refocuser(np.zeros((64, 64, 3), np.uint8), 0.0)

    def refocus(self, data: bytes, wish: Wish, told: bytes | None = None) -> Answer:
        """Return a photo focused elsewhere."""
        took: dict[str, float] = {}
        image, disparity = self._seen(data, told, took, needed=wish.at is not None)
        name = wish.format or _own_format(data)
        with _timed(took, "render"):
            focus = _focus_at(disparity, wish.at) if wish.at and disparity is not None else wish.focus
            if focus is None:
                raise Refusal(422, "focus, or x and y, must say where the photo shall be sharp", "focus")
            made = self._rendered(image, disparity, focus, wish.aperture)
        with _timed(took, "encode"):
            out = _encoded(made, name, image, wish)
        return Answer(out, MEDIA[name], "jpg" if name == "jpeg" else name, focus, took)

    def disparity(self, data: bytes, view: Literal["map", "preview"], told: bytes | None = None) -> Answer:
        """Return the disparity as a picture: 16-bit grey, 0 farthest and 65535 nearest, or coloured."""
        took: dict[str, float] = {}
        _, disparity = self._seen(data, told, took, needed=True)
        with _timed(took, "encode"):
            share = (np.asarray(disparity, np.float32) + np.float32(1)) / np.float32(2)
            pixels = turbo(share) if view == "preview" else np.rint(share * 65535).astype(np.uint16)
            out = encode(pixels, Path("disparity.png"), icc=None, exif=None, quality=95)
        return Answer(out, "image/png", "png", None, took)

    def sweep(  # noqa: D102  as `refocus`
        self, data: bytes, *, levels: int, aperture: float | None, name: Film, fps: float, told: bytes | None = None
    ) -> Answer:
        took: dict[str, float] = {}
        image, disparity = self._seen(data, told, took, needed=False)
        height, width = image.pixels.shape[:2]
        with _timed(took, "render"):
            scale = min(1.0, (FILM_PIXELS / levels / (height * width)) ** 0.5)
            photo = reduced(image.pixels, max(16, round(min(height, width) * scale)))
            small = Image(np.rint(photo * 255).astype(np.uint8))
            if disparity is not None:
                disparity = enlarge(disparity, small.pixels)
            strength = None if aperture is None else aperture * min(photo.shape[:2]) / min(height, width)
            frames = [self._rendered(small, disparity, float(focus), strength) for focus in np.linspace(-1, 1, levels)]
        with _timed(took, "encode"):
            out = _film(frames, name, fps)
        return Answer(out, FILMS[name], name, None, took)

    def seen(self, data: bytes, told: bytes | None) -> tuple[Image, Map | None]:
        """Return a photo and its disparity: told, else found; None where the model knows none."""
        return self._seen(data, told, {}, needed=False)

    def _seen(
        self, data: bytes, told: bytes | None, took: dict[str, float], *, needed: bool
    ) -> tuple[Image, Map | None]:
        with _timed(took, "decode"):
            image = read_photo(data, self.max_pixels)
        with _timed(took, "analyse"):
            if not self.refocuser.finds_depth:
                if needed or told is not None:
                    raise Refusal(
                        409, "the model in use knows no disparity: say a focus, or serve one of the kind lens"
                    )
                return image, None
            if told is not None:
                return image, enlarge(read_map(told, self.max_pixels), image.pixels)
            key = f"{self.weights} {hashlib.sha256(data).hexdigest()}"
            found = self.cache.get(key, lambda: self.refocuser.analyse(image.pixels))
        return image, found

    def _rendered(self, image: Image, disparity: Map | None, focus: float, aperture: float | None) -> NDArray[Any]:
        height, width = image.pixels.shape[:2]
        if aperture is not None and aperture > max(height, width):
            raise Refusal(
                422, f"aperture must be 0 to {max(height, width)}, the photo's long side, got {aperture:g}", "aperture"
            )
        if disparity is None:
            return self.refocuser(image.pixels, focus, aperture)
        return self.refocuser.render(image.pixels, disparity, focus, aperture)


@contextmanager
def _timed(took: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took[step] = took.get(step, 0.0) + (time.perf_counter() - start) * 1000


def _own_format(data: bytes) -> Format:
    own = format_of(data)
    return own if own in MEDIA else "jpeg"  # type: ignore[return-value]  # those of MEDIA


def _focus_at(disparity: Map, at: tuple[float, float]) -> float:
    """Return the disparity that lies at a point: the median around it, which a noisy pixel does not move."""
    height, width = disparity.shape
    x, y = (min(int(part * side), side - 1) for part, side in zip(at, (width, height), strict=True))
    reach = max(1, round(AROUND * max(height, width)))
    near = disparity[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return float(np.clip(np.median(near), -1, 1))


def _encoded(made: NDArray[Any], name: Format, image: Image, wish: Wish) -> bytes:
    if name == "jpeg" and made.ndim == 3 and made.shape[2] == 4:
        made = made[..., :3] if wish.format is None else made
    exif = image.exif if wish.keep_metadata else None
    try:
        return encode(made, Path(f"photo.{name}"), icc=image.icc, exif=exif, quality=wish.quality)
    except ValueError as error:
        line = str(error).replace("cannot write photo.", "the photo cannot become ")
        raise Refusal(422, line, "format") from None


def _film(frames: list[NDArray[Any]], name: Film, fps: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sweep.{name}"
        if name != "zip":
            try:
                write_animation(path, frames, fps)
            except ValueError as error:
                raise Refusal(422, str(error).replace(str(path), f"a {name}"), "format") from None
            return path.read_bytes()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # JPEG does not shrink
            for k, frame in enumerate(frames):
                archive.writestr(f"{k:03d}.jpg", encode(frame, Path("frame.jpg"), icc=None, exif=None, quality=92))
        return path.read_bytes()


def wish_of(settings: Mapping[str, Any]) -> Wish:
    """Return the wish that a batch's settings, as written to its file, stand for."""
    at = settings.get("at")
    return Wish(**{**settings, "at": None if at is None else (float(at[0]), float(at[1]))})

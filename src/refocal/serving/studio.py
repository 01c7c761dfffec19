"""What the service does with a photo, without HTTP: decode, analyse once, render, encode. Online and batch alike."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refocal.photo.disparity import enlarge
from refocal.photo.encoding import encode
from refocal.photo.images import Image, reduced
from refocal.photo.living import living_html
from refocal.photo.refocuser import Refocuser
from refocal.serving.cache import Cache
from refocal.serving.colours import turbo
from refocal.serving.films import FILMS, Film, film
from refocal.serving.refusals import Refusal
from refocal.serving.uploads import format_of, read_map, read_photo
from refocal.serving.wishes import MEDIA, Answer, Format, Wish

Map = NDArray[np.float32]
FILM_PIXELS = 40_000_000  # of all frames together: larger photos are reduced
AROUND = 0.006  # of the long side: a click means what lies there in the middle


class Studio:
    """A model, the analyses that it has made, and what both are good for.

    Parameters
    ----------
    refocuser : Refocuser
    cache : Cache
        Of analyses, shared by all workers.
    max_pixels : int
        Of a photo.
    at_once : int
        Photos that are worked on at the same time; who asks for more waits. It bounds the memory.
    """

    def __init__(self, refocuser: Refocuser, cache: Cache, *, max_pixels: int, at_once: int) -> None:
        self.refocuser, self.cache, self.max_pixels = refocuser, cache, max_pixels
        self.room = threading.BoundedSemaphore(at_once)
        self.weights = refocuser.metadata.get("weights", "")[:12]

    def warm(self) -> None:
        """Run the model once, so that the first request does not wait, and a model that cannot run is found now."""
        self.refocuser(np.zeros((64, 64, 3), np.uint8), 0.0)

    def refocus(self, data: bytes, wish: Wish, told: bytes | None = None) -> Answer:
        """Return a photo focused elsewhere."""
        name = wish.format or _own_format(data)
        with self.room:
            work = self._begun(data, told, needed=wish.at is not None)
            with work.timed("render"):
                at = wish.at if work.disparity is not None else None
                focus = wish.focus if at is None else _focus_at(work.map, at)
                if focus is None:
                    raise Refusal(422, "focus, or x and y, must say where the photo shall be sharp", "focus")
                aperture = self._aperture(work.image, wish.aperture)
                made = self._rendered(work, focus, aperture)
            with work.timed("encode"):
                out = _encoded(made, name, work.image, wish)
        return work.answer(out, MEDIA[name], "jpg" if name == "jpeg" else name, focus=focus, aperture=aperture)

    def disparity(self, data: bytes, view: Literal["map", "preview"], told: bytes | None = None) -> Answer:
        """Return the disparity as a picture: 16-bit grey, 0 farthest and 65535 nearest, or coloured."""
        with self.room:
            work = self._begun(data, told, needed=True)
            with work.timed("encode"):
                share = (work.map + np.float32(1)) / np.float32(2)
                pixels = turbo(share) if view == "preview" else np.rint(share * 65535).astype(np.uint16)
                out = encode(pixels, Path("disparity.png"), icc=None, exif=None, quality=95)
        return work.answer(out, "image/png", "png")

    def sweep(
        self, data: bytes, *, levels: int, aperture: float | None, name: Film, fps: float, told: bytes | None = None
    ) -> Answer:
        """Return a film, or frames, of the focus that moves from far to near."""
        with self.room:
            work = self._begun(data, told)
            strength = self._aperture(work.image, aperture)
            with work.timed("render"):
                before = max(work.image.pixels.shape[:2])
                work = work.smaller(FILM_PIXELS // levels)
                strength *= max(work.image.pixels.shape[:2]) / before
                frames = [self._rendered(work, focus, strength) for focus in np.linspace(-1, 1, levels).tolist()]
            with work.timed("encode"):
                out = film(frames, name, fps)
        return work.answer(out, FILMS[name], name, aperture=strength)

    def living(
        self, data: bytes, *, levels: int, aperture: float | None, title: str, told: bytes | None = None
    ) -> Answer:
        """Return an HTML file in which whoever opens it clicks to refocus."""
        with self.room:
            work = self._begun(data, told)
            strength = self._aperture(work.image, aperture)
            with work.timed("render"):
                try:
                    text = living_html(
                        self.refocuser,
                        work.image.pixels,
                        disparity=work.disparity,
                        disparity_range=None if work.disparity is None else (-1, 1),
                        aperture=strength,
                        levels=levels,
                        title=title,
                    )
                except ValueError as error:
                    raise Refusal(422, str(error), "photo") from None
        return work.answer(text.encode(), "text/html; charset=utf-8", "html", aperture=strength)

    def _begun(self, data: bytes, told: bytes | None, *, needed: bool = False) -> "_Work":
        """Decode a photo and find its disparity: told, kept, or found now; none where the model knows none."""
        took: dict[str, float] = {}
        with _timed(took, "decode"):
            image = read_photo(data, self.max_pixels)
            if not self.refocuser.finds_depth and (needed or told is not None):
                raise Refusal(409, "the model in use knows no disparity: say a focus, or serve one of the kind lens")
            given = None if told is None else read_map(told, self.max_pixels)
        with _timed(took, "analyse"):
            disparity = None
            if given is not None:
                disparity = enlarge(given, image.pixels)
            elif self.refocuser.finds_depth:
                key = f"{self.weights} {hashlib.sha256(data).hexdigest()}"
                disparity = self.cache.get(key, lambda: self.refocuser.analyse(image.pixels))
        return _Work(image, disparity, image.pixels.shape[0] * image.pixels.shape[1], took)

    def _aperture(self, image: Image, aperture: float | None) -> float:
        height, width = image.pixels.shape[:2]
        if aperture is None:
            return self.refocuser.aperture_for(height, width)
        if aperture > max(height, width):
            raise Refusal(
                422, f"aperture must be 0 to {max(height, width)}, the photo's long side, got {aperture:g}", "aperture"
            )
        return aperture

    def _rendered(self, work: "_Work", focus: float, aperture: float) -> NDArray[Any]:
        if work.disparity is None:
            return self.refocuser(work.image.pixels, focus, aperture)
        return self.refocuser.render(work.image.pixels, work.disparity, focus, aperture)


@dataclass
class _Work:
    """A photo at work: its picture, its disparity where known, how many pixels were sent, how long the steps took."""

    image: Image
    disparity: Map | None
    pixels: int
    took: dict[str, float]

    @property
    def map(self) -> Map:
        if self.disparity is None:
            raise ValueError("no disparity")
        return self.disparity

    def timed(self, step: str) -> AbstractContextManager[None]:
        return _timed(self.took, step)

    def smaller(self, pixels: int) -> "_Work":
        """Return it in 8-bit colour, with so many pixels at most."""
        height, width = self.image.pixels.shape[:2]
        side = min(height, width) * min(1.0, (pixels / (height * width)) ** 0.5)
        photo = np.rint(reduced(self.image.pixels, max(1, round(side))) * 255).astype(np.uint8)
        disparity = None if self.disparity is None else enlarge(self.disparity, photo)
        return _Work(Image(photo), disparity, self.pixels, self.took)

    def answer(
        self, data: bytes, media: str, suffix: str, *, focus: float | None = None, aperture: float | None = None
    ) -> Answer:
        return Answer(data, media, suffix, self.pixels, self.took, focus, aperture)


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

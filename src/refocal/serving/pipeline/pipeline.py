"""The request pipeline: decode, analyse once, render, encode. Without HTTP; for single photos and batches alike."""

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

from refocal.depth.disparity import focus_at, to_focus
from refocal.depth.networks import DepthNetwork
from refocal.depth.portrait import depth_inside
from refocal.depth.upsampling import enlarge
from refocal.images.colour import turbo
from refocal.images.encoding import encode
from refocal.images.image import Image, reduced
from refocal.images.metadata import Metadata
from refocal.images.profiles import to_srgb
from refocal.model.living import living_html
from refocal.model.refocuser import Refocuser
from refocal.serving.errors import RequestError
from refocal.serving.pipeline.animation import FILMS, Film, film
from refocal.serving.pipeline.cache import Cache
from refocal.serving.pipeline.options import MEDIA, Format, RequestOptions, Result
from refocal.serving.pipeline.uploads import format_of, read_disparity_map, read_photo

Map = NDArray[np.float32]
FILM_PIXELS = 40_000_000  # of all frames together; larger photos are reduced


class RequestPipeline:
    """Processes photos with a model and a cache of their disparities.

    Parameters
    ----------
    refocuser : Refocuser
    cache : Cache
        Of disparities, shared by all workers.
    max_pixels : int
        Maximum of a photo.
    at_once : int
        Photos that are processed at the same time; others wait. This limits the memory.
    network : DepthNetwork, optional
        Finds the disparity in place of the model.
    """

    def __init__(
        self,
        refocuser: Refocuser,
        cache: Cache,
        *,
        max_pixels: int,
        at_once: int,
        network: DepthNetwork | None = None,
    ) -> None:
        self.refocuser, self.cache, self.max_pixels, self.network = refocuser, cache, max_pixels, network
        self.slots = threading.BoundedSemaphore(at_once)
        self.weights = refocuser.metadata.get("weights", "")[:12]

    def warm_up(self) -> None:
        """Run the model once: the first request need not wait, and a model that cannot run fails now."""
        self.refocuser(np.zeros((64, 64, 3), np.uint8), 0.0)

    def refocus(self, data: bytes, options: RequestOptions, given: bytes | None = None) -> Result:
        """Refocus a photo."""
        name = options.format or _own_format(data)
        with self.slots:
            # At aperture 0 a lens gives the photo back: decoding is what a browser wants that cannot read the file.
            same = options.aperture == 0 and options.at is None and self.refocuser.finds_depth
            work = self._prepared(data, given, needed=options.at is not None, analysed=not same)
            with work.timed("render"):
                at = options.at if work.disparity is not None else None
                focus = options.focus if at is None else focus_at(work.map, *at)
                if focus is None:
                    raise RequestError(422, "either focus, or x and y, must be given", "focus")
                aperture = self._aperture(work.image, options.aperture)
                made = work.image.pixels if same else self._rendered(work, focus, aperture)
            with work.timed("encode"):
                out = _encoded(made, name, work.image, options)
        return work.answer(out, MEDIA[name], "jpg" if name == "jpeg" else name, focus=focus, aperture=aperture)

    def disparity(self, data: bytes, view: Literal["map", "preview"], given: bytes | None = None) -> Result:
        """Return the disparity as a picture: 16-bit grey, 0 farthest and 65535 nearest, or coloured."""
        with self.slots:
            work = self._prepared(data, given, needed=True)
            with work.timed("encode"):
                share = (work.map + np.float32(1)) / np.float32(2)
                pixels = turbo(share) if view == "preview" else np.rint(share * 65535).astype(np.uint16)
                out = encode(pixels, Path("disparity.png"))
        return work.answer(out, "image/png", "png")

    def sweep(
        self, data: bytes, *, levels: int, aperture: float | None, name: Film, fps: float, given: bytes | None = None
    ) -> Result:
        """Return an animation, film or frames of a focus sweep from far to near."""
        with self.slots:
            work = self._prepared(data, given)
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
        self, data: bytes, *, levels: int, aperture: float | None, title: str, given: bytes | None = None
    ) -> Result:
        """Return a living picture, one HTML file."""
        with self.slots:
            work = self._prepared(data, given)
            strength = self._aperture(work.image, aperture)
            with work.timed("render"):
                try:
                    text = living_html(
                        self.refocuser,
                        to_srgb(work.image.pixels, work.image.icc),
                        disparity=work.disparity,
                        disparity_range=None if work.disparity is None else (-1, 1),
                        aperture=strength,
                        levels=levels,
                        title=title,
                    )
                except ValueError as error:
                    raise RequestError(422, str(error), "photo") from None
        return work.answer(text.encode(), "text/html; charset=utf-8", "html", aperture=strength)

    def _prepared(
        self, data: bytes, given: bytes | None, *, needed: bool = False, analysed: bool = True
    ) -> "_PhotoInWork":
        """Decode a photo and get its disparity; None where the model finds none, or it is not to be analysed."""
        timings: dict[str, float] = {}
        with _timed(timings, "decode"):
            image = read_photo(data, self.max_pixels)
            if not self.refocuser.finds_depth and (needed or given is not None):
                raise RequestError(
                    409, "the model in use finds no disparity: give a focus, or serve a model of the kind lens"
                )
            disparity_map = None if given is None else read_disparity_map(given, self.max_pixels, image)
        with _timed(timings, "analyse"):
            disparity, source = self._disparity(data, image, disparity_map) if analysed else (None, "")
        pixels = image.pixels.shape[0] * image.pixels.shape[1]
        return _PhotoInWork(image, disparity, pixels, timings, source)

    def _disparity(self, data: bytes, image: Image, given: Map | None) -> tuple[Map | None, str]:
        """Return the disparity and its source: given, inside the photo, of the depth network, or of the model."""
        if given is not None:
            return enlarge(given, image.pixels), "given"
        if not self.refocuser.finds_depth:
            return None, ""
        inside = _inside(data)
        if inside is not None:
            return enlarge(inside, image.pixels), "portrait"
        photo = hashlib.sha256(data).hexdigest()
        if self.network is not None:
            network = self.network
            try:
                found = self.cache.get(f"{network.digest} {photo}", lambda: network(image.pixels).disparity)
            except ValueError as error:
                raise RequestError(500, f"the depth network failed: {error}") from None
            return found, f"network {network.name}"
        return self.cache.get(f"{self.weights} {photo}", lambda: self.refocuser.analyse(image.pixels)), "model"

    def _aperture(self, image: Image, aperture: float | None) -> float:
        height, width = image.pixels.shape[:2]
        if aperture is None:
            return self.refocuser.aperture_for(height, width)
        if aperture > max(height, width):
            raise RequestError(
                422, f"aperture must be 0 to {max(height, width)}, the photo's long side, got {aperture:g}", "aperture"
            )
        return aperture

    def _rendered(self, work: "_PhotoInWork", focus: float, aperture: float) -> NDArray[Any]:
        if work.disparity is None:
            return self.refocuser(work.image.pixels, focus, aperture)
        return self.refocuser.render(work.image.pixels, work.disparity, focus, aperture)


@dataclass
class _PhotoInWork:
    """A photo in the pipeline: the picture, its disparity where known, the pixels sent, milliseconds of each step."""

    image: Image
    disparity: Map | None
    pixels: int
    timings: dict[str, float]
    source: str

    @property
    def map(self) -> Map:
        if self.disparity is None:
            raise ValueError("no disparity")
        return self.disparity

    def timed(self, step: str) -> AbstractContextManager[None]:
        return _timed(self.timings, step)

    def smaller(self, pixels: int) -> "_PhotoInWork":
        """Return the photo in 8-bit sRGB, reduced to at most so many pixels."""
        height, width = self.image.pixels.shape[:2]
        side = min(height, width) * min(1.0, (pixels / (height * width)) ** 0.5)
        photo = np.rint(reduced(to_srgb(self.image.pixels, self.image.icc), max(1, round(side))) * 255).astype(np.uint8)
        disparity = None if self.disparity is None else enlarge(self.disparity, photo)
        return _PhotoInWork(Image(photo), disparity, self.pixels, self.timings, self.source)

    def answer(
        self, data: bytes, media: str, suffix: str, *, focus: float | None = None, aperture: float | None = None
    ) -> Result:
        return Result(data, media, suffix, self.pixels, self.timings, self.source, focus, aperture)


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = timings.get(step, 0.0) + (time.perf_counter() - start) * 1000


def _own_format(data: bytes) -> Format:
    own = format_of(data)
    return own if own in MEDIA else "jpeg"  # type: ignore[return-value]  # those of MEDIA


def _inside(data: bytes) -> Map | None:
    """Return the depth inside a portrait photo, in focus units; None where there is none, or it cannot be read."""
    try:
        found = depth_inside(data)
        return None if found is None else to_focus(found)
    except ValueError:
        return None


def _encoded(made: NDArray[Any], name: Format, image: Image, options: RequestOptions) -> bytes:
    if name == "jpeg" and made.ndim == 3 and made.shape[2] == 4:
        made = made[..., :3] if options.format is None else made
    metadata = image.metadata if options.keep_metadata else Metadata()
    try:
        return encode(made, Path(f"photo.{name}"), icc=image.icc, metadata=metadata, quality=options.quality)
    except ValueError as error:
        line = str(error).replace("cannot write photo.", "the photo cannot become ")
        raise RequestError(422, line, "format") from None

"""From an uploaded file to a photo that can be rendered: decoded, made sharp where wanted, its disparity known."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import to_focus
from refocal.depth.networks import DepthNetwork
from refocal.depth.portrait import depth_inside
from refocal.depth.upsampling import enlarge
from refocal.images.image import Image, reduced
from refocal.images.profiles import to_srgb
from refocal.model.deblurring import When, added
from refocal.model.refocuser import Refocuser
from refocal.serving.errors import RequestError
from refocal.serving.pipeline.cache import Cache
from refocal.serving.pipeline.options import Result
from refocal.serving.pipeline.uploads import read_disparity_map, read_photo

Map = NDArray[np.float32]


@dataclass
class PhotoInWork:
    """A photo in the pipeline: the picture, its disparity where known and that one's source, whether it was made sharp,
    the pixels sent, milliseconds of each step.
    """

    image: Image
    disparity: Map | None
    source: str
    deblurred: bool
    pixels: int
    timings: dict[str, float]

    @property
    def map(self) -> Map:
        """The disparity, where it must be there."""
        if self.disparity is None:
            raise ValueError("no disparity")
        return self.disparity

    def timed(self, step: str) -> AbstractContextManager[None]:
        """Count the time spent inside as a step's."""
        return _timed(self.timings, step)

    def smaller(self, pixels: int) -> "PhotoInWork":
        """Return the photo in 8-bit sRGB, reduced to at most so many pixels."""
        height, width = self.image.pixels.shape[:2]
        side = min(height, width) * min(1.0, (pixels / (height * width)) ** 0.5)
        photo = np.rint(reduced(to_srgb(self.image.pixels, self.image.icc), max(1, round(side))) * 255).astype(np.uint8)
        disparity = None if self.disparity is None else enlarge(self.disparity, photo)
        return replace(self, image=Image(photo), disparity=disparity)

    def answer(
        self, data: bytes, media: str, suffix: str, *, focus: float | None = None, aperture: float | None = None
    ) -> Result:
        """Return the result of the request."""
        return Result(data, media, suffix, self.pixels, self.timings, self.source, focus, aperture, self.deblurred)


class Preparation:
    """Prepares photos; changes and disparities are cached, so that of a photo each is computed once.

    Parameters
    ----------
    refocuser : Refocuser
    cache : Cache
        Shared by all workers.
    max_pixels : int
        Maximum of a photo.
    network : DepthNetwork, optional
        Finds the disparity in place of the model.
    """

    def __init__(self, refocuser: Refocuser, cache: Cache, *, max_pixels: int, network: DepthNetwork | None) -> None:
        self.refocuser, self.cache, self.max_pixels, self.network = refocuser, cache, max_pixels, network
        self.weights = refocuser.metadata.get("weights", "")[:12]

    def __call__(
        self, data: bytes, given: bytes | None, deblur: When, *, needed: bool = False, analysed: bool = True
    ) -> PhotoInWork:
        """Decode a photo, make it sharp where that is wanted, and get its disparity.

        There is none where the model finds none, or the photo is not to be `analysed`; RequestError where it is
        `needed`.
        """
        timings: dict[str, float] = {}
        key = hashlib.sha256(data).hexdigest()
        with _timed(timings, "decode"):
            image = read_photo(data, self.max_pixels)
            if not self.refocuser.finds_depth and (needed or given is not None):
                raise RequestError(
                    409, "the model in use finds no disparity: give a focus, or serve a model of the kind lens"
                )
            disparity = None if given is None else read_disparity_map(given, self.max_pixels, image)
        pixels = image.pixels.shape[0] * image.pixels.shape[1]
        with _timed(timings, "deblur"):
            change = self._change(key, image, deblur)
            if change is not None:
                key = f"{key} sharp"
                image = replace(image, pixels=added(image.pixels, change))
        with _timed(timings, "analyse"):
            found, source = self._disparity(key, data, image, disparity) if analysed else (None, "")
        return PhotoInWork(image, found, source, change is not None, pixels, timings)

    def _change(self, key: str, image: Image, when: When) -> Map | None:
        """Return what makes a photo sharp; None where it is or stays as it is."""
        deblurring = self.refocuser.deblurring
        if deblurring is None:
            if when == "always":
                raise RequestError(409, "the model in use cannot deblur", "deblur")
            return None
        if when == "never":
            return None
        change = self.cache.get(f"{deblurring.weights} {when} {key}", lambda: deblurring.change(image.pixels, when))
        return change if change.any() else None

    def _disparity(self, key: str, data: bytes, image: Image, given: Map | None) -> tuple[Map | None, str]:
        """Return the disparity and its source: given, inside the photo, of the depth network, or of the model."""
        if given is not None:
            return enlarge(given, image.pixels), "given"
        if not self.refocuser.finds_depth:
            return None, ""
        inside = _inside(data)
        if inside is not None:
            return enlarge(inside, image.pixels), "portrait"
        if self.network is not None:
            network = self.network
            try:
                found = self.cache.get(f"{network.digest} {key}", lambda: network(image.pixels).disparity)
            except ValueError as error:
                raise RequestError(500, f"the depth network failed: {error}") from None
            return found, f"network {network.name}"
        return self.cache.get(f"{self.weights} {key}", lambda: self.refocuser.analyse(image.pixels)), "model"


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = timings.get(step, 0.0) + (time.perf_counter() - start) * 1000


def _inside(data: bytes) -> Map | None:
    """Return the depth inside a portrait photo, in focus units; None where there is none, or it cannot be read."""
    try:
        found = depth_inside(data)
        return None if found is None else to_focus(found)
    except ValueError:
        return None

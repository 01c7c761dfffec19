"""The request pipeline: decode, analyse once, render, encode. Without HTTP; for single photos and batches alike."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refocal.depth.disparity import focus_at
from refocal.depth.networks import DepthNetwork
from refocal.images.colour import turbo
from refocal.images.encoding import encode
from refocal.images.image import Image
from refocal.images.metadata import Metadata
from refocal.images.profiles import to_srgb
from refocal.model.deblurring import When
from refocal.model.living import living_html
from refocal.model.refocuser import Refocuser
from refocal.serving.errors import RequestError
from refocal.serving.pipeline.animation import FILMS, VIEWS, Film, Views, film, light_field
from refocal.serving.pipeline.cache import Cache
from refocal.serving.pipeline.options import MEDIA, Format, RequestOptions, Result
from refocal.serving.pipeline.preparation import PhotoInWork, Preparation
from refocal.serving.pipeline.uploads import format_of
from refocal.serving.turns import Turns

FILM_PIXELS = 40_000_000  # of all frames together; larger photos are reduced
ROUND = 36  # frames of a film of a camera that goes round


class RequestPipeline:
    """Processes photos with a model and a cache of their disparities.

    Parameters
    ----------
    refocuser : Refocuser
    cache : Cache
        Of disparities, shared by all workers.
    max_pixels : int
        Maximum of a photo.
    turns : Turns
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
        turns: Turns,
        network: DepthNetwork | None = None,
    ) -> None:
        self.refocuser = refocuser
        self.prepare = Preparation(refocuser, cache, max_pixels=max_pixels, network=network)
        self.turns = turns
        self.weights = self.prepare.weights

    def warm_up(self) -> None:
        """Run the model once: the first request need not wait, and a model that cannot run fails now."""
        photo = np.zeros((64, 64, 3), np.uint8)
        self.refocuser(photo, 0.0)
        if self.refocuser.deblurring is not None:
            self.refocuser.deblurring(photo)

    def refocus(self, data: bytes, options: RequestOptions, given: bytes | None = None) -> Result:
        """Refocus a photo."""
        name = options.format or _own_format(data)
        with self.turns:
            # At aperture 0 a lens gives the photo back: decoding is what a browser wants that cannot read the file.
            same = options.aperture == 0 and options.at is None and self.refocuser.finds_depth
            work = self.prepare(data, given, options.deblur, needed=options.at is not None, analysed=not same)
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

    def disparity(
        self, data: bytes, view: Literal["map", "preview"], given: bytes | None = None, deblur: When = "auto"
    ) -> Result:
        """Return the disparity as a picture: 16-bit grey, 0 farthest and 65535 nearest, or coloured."""
        with self.turns:
            work = self.prepare(data, given, deblur, needed=True)
            with work.timed("encode"):
                share = (work.map + np.float32(1)) / np.float32(2)
                pixels = turbo(share) if view == "preview" else np.rint(share * 65535).astype(np.uint16)
                out = encode(pixels, Path("disparity.png"))
        return work.answer(out, "image/png", "png")

    def sweep(
        self,
        data: bytes,
        *,
        levels: int,
        aperture: float | None,
        name: Film,
        fps: float,
        given: bytes | None = None,
        deblur: When = "auto",
    ) -> Result:
        """Return an animation, film or frames of a focus sweep from far to near."""
        with self.turns:
            work = self.prepare(data, given, deblur)
            strength = self._aperture(work.image, aperture)
            with work.timed("render"):
                before = max(work.image.pixels.shape[:2])
                work = work.smaller(FILM_PIXELS // levels)
                strength *= max(work.image.pixels.shape[:2]) / before
                frames = [self._rendered(work, focus, strength) for focus in np.linspace(-1, 1, levels).tolist()]
            with work.timed("encode"):
                out = film(frames, name, fps)
        return work.answer(out, FILMS[name], name, aperture=strength)

    def views(
        self,
        data: bytes,
        *,
        grid: tuple[int, int],
        slopes: tuple[float, float] | None,
        name: Views,
        given: bytes | None = None,
        deblur: When = "auto",
    ) -> Result:
        """Return the views of a light field of the photo, or a film of a camera that goes round."""
        with self.turns:
            work = self.prepare(data, given, deblur, needed=True)
            with work.timed("render"):
                still, count = name in {"zip", "png"}, max(grid[0] * grid[1], ROUND)
                before = max(work.image.pixels.shape[:2])
                work = work.smaller(FILM_PIXELS // count)
                scale = max(work.image.pixels.shape[:2]) / before
                ends = None if slopes is None else (slopes[0] * scale, slopes[1] * scale)
                try:
                    renderer = self.refocuser.view_renderer(work.image.pixels, work.map, grid, ends)
                except ValueError as error:
                    raise RequestError(422, str(error), "slopes") from None
                frames = list(renderer.grid(*grid) if still else renderer.round_trip(ROUND))
            with work.timed("encode"):
                if still:
                    out = light_field(frames, grid, renderer.slopes, mosaic=name == "png")
                else:
                    out = film(frames, name, 18)  # type: ignore[arg-type]  # one of its names
        return work.answer(out, VIEWS[name], name)

    def living(
        self,
        data: bytes,
        *,
        levels: int,
        aperture: float | None,
        title: str,
        given: bytes | None = None,
        deblur: When = "auto",
    ) -> Result:
        """Return a living picture, one HTML file."""
        with self.turns:
            work = self.prepare(data, given, deblur)
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
                        deblur="never",
                    )
                except ValueError as error:
                    raise RequestError(422, str(error), "photo") from None
        return work.answer(text.encode(), "text/html; charset=utf-8", "html", aperture=strength)

    def _aperture(self, image: Image, aperture: float | None) -> float:
        height, width = image.pixels.shape[:2]
        if aperture is None:
            return self.refocuser.aperture_for(height, width)
        if aperture > max(height, width):
            raise RequestError(
                422, f"aperture must be 0 to {max(height, width)}, the photo's long side, got {aperture:g}", "aperture"
            )
        return aperture

    def _rendered(self, work: PhotoInWork, focus: float, aperture: float) -> NDArray[Any]:
        if work.disparity is None:
            return self.refocuser(work.image.pixels, focus, aperture, deblur="never")
        return self.refocuser.render(work.image.pixels, work.disparity, focus, aperture)


def _own_format(data: bytes) -> Format:
    own = format_of(data)
    return own if own in MEDIA else "jpeg"  # type: ignore[return-value]  # those of MEDIA


def _encoded(made: NDArray[Any], name: Format, image: Image, options: RequestOptions) -> bytes:
    if name == "jpeg" and made.ndim == 3 and made.shape[2] == 4:
        made = made[..., :3] if options.format is None else made
    metadata = image.metadata if options.keep_metadata else Metadata()
    try:
        return encode(made, Path(f"photo.{name}"), icc=image.icc, metadata=metadata, quality=options.quality)
    except ValueError as error:
        line = str(error).replace("cannot write photo.", "the photo cannot become ")
        raise RequestError(422, line, "format") from None

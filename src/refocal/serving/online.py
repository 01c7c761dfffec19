"""The doors for one photo: POST /refocus, /sweep, /disparity and /living."""

import re
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from refocal.serving import meters
from refocal.serving.films import FILMS, Film
from refocal.serving.refusals import Refusal
from refocal.serving.schemas import Aperture, Focus, MapFile, Metadata, PhotoFile, Point, Quality, bytes_of, files
from refocal.serving.studio import Studio
from refocal.serving.wishes import MEDIA, Answer, Format, Wish

router = APIRouter(tags=["one photo"])


@router.post("/refocus", response_class=Response, responses=files(MEDIA, 409), summary="Focus a photo elsewhere")
def refocus(
    request: Request,
    photo: PhotoFile,
    focus: Focus = None,
    x: Point = None,
    y: Point = None,
    aperture: Aperture = None,
    disparity: MapFile = None,
    format: Annotated[  # noqa: A002  its name in the API
        Format | None, Form(description="Default: the photo's own; of HEIC jpeg", examples=["jpeg"])
    ] = None,
    quality: Quality = 92,
    metadata: Metadata = "keep",
) -> Response:
    """Say where by `focus`, or by a point `x`, `y` of the photo that shall be sharp."""
    wish = wish_from(focus, x, y, aperture, format, quality, metadata)
    return _answered(request, studio_of(request).refocus(photo.file.read(), wish, bytes_of(disparity)))


@router.post("/sweep", response_class=Response, responses=files(FILMS, 409), summary="All the way from far to near")
def sweep(
    request: Request,
    photo: PhotoFile,
    levels: Annotated[int, Form(ge=2, le=64, description="Frames", examples=[15])] = 15,
    aperture: Aperture = None,
    disparity: MapFile = None,
    format: Annotated[  # noqa: A002  its name in the API
        Film, Form(description="An animation, a film, or a ZIP file of frames", examples=["mp4"])
    ] = "webp",
    fps: Annotated[float, Form(ge=1, le=60, allow_inf_nan=False, description="Frames a second", examples=[12])] = 12,
) -> Response:
    """Make a film of the focus; large photos become smaller: all frames together have 40 megapixels at most."""
    made = studio_of(request).sweep(
        photo.file.read(), levels=levels, aperture=aperture, name=format, fps=fps, told=bytes_of(disparity)
    )
    return _answered(request, made)


@router.post("/disparity", response_class=Response, responses=files({"png": "image/png"}, 409), summary="How near")
def disparity(
    request: Request,
    photo: PhotoFile,
    disparity: MapFile = None,
    view: Annotated[
        Literal["map", "preview"], Form(description="16-bit grey, or coloured", examples=["preview"])
    ] = "map",
) -> Response:
    """Return 0 for the farthest (focus -1) to 65535 for the nearest (+1)."""
    return _answered(request, studio_of(request).disparity(photo.file.read(), view, bytes_of(disparity)))


@router.post("/living", response_class=Response, responses=files({"html": "text/html"}), summary="A living picture")
def living(
    request: Request,
    photo: PhotoFile,
    levels: Annotated[int, Form(ge=3, le=33, description="Frames inside", examples=[17])] = 17,
    aperture: Aperture = None,
    disparity: MapFile = None,
    title: Annotated[str, Form(max_length=200, description="What the page is called", examples=["Our garden"])] = "",
) -> Response:
    """Make one HTML file, nothing loaded from elsewhere, in which whoever opens it clicks where the focus should be."""
    made = studio_of(request).living(
        photo.file.read(), levels=levels, aperture=aperture, title=title, told=bytes_of(disparity)
    )
    answer = _answered(request, made)
    name = re.sub(r"[^\w. ()+-]", "_", title).strip(". ") or "living picture"
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}.html"
    return answer


def wish_from(
    focus: float | None,
    x: float | None,
    y: float | None,
    aperture: float | None,
    name: Format | None,
    quality: int,
    metadata: str,
) -> Wish:
    """Return what a request's fields ask for; Refusal where they say no place for the focus, or two."""
    at = None if x is None or y is None else (x, y)
    if (x is None) != (y is None) or (focus is None) == (at is None):
        raise Refusal(422, "either focus, or x and y, must say where the photo shall be sharp", "focus")
    return Wish(focus, at, aperture, name, quality, metadata == "keep")


def studio_of(request: Request) -> Studio:
    """Return this worker's studio."""
    studio: Studio = request.app.state.studio
    return studio


def _answered(request: Request, answer: Answer) -> Response:
    endpoint = request.url.path.strip("/")
    for step, milliseconds in answer.took.items():
        meters.STEP.labels(endpoint, step).observe(milliseconds / 1000)
    meters.PIXELS.observe(answer.pixels)
    headers = {"Server-Timing": ", ".join(f"{step};dur={took:.1f}" for step, took in answer.took.items())}
    headers["X-Refocal-Model"] = studio_of(request).weights
    for name in ("focus", "aperture"):
        if (value := getattr(answer, name)) is not None:
            headers[f"X-Refocal-{name.title()}"] = f"{value:.4f}"
    request.scope.setdefault("state", {})["log"] = {"took": {k: round(v, 1) for k, v in answer.took.items()}}
    return Response(answer.data, media_type=answer.media, headers=headers)

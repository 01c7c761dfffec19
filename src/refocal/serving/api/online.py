"""Endpoints for one photo: POST /refocus, /sweep, /disparity, /views and /living."""

import re
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from refocal.model.deblurring import When
from refocal.serving import metrics
from refocal.serving.api.schemas import (
    Aperture,
    Deblur,
    Focus,
    MapFile,
    Metadata,
    PhotoFile,
    Point,
    Quality,
    Slope,
    bytes_of,
    files,
)
from refocal.serving.errors import RequestError
from refocal.serving.pipeline.animation import FILMS, VIEWS, Film, Views
from refocal.serving.pipeline.options import MEDIA, Format, RequestOptions, Result
from refocal.serving.pipeline.pipeline import RequestPipeline

router = APIRouter(tags=["one photo"])


@router.post("/refocus", response_class=Response, responses=files(MEDIA, 409), summary="Refocus a photo")
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
    deblur: Deblur = "auto",
) -> Response:
    """Focus by `focus`, or on the point `x`, `y` of the photo."""
    options = options_from_fields(focus, x, y, aperture, format, quality, metadata, deblur)
    return _answered(request, pipeline_of(request).refocus(photo.file.read(), options, bytes_of(disparity)))


@router.post("/sweep", response_class=Response, responses=files(FILMS, 409), summary="Sweep the focus from far to near")
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
    deblur: Deblur = "auto",
) -> Response:
    """Sweep the focus; large photos are reduced, so that all frames together have 40 megapixels at most."""
    made = pipeline_of(request).sweep(
        photo.file.read(),
        levels=levels,
        aperture=aperture,
        name=format,
        fps=fps,
        given=bytes_of(disparity),
        deblur=deblur,
    )
    return _answered(request, made)


@router.post("/disparity", response_class=Response, responses=files({"png": "image/png"}, 409), summary="Its disparity")
def disparity(
    request: Request,
    photo: PhotoFile,
    disparity: MapFile = None,
    view: Annotated[
        Literal["map", "preview"], Form(description="16-bit grey, or coloured", examples=["preview"])
    ] = "map",
    deblur: Deblur = "auto",
) -> Response:
    """Return the disparity as an image: 0 is the farthest (focus -1), 65535 the nearest (+1)."""
    return _answered(request, pipeline_of(request).disparity(photo.file.read(), view, bytes_of(disparity), deblur))


@router.post("/views", response_class=Response, responses=files(VIEWS, 409), summary="A light field of a photo")
def views(
    request: Request,
    photo: PhotoFile,
    rows: Annotated[int, Form(ge=1, le=17, description="Views down", examples=[5])] = 7,
    columns: Annotated[int, Form(ge=1, le=17, description="Views across", examples=[5])] = 7,
    far: Slope = None,
    near: Slope = None,
    disparity: MapFile = None,
    format: Annotated[  # noqa: A002  its name in the API
        Views, Form(description="Views in a ZIP file, one mosaic (ESLF), or a parallax film", examples=["zip"])
    ] = "zip",
    deblur: Deblur = "auto",
) -> Response:
    """Return sub-aperture views, as a light field camera's; large photos are reduced to 40 megapixels in all."""
    if (far is None) != (near is None):
        raise RequestError(422, "far and near must be given together", "far")
    slopes = None if far is None or near is None else (far, near)
    made = pipeline_of(request).views(
        photo.file.read(),
        grid=(rows, columns),
        slopes=slopes,
        name=format,
        given=bytes_of(disparity),
        deblur=deblur,
    )
    return _answered(request, made)


@router.post("/living", response_class=Response, responses=files({"html": "text/html"}), summary="A living picture")
def living(
    request: Request,
    photo: PhotoFile,
    levels: Annotated[int, Form(ge=3, le=33, description="Frames inside", examples=[17])] = 17,
    aperture: Aperture = None,
    disparity: MapFile = None,
    title: Annotated[str, Form(max_length=200, description="What the page is called", examples=["Our garden"])] = "",
    deblur: Deblur = "auto",
) -> Response:
    """Return one HTML file that refocuses where it is clicked and loads nothing from elsewhere."""
    made = pipeline_of(request).living(
        photo.file.read(), levels=levels, aperture=aperture, title=title, given=bytes_of(disparity), deblur=deblur
    )
    answer = _answered(request, made)
    name = re.sub(r"[^\w. ()+-]", "_", title).strip(". ") or "living picture"
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}.html"
    return answer


def options_from_fields(
    focus: float | None,
    x: float | None,
    y: float | None,
    aperture: float | None,
    name: Format | None,
    quality: int,
    metadata: str,
    deblur: When,
) -> RequestOptions:
    """Return the options of a request; RequestError unless exactly one of focus and point is given."""
    at = None if x is None or y is None else (x, y)
    if (x is None) != (y is None) or (focus is None) == (at is None):
        raise RequestError(422, "either focus, or x and y, must be given", "focus")
    return RequestOptions(focus, at, aperture, name, quality, metadata == "keep", deblur)


def pipeline_of(request: Request) -> RequestPipeline:
    """Return the pipeline of this worker."""
    pipeline: RequestPipeline = request.app.state.pipeline
    return pipeline


def _answered(request: Request, answer: Result) -> Response:
    endpoint = request.url.path.strip("/")
    for step, milliseconds in answer.timings.items():
        metrics.STEP.labels(endpoint, step).observe(milliseconds / 1000)
    metrics.PIXELS.observe(answer.pixels)
    headers = {"Server-Timing": ", ".join(f"{step};dur={took:.1f}" for step, took in answer.timings.items())}
    headers["X-Refocal-Model"] = pipeline_of(request).weights
    if answer.depth:
        headers["X-Refocal-Depth"] = answer.depth
    headers["X-Refocal-Deblurred"] = "yes" if answer.deblurred else "no"
    for name in ("focus", "aperture"):
        if (value := getattr(answer, name)) is not None:
            headers[f"X-Refocal-{name.title()}"] = f"{value:.4f}"
    request.scope.setdefault("state", {})["log"] = {"took": {k: round(v, 1) for k, v in answer.timings.items()}}
    return Response(answer.data, media_type=answer.media, headers=headers)

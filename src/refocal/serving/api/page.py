"""The page: the files of page/, under a content security policy that loads nothing from elsewhere."""

from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from refocal.serving.errors import RequestError
from refocal.serving.settings import Settings

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
}
FOLDER = resources.files("refocal.serving").joinpath("page")

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    """Return the page, which tells the limits before anything is sent."""
    settings: Settings = request.app.state.settings
    limits = f'<body data-max-bytes="{settings.max_bytes}" data-max-pixels="{settings.max_pixels}">'
    return _file("index.html", body=limits)


@router.get("/static/{name}")
def static(name: Annotated[str, Path(pattern=r"^[a-z]+\.(css|js|svg|jpg)$")]) -> Response:
    """Return one of its files."""
    return _file(name)


@router.get("/favicon.ico")
def icon() -> Response:
    """Return the icon that browsers ask for."""
    return _file("icon.svg")


def _file(name: str, body: str = "<body>") -> Response:
    path = FOLDER.joinpath(name)
    if not path.is_file():
        raise RequestError(404, f"there is no {name}")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    content = path.read_bytes().replace(b"<body>", body.encode())
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)

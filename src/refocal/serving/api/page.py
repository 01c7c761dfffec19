"""The page: the files of page/, under a content security policy that loads nothing from elsewhere."""

from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from refocal.serving.errors import RequestError
from refocal.serving.settings import Settings

_RULES = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
]
POLICY = "; ".join([*_RULES, "frame-ancestors 'none'"])
# WebAssembly is compiled, in workers; a page of a static host cannot say who may frame it.
_MORE = {"script-src 'self'": "script-src 'self' 'wasm-unsafe-eval'"}
BROWSER_POLICY = "; ".join([*(_MORE.get(rule, rule) for rule in _RULES), "worker-src 'self'", "manifest-src 'self'"])
ISOLATED = {  # only then may WebAssembly use threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "gz": "application/octet-stream",  # unpacked by the page, not on the way
    "onnx": "application/octet-stream",
}
FOLDER = resources.files("refocal.serving").joinpath("page")

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    """Return the page, which tells the limits before anything is sent."""
    settings: Settings = request.app.state.settings
    limits = {"max-bytes": str(settings.max_bytes), "max-pixels": str(settings.max_pixels)}
    return _answer(page_with(engine=settings.engine, **limits), "html", settings)


@router.get("/static/{name}")
def static(request: Request, name: Annotated[str, Path(pattern=r"^[a-z]+\.(css|js|svg|jpg)$")]) -> Response:
    """Return one of its files."""
    return _answer(_read(FOLDER, name), name, request.app.state.settings)


@router.get("/static/{kind}/{name}")
def runtime(
    request: Request,
    kind: Literal["runtime", "models"],
    name: Annotated[str, Path(pattern=r"^[a-z][a-z.-]*\.(mjs|js|gz|onnx|html|json)$")],
) -> Response:
    """Return a file of the static site, with which the browser refocuses."""
    settings: Settings = request.app.state.settings
    if settings.engine == "server":
        raise RequestError(404, f"there is no {name}")
    return _answer(_read(settings.site / "static" / kind, name), name, settings)


@router.get("/favicon.ico")
def icon(request: Request) -> Response:
    """Return the icon that browsers ask for."""
    return _answer(_read(FOLDER, "icon.svg"), "icon.svg", request.app.state.settings)


def page_with(*, policy: str | None = None, **told: str) -> bytes:
    """Return index.html with what its body tells the script, and a policy for hosts that send none."""
    content = _read(FOLDER, "index.html").decode()
    body = "".join(f' data-{name}="{value}"' for name, value in told.items())
    if policy is not None:
        rules = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        linked = '<link rel="manifest" href="app.webmanifest">'
        content = content.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{rules}\n{linked}')
    return content.replace("<body>", f"<body{body}>").encode()


def _read(folder: Traversable, name: str) -> bytes:
    path = folder.joinpath(name)
    if not path.is_file():
        raise RequestError(404, f"there is no {name}")
    return path.read_bytes()


def _answer(content: bytes, name: str, settings: Settings) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    if settings.engine != "server":
        headers |= ISOLATED | {"Content-Security-Policy": f"{BROWSER_POLICY}; frame-ancestors 'none'"}
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)

"""What the service says no to, and how: a status, one line, and the field that it is about; always as JSON."""

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from refocal.serving import meters
from refocal.serving.logs import LOG


class Refusal(Exception):  # noqa: N818  it is one
    """A request that is not served.

    Parameters
    ----------
    status : int
        Of HTTP: 400 a picture or archive that cannot be read, 409 a model that cannot, 413 too large, 415 a format that
        is not allowed, 422 a value out of range, 429 too many jobs.
    line : str
        One line for people.
    field : str, optional
        What of the request it is about.
    """

    def __init__(self, status: int, line: str, field: str | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.field = status, line, field


def answer_as_json(app: FastAPI) -> None:
    """Let an app answer what it refuses, and what fails in it, as `Problem`."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)


def _problem(request: Request, status: int, line: str, field: str | None) -> JSONResponse:
    if status != 500:
        meters.REFUSED.labels(field or str(status)).inc()
    return JSONResponse({"error": line, "field": field, "request_id": _id(request)}, status)


def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal(500, "failed")
    return _problem(request, refusal.status, refusal.line, refusal.field)


def _invalid(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    first: dict[str, Any] = dict(problems[0]) if problems else {}
    field = str(first.get("loc", ("", ""))[-1])
    line = f"{field}: {first.get('msg', 'not allowed')}"
    if isinstance(first.get("input"), str | int | float):
        line += f", got {json.dumps(str(first['input'])[:60])}"
    return _problem(request, 422, line, field)


def _http(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    return _problem(request, known.status_code, str(known.detail), None)


def _failed(request: Request, error: Exception) -> Response:
    LOG.error(
        "failed", exc_info=error, extra={"entry": {"request_id": request.scope.get("state", {}).get("request_id")}}
    )
    return _problem(request, 500, "refocal failed; the log tells more under this request's id", None)


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))

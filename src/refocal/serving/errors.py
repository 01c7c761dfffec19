"""Errors of requests: an HTTP status, one line, and the field that it is about; always as JSON."""

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from refocal.serving import metrics
from refocal.serving.jobs.files import is_full
from refocal.serving.logs import LOG


class RequestError(Exception):
    """A request that is rejected.

    Parameters
    ----------
    status : int
        HTTP status: 400 an image or archive that cannot be read, 409 not possible with this model, 413 too large, 415 a
        format that is not supported, 422 a value out of range, 429 too many jobs,
        507 the disk is full.
    line : str
        One line that says what is wrong and what is allowed.
    field : str, optional
        The field of the request that it is about.
    """

    def __init__(self, status: int, line: str, field: str | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.field = status, line, field


def answer_as_json(app: FastAPI) -> None:
    """Let an app answer rejected requests, and failures, as `Problem`."""
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _failed_disk)
    app.add_exception_handler(Exception, _failed)


def _problem(request: Request, status: int, line: str, field: str | None) -> JSONResponse:
    if status != 500:
        metrics.REFUSED.labels(field or str(status)).inc()
    headers = {"Retry-After": "30"} if status == 507 else None
    return JSONResponse({"error": line, "field": field, "request_id": _id(request)}, status, headers)


def _refused(request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, RequestError) else RequestError(500, "failed")
    return _problem(request, problem.status, problem.line, problem.field)


def _invalid(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    first: dict[str, Any] = dict(problems[0]) if problems else {}
    field = next((str(part) for part in first.get("loc", ())[1:] if isinstance(part, str)), "")
    if "UploadFile" in str(first.get("msg")):  # and its bytes are not repeated
        return _problem(request, 422, f"{field} must be sent as a file: give the part a file name", field)
    line = f"{field}: {first.get('msg', 'not allowed')}"
    if isinstance(first.get("input"), str | int | float):
        line += f", got {json.dumps(str(first['input'])[:60])}"
    return _problem(request, 422, line, field)


def _http(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    line = str(known.detail)
    if "Part exceeded maximum size" in line:  # what is no file is kept in memory, and so must be small
        line = "a field is too large: send photos as files, give their parts a file name"
    return _problem(request, known.status_code, line, None)


def _failed_disk(request: Request, error: Exception) -> Response:
    if not is_full(error):
        return _failed(request, error)
    LOG.error("disk", exc_info=error, extra={"entry": {"request_id": _id(request)}})
    return _problem(request, 507, "the disk of the service is full, or fails; try again later", None)


def _failed(request: Request, error: Exception) -> Response:
    LOG.error(
        "failed", exc_info=error, extra={"entry": {"request_id": request.scope.get("state", {}).get("request_id")}}
    )
    return _problem(request, 500, "refocal failed; the log has details under the id of this request", None)


def _id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))

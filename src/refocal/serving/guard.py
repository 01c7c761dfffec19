"""Middleware before every request: authentication, limits of size, concurrency and time, and the log.

One ASGI middleware around all endpoints, those of BentoML included.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import math
import re
import secrets
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import refocal
from refocal.serving import metrics
from refocal.serving.logs import LOG
from refocal.serving.settings import Settings
from refocal.serving.turns import Turns

OPEN = (
    "/livez",
    "/readyz",
    "/healthz",
    "/",
    "/favicon.ico",
)  # public: health, and the page, which asks for the token
STATIC = "/static/"
MULTIPART = "multipart/form-data"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
READ_AWAY = 5.0  # s that the body of a refused request is read on
READ_ON = {401, 413, 415}  # for these
CLOSED = "default-src 'none'; frame-ancestors 'none'"  # of everything but the page


class Guard:
    """The middleware.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    turns : Turns
        Of the photos that are processed.
    """

    def __init__(self, app: ASGIApp, settings: Settings, turns: Turns) -> None:
        self.app, self.settings, self.turns = app, settings, turns
        self.held = self.photos = self.batches = 0
        self.depth_model = Path(settings.depth_model).name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or reject it with JSON."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        name = sent_id if re.fullmatch(r"[\w.:-]{1,64}", sent_id) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name
        exchange = _Exchange(scope, receive, send, name, self._limit(scope["path"]), self.depth_model)
        refused = self._refused(scope, headers, exchange.limit)
        if refused is not None:
            await exchange.refuse(*refused)
        elif scope["method"] == "POST" or not _is_open(scope["path"]):
            await self._held(exchange)
        else:
            await self.app(scope, receive, exchange.send)
        exchange.write_log()

    async def _held(self, exchange: "_Exchange") -> None:
        """Pass a request on within the limits of concurrency and time."""
        # Each may put REFOCAL_MAX_BATCH_BYTES into the temporary folder until it has become a job.
        batch = exchange.scope["method"] == "POST" and exchange.scope["path"] == "/batch"
        photo = exchange.scope["method"] == "POST" and not batch
        wait = self.turns.wait(self.photos) if photo else 0.0
        if wait > self.settings.max_wait:  # now rather than late: the body is not even read
            line = f"busy: {self.photos} photos are before this one, about {wait:.0f} s; try again later"
            await exchange.refuse(503, line, "wait", retry=math.ceil(wait - self.settings.max_wait))
            return
        if self.held >= self.settings.concurrency or (batch and self.batches):
            line = "another batch is being received" if self.held < self.settings.concurrency else "busy"
            await exchange.refuse(503, f"{line}: try again in a second", "concurrency")
            return
        self.held += 1
        self.photos += photo
        self.batches += batch
        work = asyncio.ensure_future(self.app(exchange.scope, exchange.receive, exchange.send))
        work.add_done_callback(lambda done: self._released(done, photo=photo, batch=batch))
        try:
            # Waiting does not cancel it: its thread runs on, and counts until it ends.
            done, _ = await asyncio.wait({work}, timeout=self.settings.timeout)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if not done:
            await exchange.refuse(503, f"not done within {self.settings.timeout:g} s", "timeout")
            work.cancel()
        elif (error := work.exception()) is not None and not exchange.status:
            raise error  # no response was sent yet; otherwise the log has it

    def _released(self, work: "asyncio.Future[None]", *, photo: bool, batch: bool) -> None:
        self.held -= 1
        self.photos -= photo
        self.batches -= batch
        if not work.cancelled():
            work.exception()  # retrieved, or asyncio would warn that it never was

    def _limit(self, path: str) -> int:
        return self.settings.max_batch_bytes if path == "/batch" else self.settings.max_bytes

    def _refused(self, scope: Scope, headers: Headers, limit: int) -> tuple[int, str, str] | None:
        path = scope["path"]
        if self.settings.token and not (path in OPEN or path.startswith(STATIC)) and scope["method"] != "OPTIONS":
            kind, _, token = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(
                token.encode("latin-1"), self.settings.token.encode()
            ):
                return 401, "a token is needed: send the header Authorization: Bearer …", "token"
        if scope["method"] != "POST":
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != MULTIPART:
            return 415, f"the body must be {MULTIPART}", "content-type"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            return 400, "Content-Length must be a number", "content-length"
        if int(length) > limit:
            return 413, f"the body has {length} bytes, more than the {limit} allowed", "bytes"
        return None


class _DisconnectedError(Exception):
    """The body is longer than allowed; reading it stops."""


class _Exchange:
    """A request and its response: counted, limited, and logged."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, name: str, limit: int, depth_model: str) -> None:
        self.scope, self.name, self.limit, self.depth_model = scope, name, limit, depth_model
        self._receive, self._send = receive, send
        self.got, self.sent, self.status = 0, 0, 0
        self.refused_for = ""
        self.start = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        self.got += len(message.get("body", b""))
        if self.got > self.limit and self.scope["method"] == "POST":
            await self.refuse(413, f"the body has more than the {self.limit} bytes allowed", "bytes")
            raise _DisconnectedError
        return message

    async def send(self, message: Message) -> None:
        if self.refused_for:  # a response was sent already: what comes later is dropped
            return
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            if message["status"] >= 400 and not headers.get("content-type", "").startswith("application/json"):
                await self.refuse(
                    message["status"], HTTPStatus(message["status"]).phrase, "path"
                )  # BentoML's own: plain
                return
            self.status = message["status"]
            self._add(headers)
            message = {**message, "headers": headers.raw}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    def _add(self, headers: MutableHeaders) -> None:
        for key, value in HEADERS.items():
            headers.setdefault(key, value)
        headers.setdefault("Content-Security-Policy", CLOSED)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Request-ID"] = self.name
        headers["X-Refocal-Version"] = refocal.__version__
        if self.depth_model:
            headers["X-Refocal-Depth-Model"] = self.depth_model

    async def refuse(self, status: int, line: str, reason: str, *, retry: int = 1) -> None:
        """Answer with a JSON error; where a response has begun, the connection ends. `retry`: seconds, of 503."""
        if self.refused_for:
            return
        begun = self.status != 0
        self.refused_for, self.status = reason, status
        metrics.REFUSED.labels(reason).inc()
        if begun:
            return
        if status in READ_ON:
            await self._read_away()
        body = json.dumps({"error": line, "field": None, "request_id": self.name}).encode()
        headers = MutableHeaders({"Content-Type": "application/json", "Content-Length": str(len(body))})
        self._add(headers)
        if status == 503:
            headers["Retry-After"] = str(retry)
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if status in {413, 415, 401, 503}:
            headers["Connection"] = "close"  # the rest of the body is not read
        await self._send({"type": "http.response.start", "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})

    async def _read_away(self) -> None:
        """Read the rest of the body, for a while: clients that are still sending would see a broken pipe, no answer."""
        if "100-continue" in Headers(scope=self.scope).get("expect", "").lower():
            return  # they have not begun
        end = time.monotonic() + READ_AWAY
        with contextlib.suppress(TimeoutError):
            while (left := end - time.monotonic()) > 0:  # counted too: what is there already never waits
                message = await asyncio.wait_for(self._receive(), left)
                self.got += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return

    def write_log(self) -> None:
        entry: MutableMapping[str, Any] = {
            "request_id": self.name,
            "method": self.scope["method"],
            "path": self.scope["path"],
            "status": self.status,
            "milliseconds": round((time.perf_counter() - self.start) * 1000, 1),
            "bytes_in": self.got,
            "bytes_out": self.sent,
        }
        if self.refused_for:
            entry["refused_for"] = self.refused_for
        entry |= self.scope["state"].get("log", {})
        level = logging.DEBUG if self.scope["path"] in OPEN[:3] else logging.INFO
        LOG.log(level, "request", extra={"entry": entry})


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(STATIC)

"""Who may ask, how much may be sent, how many at once and how long; and what the log tells of it."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_worker import file_of, worker
from starlette.testclient import TestClient

from refocal.serving.guard import Guard
from refocal.serving.pipeline.pipeline import RequestPipeline
from refocal.serving.turns import Turns

PHOTO = {"photo": ("p.png", file_of())}


def test_a_body_that_is_declared_too_long_is_refused_before_it_is_read(serve: Callable[..., TestClient]) -> None:
    client = serve(max_bytes=10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(300 << 20)}
    answer = client.post("/refocus", content=b"", headers=headers)
    assert answer.status_code == 413
    assert "10000" in answer.json()["error"]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_body_of_unknown_length_is_refused_at_the_cap_and_then_read_away_for_a_while(
    tmp_path: Path, lens_model: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Or a client that is still sending would see a broken pipe, and no answer."""
    monkeypatch.setattr("refocal.serving.guard.READ_AWAY", seconds)
    app, settings = worker(tmp_path, lens_model, max_bytes=1 << 20)
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n' if not read else b""
        read += 1 << 16
        return {"type": "http.request", "body": head + b"x" * (1 << 16), "more_body": read < 20 << 20}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/refocus", "raw_path": b"/refocus", "query_string": b""}
    scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")], "http_version": "1.1"}
    scope |= {"scheme": "http", "server": ("x", 80), "client": ("y", 1), "root_path": ""}
    asyncio.run(Guard(app, settings, Turns(settings.at_once))(scope, receive, send))
    assert sent[0]["status"] == 413
    assert read <= (1 << 20) + (1 << 17) if seconds == 0 else read == 20 << 20
    assert json.loads(sent[1]["body"])["error"]
    assert len(sent) == 2


def test_a_batch_may_be_larger(serve: Callable[..., TestClient]) -> None:
    client = serve(max_bytes=100, max_batch_bytes=100_000)
    assert client.post("/refocus", files=PHOTO, data={"focus": "0"}).status_code == 413
    assert client.post("/batch", files={"photos": PHOTO["photo"]}, data={"focus": "0"}).status_code == 202


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "x"])
def test_a_length_that_is_no_number_is_refused(client: TestClient, length: str) -> None:
    headers = [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", length.encode())]
    assert client.post("/refocus", content=b"", headers=headers).status_code in {400, 415}


def test_with_a_token_only_the_page_and_health_are_open(serve: Callable[..., TestClient]) -> None:
    client = serve(token="käse 7")  # noqa: S106
    assert client.get("/").status_code == 200
    assert client.get("/static/app.js").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic käse"},
        {"Authorization": "Bearer "},
    ):
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = client.post("/refocus", files=PHOTO, data={"focus": "0"}, headers=encoded)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/docs.json", headers=encoded).status_code == 401
        assert client.get(f"/batch/{'0' * 32}", headers=encoded).status_code == 401
    good = {"Authorization": "Bearer käse 7".encode()}
    assert client.post("/refocus", files=PHOTO, data={"focus": "0"}, headers=good).status_code == 200


def test_every_answer_tells_browsers_to_be_careful(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/nope"), client.post("/refocus"), client.get("/docs.json")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_may_load_its_own_files_alone_and_names_no_others(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert {"script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(policy.split("; "))
    for name in ("", "static/app.js", "static/app.css"):
        text = client.get(f"/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "<script>" not in text


@pytest.mark.parametrize("name", ["../api.py", "%2e%2e/api.py", "..%2fapi.py", "app.py", "x/app.js", "nope.js"])
def test_nothing_but_the_pages_files_is_handed_out(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code in {404, 422}


class _Gate:
    """Holds requests inside until it opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.inside = threading.Event(), threading.Semaphore(0)
        work = RequestPipeline.refocus

        def wait(pipeline: RequestPipeline, *told: Any) -> Any:
            self.inside.release()
            assert self.open.wait(30)
            return work(pipeline, *told)

        monkeypatch.setattr(RequestPipeline, "refocus", wait)


async def _asked(app: Guard, number: int, gate: _Gate) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:

        async def one() -> httpx.Response:
            return await client.post("/refocus", files=PHOTO, data={"focus": "0"})

        first = [asyncio.ensure_future(one()) for _ in range(number - 1)]
        for _ in first:
            await asyncio.to_thread(gate.inside.acquire)
        last = await one()
        gate.open.set()
        return [last, *await asyncio.gather(*first), await one()]


def test_one_request_too_many_gets_503_and_later_ones_are_served_again(
    tmp_path: Path, lens_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, settings = worker(tmp_path, lens_model, concurrency=3)
    answers = asyncio.run(_asked(Guard(app, settings, Turns(settings.at_once)), 4, _Gate(monkeypatch)))
    assert [answer.status_code for answer in answers] == [503, 200, 200, 200, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].json()["error"]


def test_who_would_wait_too_long_is_told_at_once(
    tmp_path: Path, lens_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how long photos took of late; who asks for something else than a photo is not."""
    app, settings = worker(tmp_path, lens_model, at_once=1, max_wait=0.5)
    turns = Turns(1)
    for _ in range(8):
        with turns:
            time.sleep(0.3)
    guard = Guard(app, settings, turns)
    answers = asyncio.run(_asked(guard, 3, _Gate(monkeypatch)))  # two in work: the third would wait for 0.6 s
    assert [answer.status_code for answer in answers] == [503, 200, 200, 200]
    assert "busy: 2 photos are before this one, about 1 s" in answers[0].json()["error"]
    assert answers[0].headers["retry-after"] == "1"
    assert TestClient(guard).get("/jobs/none").status_code == 404


def test_a_request_that_takes_too_long_gets_503(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = _Gate(monkeypatch)
    client = serve(timeout=0.2)
    answer = client.post("/refocus", files=PHOTO, data={"focus": "0"})
    gate.open.set()
    assert answer.status_code == 503
    assert "0.2 s" in answer.json()["error"]
    assert answer.headers["retry-after"] == "1"


def test_a_request_is_one_line_of_json_in_the_log_with_its_id(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("refocal.serving"), "propagate", True)
    with caplog.at_level(logging.INFO, "refocal.serving"):
        answer = client.post("/refocus", files=PHOTO, data={"focus": "0"}, headers={"X-Request-ID": "mine-1"})
        client.post("/refocus", files=PHOTO, data={"focus": "9"}, headers={"X-Request-ID": "bad id\t{}"})
    assert answer.headers["x-request-id"] == "mine-1"
    entries = [record.entry for record in caplog.records if record.name == "refocal.serving"]  # type: ignore[attr-defined]
    assert [entry["status"] for entry in entries] == [200, 422]
    assert entries[0]["request_id"] == "mine-1"
    assert entries[0]["bytes_out"] == len(answer.content)
    assert set(entries[0]["took"]) == {"decode", "deblur", "analyse", "render", "encode"}
    assert entries[1]["request_id"] != "bad id\t{}"


def test_a_line_of_the_log_is_json_with_the_traceback_inside() -> None:
    from refocal.serving.logs import JsonLines

    try:
        raise RuntimeError("a\nb")  # noqa: TRY301  its traceback is wanted
    except RuntimeError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed %s", ("so",), (type(error), error, None))
    record.entry = {"request_id": "7"}
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["event"], told["level"], told["request_id"]) == ("failed so", "error", "7")
    assert "RuntimeError" in told["traceback"]


def test_one_batch_is_received_at_a_time(tmp_path: Path, lens_model: Path) -> None:
    """Each may fill the temporary folder up to its limit."""
    app, settings = worker(tmp_path, lens_model)
    guard, first = Guard(app, settings, Turns(settings.at_once)), asyncio.Event()

    async def exchange(path: str) -> int:
        async def receive() -> dict[str, Any]:
            await first.wait()
            return {"type": "http.disconnect"}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")], "http_version": "1.1"}
        scope |= {"scheme": "http", "server": ("x", 80), "client": ("y", 1), "root_path": ""}
        await guard(scope, receive, send)
        return int(sent[0]["status"]) if sent else 0

    async def both() -> tuple[int, int]:
        waits = asyncio.ensure_future(exchange("/batch"))
        await asyncio.sleep(0)
        second = await exchange("/batch")
        held = guard.batches
        first.set()
        await waits
        return second, held

    assert asyncio.run(both()) == (503, 1)
    assert guard.batches == 0

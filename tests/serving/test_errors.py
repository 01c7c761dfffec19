"""What the service refuses: a status, one line, the field; as JSON and nothing else."""

import errno
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from service_worker import file_of, photo_of
from starlette.testclient import TestClient

PNG = file_of()
BAD: list[tuple[str, dict[str, Any], dict[str, Any], int, str | None]] = [
    ("/refocus", {}, {"focus": "0"}, 422, "photo"),
    ("/refocus", {"photo": PNG}, {}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"focus": "1.2"}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"focus": "nan"}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"focus": "near"}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "x": "0.5", "y": "0.5"}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"x": "0.5"}, 422, "focus"),
    ("/refocus", {"photo": PNG}, {"x": "0.5", "y": "1.5"}, 422, "y"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "aperture": "-1"}, 422, "aperture"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "aperture": "inf"}, 422, "aperture"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "aperture": "65"}, 422, "aperture"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "format": "bmp"}, 422, "format"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "quality": "0"}, 422, "quality"),
    ("/refocus", {"photo": PNG}, {"focus": "0", "metadata": "maybe"}, 422, "metadata"),
    ("/refocus", {"photo": b""}, {"focus": "0"}, 422, "photo"),
    ("/refocus", {"photo": b"hello, no picture"}, {"focus": "0"}, 415, "photo"),
    ("/refocus", {"photo": b"GIF89a" + b"\0" * 50}, {"focus": "0"}, 415, "photo"),
    ("/refocus", {"photo": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, {"focus": "0"}, 415, "photo"),
    ("/refocus", {"photo": PNG[:200]}, {"focus": "0"}, 400, "photo"),
    ("/refocus", {"photo": PNG, "disparity": b"\x93NUMPY\x01\0"}, {"focus": "0"}, 400, "disparity"),
    ("/refocus", {"photo": PNG, "disparity": b"\x76\x2f\x31\x01"}, {"focus": "0"}, 415, "disparity"),
    ("/refocus", {"photo": PNG, "disparity": PNG}, {"focus": "0"}, 400, "disparity"),
    ("/refocus", {"photo": PNG, "disparity": PNG[:200]}, {"focus": "0"}, 400, "disparity"),
    ("/sweep", {"photo": PNG}, {"levels": "1"}, 422, "levels"),
    ("/sweep", {"photo": PNG}, {"levels": "65"}, 422, "levels"),
    ("/sweep", {"photo": PNG}, {"fps": "0"}, 422, "fps"),
    ("/sweep", {"photo": PNG}, {"format": "avi"}, 422, "format"),
    ("/disparity", {"photo": PNG}, {"view": "mesh"}, 422, "view"),
    ("/living", {"photo": PNG}, {"levels": "2"}, 422, "levels"),
    ("/living", {"photo": PNG}, {"title": "x" * 201}, 422, "title"),
    ("/batch", {}, {"focus": "0"}, 422, "photos"),
    ("/batch", {"photos": PNG}, {}, 422, "focus"),
    ("/batch", {"archive": b"no zip"}, {"focus": "0"}, 400, "archive"),
]


@pytest.mark.parametrize(("path", "files", "fields", "status", "field"), BAD)
def test_bad_requests_are_told_what_is_wrong_with_which_field(
    client: TestClient, path: str, files: dict[str, bytes], fields: dict[str, str], status: int, field: str | None
) -> None:
    sent = {name: ("file", data) for name, data in files.items()} or {"unknown": ("file", b"x")}
    answer = client.post(path, files=sent, data=fields)
    told = answer.json()
    assert (answer.status_code, told["field"]) == (status, field), told
    assert set(told) == {"error", "field", "request_id"}
    assert told["error"]
    assert "\n" not in told["error"]
    assert told["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("text", ["http://127.0.0.1:1/x.jpg", "file:///etc/passwd", "data:image/png;base64,AAAA"])
@pytest.mark.parametrize("field", ["photo", "disparity"])
def test_text_in_the_place_of_a_file_is_refused_and_nothing_is_fetched(
    client: TestClient, text: str, field: str
) -> None:
    files = {"photo": ("p.png", PNG)} if field != "photo" else {"other": ("p.png", PNG)}
    answer = client.post("/refocus", files=files, data={"focus": "0", field: text})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.bentoml+pickle", "text/plain", "image/png", ""])
def test_only_forms_are_taken(client: TestClient, kind: str) -> None:
    answer = client.post("/refocus", content=b"cos\nsystem\n(S'x'\ntR.", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["error"]


def test_a_picture_with_too_many_pixels_is_refused_by_its_head(serve: Callable[..., TestClient]) -> None:
    client = serve(max_pixels=3000)
    answer = client.post("/refocus", files={"photo": ("p.png", PNG)}, data={"focus": "0"})
    assert (answer.status_code, answer.json()["field"]) == (413, "photo")
    assert "3000" in answer.json()["error"].replace(",", "")
    answer = client.post(
        "/refocus",
        files={"photo": ("p.png", file_of(photo_of(32, 32))), "disparity": ("d.png", file_of(photo_of()[..., 0]))},
        data={"focus": "0"},
    )
    assert (answer.status_code, answer.json()["field"]) == (413, "disparity")


def test_a_disparity_without_a_single_number_is_refused(client: TestClient) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((8, 8), np.nan, np.float32))
    files = {"photo": ("p.png", PNG), "disparity": ("d.tif", buffer.getvalue())}
    answer = client.post("/refocus", files=files, data={"focus": "0"})
    assert (answer.status_code, answer.json()["field"]) == (400, "disparity")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nope", 404), ("GET", "/refocus", 405), ("PUT", "/", 405)]
)
def test_unknown_places_and_methods_are_told_as_json(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_failure_of_ours_is_a_line_and_an_id_and_no_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret place")

    monkeypatch.setattr("refocal.serving.pipeline.pipeline.RequestPipeline.refocus", broken)
    answer = client.post("/refocus", files={"photo": ("p.png", PNG)}, data={"focus": "0"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"]


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    given = "" if filename is None else f'; filename="{filename}"'
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{given}\r\n\r\n'.encode() + content + b"\r\n"


@pytest.mark.parametrize("photo", [PNG, PNG + bytes(2 << 20)])
def test_a_file_without_a_name_is_told_so_and_none_of_it_repeated(client: TestClient, photo: bytes) -> None:
    body = part("focus", b"0") + part("photo", photo) + b"--x--\r\n"
    answer = client.post("/refocus", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    told = answer.json()["error"]
    assert answer.status_code in {400, 422}
    assert "file name" in told
    assert "PNG" not in told
    assert "IHDR" not in told


def test_a_camera_s_raw_file_is_named(client: TestClient) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(photo_of(), photometric="rgb", subfiletype=1, subifds=1)
        writer.write(np.zeros((64, 64), np.uint16), photometric=32803, subfiletype=0)
    answer = client.post("/refocus", files={"photo": ("a.nef", buffer.getvalue())}, data={"focus": "0"})
    assert answer.status_code == 415
    assert "raw file: develop it first" in answer.json()["error"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_507_and_to_be_tried_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.serving.jobs.jobs.write", full)
    answer = client.post("/batch", files={"photos": ("a.png", PNG)}, data={"focus": "0"})
    assert (answer.status_code, answer.headers["retry-after"]) == (507, "30")
    assert "No space left on device" in answer.json()["error"]
    monkeypatch.setattr("refocal.serving.api.online.pipeline_of", full)
    answer = client.post("/refocus", files={"photo": ("a.png", PNG)}, data={"focus": "0"})
    assert (answer.status_code, answer.headers["retry-after"]) == (507, "30")


def test_maps_come_as_arrays_too(client: TestClient) -> None:
    values = np.zeros(photo_of().shape[:2], np.float32)
    values[:, :20] = 1
    buffer = io.BytesIO()
    np.savez(buffer, depth=values)
    files = {"photo": ("p.png", PNG), "disparity": ("d.npz", buffer.getvalue())}
    answer = client.post("/refocus", files=files, data={"x": "0.05", "y": "0.5"})
    assert float(answer.headers["x-refocal-focus"]) == 1

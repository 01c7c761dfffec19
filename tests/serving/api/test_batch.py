"""Many photos: a job id at once, progress, a ZIP with a manifest, and one bad photo that sinks nothing."""

import io
import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from service_worker import file_of, photo_of, pixels_of
from starlette.testclient import TestClient

from refocal.serving.jobs.jobs import Jobs
from refocal.serving.pipeline.options import options_of
from refocal.serving.pipeline.pipeline import RequestPipeline


def state_of(client: TestClient) -> Any:
    return client.app.app.state  # type: ignore[attr-defined]  # the guard's app


def work(client: TestClient) -> None:
    """Do all that waits, as a worker's thread does."""
    pipeline: RequestPipeline = state_of(client).pipeline
    jobs: Jobs = state_of(client).jobs

    def refocus(data: bytes, settings: Mapping[str, Any]) -> tuple[str, bytes, Mapping[str, Any]]:
        answer = pipeline.refocus(data, options_of(settings))
        return answer.suffix, answer.data, {"focus": answer.focus}

    stop = threading.Event()
    thread = threading.Thread(target=jobs.work, args=(refocus, stop))
    thread.start()
    while jobs.waiting():
        stop.wait(0.01)
    stop.set()
    jobs.wake.set()
    thread.join()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def send(client: TestClient, photos: list[tuple[str, bytes]], archive: bytes | None = None, **fields: str) -> Any:
    files = [("photos", photo) for photo in photos]
    files += [("archive", ("all.zip", archive))] if archive else []
    return client.post("/batch", files=files, data=fields or {"focus": "1"})


def result_of(client: TestClient, job: str) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    answer = client.get(f"/batch/{job}/result")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(files.pop("manifest.json"))["photos"]


def test_a_batch_gives_every_photo_and_tells_of_the_bad_one(client: TestClient) -> None:
    photos = [("a.png", file_of()), ("broken.jpg", b"\xff\xd8\xff nothing"), ("b.jpg", file_of(kind="JPEG"))]
    answer = send(client, photos, zip_of({"sub/a.png": file_of(photo_of(32, 32))}), focus="1", aperture="4")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["state"], told["total"], told["done"]) == ("queued", 4, 0)
    assert client.get(told["result"]).status_code == 409
    work(client)
    told = client.get(told["status"]).json()
    assert (told["state"], told["done"], told["failed"]) == ("done", 4, 1)
    assert told["finished"] >= told["created"]
    files, manifest = result_of(client, told["job"])
    assert [entry["name"] for entry in manifest] == ["a.png", "broken.jpg", "b.jpg", "sub/a.png"]
    assert "error" in manifest[1]
    assert [entry.get("output") for entry in manifest] == ["a.png", None, "b.jpg", "a-2.png"]
    assert set(files) == {"a.png", "b.jpg", "a-2.png"}
    direct = client.post("/refocus", files={"photo": photos[0]}, data={"focus": "1", "aperture": "4"})
    assert np.array_equal(pixels_of(files["a.png"]), pixels_of(direct.content))


def test_a_batch_by_click_focuses_each_photo_where_the_point_lies(client: TestClient) -> None:
    mirrored = file_of(np.ascontiguousarray(photo_of()[:, ::-1]))
    told = send(client, [("a.png", file_of()), ("b.png", mirrored)], x="0.2", y="0.5").json()
    work(client)
    _, manifest = result_of(client, told["job"])
    assert [round(entry["focus"]) for entry in manifest] == [1, -1]


def test_a_cancelled_batch_stops_and_has_no_result(client: TestClient) -> None:
    job = send(client, [("a.png", file_of())]).json()["job"]
    assert client.delete(f"/batch/{job}").json()["state"] == "cancelled"
    work(client)
    assert client.get(f"/batch/{job}").json()["done"] == 0
    answer = client.get(f"/batch/{job}/result")
    assert (answer.status_code, "cancelled" in answer.json()["error"]) == (409, True)


def test_more_jobs_than_allowed_are_refused(serve: Callable[..., TestClient]) -> None:
    client = serve(jobs=2)
    codes = [send(client, [("a.png", file_of())]).status_code for _ in range(3)]
    assert codes == [202, 202, 429]


def test_more_photos_than_allowed_are_refused_and_nothing_is_left(serve: Callable[..., TestClient]) -> None:
    client = serve(max_photos=2)
    three = [(f"{k}.png", file_of()) for k in range(3)]
    assert send(client, three).status_code == 422
    assert send(client, [], zip_of(dict(three))).status_code == 400
    assert list(state_of(client).jobs.folder.iterdir()) == []


@pytest.mark.parametrize("job", ["0" * 32, "../../etc", "%2e%2e", "x", "A" * 32])
@pytest.mark.parametrize("tail", ["", "/result"])
def test_a_job_that_is_not_there_is_not_found(client: TestClient, job: str, tail: str) -> None:
    answer = client.get(f"/batch/{job}{tail}")
    assert answer.status_code in {404, 422}
    assert answer.json()["error"]


def test_a_point_needs_a_model_that_knows_disparity(serve: Callable[..., TestClient], blind_model: Any) -> None:
    client = serve(blind_model)
    assert send(client, [("a.png", file_of())], x="0.5", y="0.5").status_code == 409
    assert send(client, [("a.png", file_of())], focus="0.5").status_code == 202

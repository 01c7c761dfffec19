"""Broken and hostile files give an answer or a refusal, never a failure; and the memory does not grow."""

import gc
import resource
from pathlib import Path

import pytest
from hostile import CORPUS
from service_worker import file_of, photo_of
from starlette.testclient import TestClient

pytestmark = pytest.mark.filterwarnings("ignore")  # decoders warn of what they meet
MEGABYTE = 1 << 20
DOORS = [("/refocus", {"focus": "0.2"}), ("/disparity", {}), ("/sweep", {"levels": "2"}), ("/living", {"levels": "3"})]
DOORS += [("/views", {"rows": "1", "columns": "2"})]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_the_corpus_has_ten_of_each_class() -> None:
    assert {name for name, files in CORPUS.items() if len(files) < 10} == set()


@pytest.mark.parametrize("kind", CORPUS)
def test_hostile_photos_are_answered_or_refused(client: TestClient, kind: str) -> None:
    for name, data in CORPUS[kind].items():
        for path, fields in DOORS if kind in {"thin", "deep", "not_numbers", "palette"} else DOORS[:1]:
            answer = client.post(path, files={"photo": ("p", data)}, data=fields)
            assert answer.status_code in {200, 400, 413, 415, 422}, f"{path} {name}: {answer.text[:200]}"
            if answer.status_code != 200:
                assert answer.json()["error"].count("\n") == 0
                assert answer.json()["field"] in {"photo", "format"}, name


@pytest.mark.parametrize("kind", CORPUS)
def test_hostile_maps_are_answered_or_refused(client: TestClient, kind: str) -> None:
    for name, data in CORPUS[kind].items():
        files = {"photo": ("p", file_of()), "disparity": ("d", data)}
        answer = client.post("/refocus", files=files, data={"focus": "0"})
        assert answer.status_code in {200, 400, 413, 415, 422}, f"{name}: {answer.text[:200]}"


def test_what_is_no_photo_never_becomes_one(client: TestClient) -> None:
    heads = {name: data for name, data in CORPUS["polyglots"].items() if name.startswith("head")}
    for name, data in (CORPUS["wrong"] | heads).items():
        answer = client.post("/refocus", files={"photo": ("p", data)}, data={"focus": "0"})
        assert answer.status_code != 200, name


def test_what_follows_a_picture_in_its_file_does_not_come_back(client: TestClient) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        answer = client.post(
            "/refocus", files={"photo": ("p", CORPUS["polyglots"][f"{kind} and html"])}, data={"focus": "0"}
        )
        assert answer.status_code == 200
        assert b"<script>" not in answer.content


def test_bombs_do_not_fill_the_memory(client: TestClient) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in CORPUS["bombs"].values():
        client.post("/refocus", files={"photo": ("p", data)}, data={"focus": "0"})
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 300 * MEGABYTE


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4", "zip"])
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (17, 31)])
def test_films_of_odd_photos_are_made_or_refused(client: TestClient, kind: str, size: tuple[int, int]) -> None:
    files = {"photo": ("p", file_of(photo_of(*size)))}
    answer = client.post("/sweep", files=files, data={"levels": "2", "format": kind})
    assert answer.status_code == 200 or (answer.status_code, answer.json()["field"]) == (422, "format"), answer.text


def test_the_memory_does_not_grow_with_what_is_refused(client: TestClient) -> None:
    hostile = [data for kind in ("bombs", "truncated", "wrong") for data in CORPUS[kind].values()]

    def send_all() -> int:
        for data in hostile:
            client.post("/refocus", files={"photo": ("p", data)}, data={"focus": "0", "aperture": "0"})
        gc.collect()
        return resident()

    send_all()
    before = send_all()
    for _ in range(3):
        after = send_all()
    assert after - before < 64 * MEGABYTE

"""Jobs are files: they outlive the server, are done once, by one worker at a time, and go when they are old."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refocal.serving.jobs.jobs import Jobs, TooManyJobsError

WORKER = """
import os, sys, threading, time
from pathlib import Path
from refocal.serving.jobs.jobs import Jobs

def refocus(data, settings):
    with open(sys.argv[2], "a") as log:
        log.write(f"{os.getpid()} {data.decode()}\\n")
    time.sleep(float(sys.argv[3]))
    return "txt", data.upper(), {"focus": settings["focus"]}

Jobs(Path(sys.argv[1]), limit=10, max_age=100).work(refocus, threading.Event())
"""


def jobs_of(folder: Path, **told: Any) -> Jobs:
    return Jobs(folder / "jobs", **({"limit": 10, "max_age": 100} | told))


def upper(data: bytes, settings: Mapping[str, Any]) -> tuple[str, bytes, Mapping[str, Any]]:
    return "txt", data.upper(), settings


def run(jobs: Jobs, refocus: Any = upper) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=jobs.work, args=(refocus, stop))
    thread.start()
    deadline = time.monotonic() + 20
    while jobs.waiting() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    jobs.wake.set()
    thread.join()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def photos(number: int) -> list[tuple[str, bytes]]:
    return [(f"{k}.txt", f"photo{k}".encode()) for k in range(number)]


def test_an_outcome_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create(photos(2), {})
    (jobs.folder / job / "out" / ".0000.json").touch()
    assert jobs.status(job).done == 0


def test_a_killed_worker_loses_nothing_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create(photos(6), {"focus": 0.5})
    log = tmp_path / "log"
    command = [sys.executable, "-c", WORKER, str(jobs.folder), str(log)]
    first = subprocess.Popen([*command, "0.2"])
    wait_for(lambda: jobs.status(job).done >= 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = jobs.status(job).done
    assert done < 6
    second = subprocess.Popen([*command, "0"])
    wait_for(lambda: jobs.status(job).state == "done")
    second.kill()
    second.wait()
    seen = [line.split()[1] for line in log.read_text().splitlines()]
    assert sorted(set(seen)) == sorted(data.decode() for _, data in photos(6))
    assert len(seen) <= 7  # the one that was at work when the kill came is done twice
    with zipfile.ZipFile(jobs.result(job) or "") as archive:
        assert archive.read("3.txt") == b"PHOTO3"
        assert len(json.loads(archive.read("manifest.json"))["photos"]) == 6


def test_of_two_workers_one_has_a_job_and_the_other_leaves_it_alone(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    made = [jobs.create(photos(5), {"focus": 0}) for _ in range(2)]
    log = tmp_path / "log"
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(jobs.folder), str(log), "0.05"]) for _ in range(2)]
    wait_for(lambda: all(jobs.status(job).state == "done" for job in made))
    for worker in workers:
        worker.kill()
        worker.wait()
    lines = log.read_text().splitlines()
    assert len(lines) == 10  # none twice


def test_status_tells_how_far_a_job_is(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create(photos(2), {})
    assert jobs.status(job).state == "queued"
    seen = []

    def refocus(data: bytes, settings: Mapping[str, Any]) -> Any:
        seen.append(jobs.status(job))
        if data == b"photo1":
            raise ValueError("too\ndark")
        return upper(data, settings)

    run(jobs, refocus)
    assert [(status.state, status.done) for status in seen] == [("running", 0), ("running", 1)]
    end = jobs.status(job)
    assert (end.state, end.total, end.done, end.failed) == ("done", 2, 2, 1)
    with zipfile.ZipFile(jobs.result(job) or "") as archive:
        assert json.loads(archive.read("manifest.json"))["photos"][1]["error"] == "too dark"


def test_cancelling_stops_after_the_photo_at_work(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create(photos(5), {})

    def refocus(data: bytes, settings: Mapping[str, Any]) -> Any:
        if data == b"photo1":
            jobs.cancel(job)
        return upper(data, settings)

    run(jobs, refocus)
    status = jobs.status(job)
    assert (status.state, status.done) == ("cancelled", 2)
    assert jobs.result(job) is None


def test_a_job_that_is_done_cannot_be_cancelled(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create(photos(1), {})
    run(jobs)
    assert jobs.cancel(job).state == "done"
    assert jobs.result(job) is not None


def test_old_jobs_go_and_make_room(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, limit=1, max_age=50)
    job = jobs.create(photos(1), {})
    with pytest.raises(TooManyJobsError):
        jobs.create(photos(1), {})
    os.utime(jobs.folder / job, (0, 0))
    other = jobs.create(photos(1), {})
    assert [path.name for path in jobs.folder.iterdir()] == [other]
    with pytest.raises(KeyError):
        jobs.status(job)


def test_a_job_whose_photos_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)

    def broken() -> Any:
        yield photos(1)[0]
        raise ValueError("bad archive")

    with pytest.raises(ValueError, match="bad archive"):
        jobs.create(broken(), {})
    assert list(jobs.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/passwd", "a\\b.txt", "..", "", "CON\0.txt", "x" * 300])
def test_names_in_the_result_are_plain_and_all_different(tmp_path: Path, name: str) -> None:
    jobs = jobs_of(tmp_path)
    job = jobs.create([(name, b"a"), (name, b"b")], {})
    run(jobs)
    with zipfile.ZipFile(jobs.result(job) or "") as archive:
        names = archive.namelist()
    assert len(set(names)) == 3
    for inside in names:
        assert not set(inside) & set("/\\\0:")
        assert not inside.startswith(".")
        assert len(inside) <= 120


@pytest.mark.parametrize("job", ["../x", "", ".", "0" * 31, "g" * 32, "0" * 32 + "\n"])
def test_ids_that_are_none_name_nothing(tmp_path: Path, job: str) -> None:
    with pytest.raises(KeyError):
        jobs_of(tmp_path).status(job)

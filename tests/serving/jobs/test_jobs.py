"""Jobs are files: they outlive the server, are done once, by one worker at a time, and go when they are old."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refocal.serving.jobs.job_folder import Status
from refocal.serving.jobs.jobs import Jobs, Made, Refocus, TooManyJobsError

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


def test_a_job_that_another_worker_has_ended_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """It was seen waiting before that: its result must not be packed again, without pictures."""
    jobs = jobs_of(tmp_path)
    jobs.create(photos(2), {})
    (path,) = jobs.waiting()
    run(jobs)
    before = (path / "result.zip").stat()
    jobs._take(path, upper, threading.Event())
    assert (path / "result.zip").stat().st_mtime_ns == before.st_mtime_ns
    assert not (path / ".result.zip").exists()


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


def copied(data: bytes, settings: Mapping[str, Any]) -> Made:
    return "jpg", data, {}


def old_job(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write a job with two photos as a server left it, some of its files otherwise."""
    job = "0" * 32
    whole = {"job.json": json.dumps({"created": 0, "settings": {}, "names": ["a.jpg", "b.jpg"]}).encode()}
    whole |= {"in/0000": b"one", "in/0001": b"two", **files}
    for name, data in whole.items():
        file = folder / job / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (folder / job / "out").mkdir(exist_ok=True)
    return job


@contextmanager
def working(jobs: Jobs, refocus: Refocus = copied) -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=jobs.work, args=(refocus, stop), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        jobs.wake.set()
        thread.join(10)


def until_ended(jobs: Jobs, job: str) -> Status:
    end = time.monotonic() + 20
    while (status := jobs.status(job)).finished is None and time.monotonic() < end:
        time.sleep(0.02)
    return status


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"job.json": b""}, "failed"),
        ({"job.json": b'{"created": 0'}, "failed"),
        ({"job.json": b"[]"}, "failed"),
        ({"job.json": b'{"created": 0, "settings": {}, "names": [1]}'}, "failed"),
        ({"out/0000.json": b""}, "done"),  # done again
        ({"out/0000.json": b'{"suffix": "jpg"}'}, "done"),  # whose picture is gone
        ({"out/0000.json": b"\xff\xfe"}, "done"),
        ({"out/.0000.json": b"half"}, "done"),
        ({"in/0001": b""}, "done"),
    ],
)
def test_what_a_power_cut_damaged_ends_its_own_job_alone(tmp_path: Path, files: dict[str, bytes], state: str) -> None:
    jobs = Jobs(tmp_path, limit=10, max_age=1e12)
    old = old_job(tmp_path, files)
    jobs.status(old)
    with working(jobs) as thread:
        new = jobs.create([("c.jpg", b"three")], {})
        assert until_ended(jobs, new).state == "done"
        assert until_ended(jobs, old).state == state
        assert thread.is_alive()
    if state == "done":
        with zipfile.ZipFile(jobs.result(old) or "") as archive:
            assert archive.read("a.jpg") == b"one"


def test_an_upload_that_is_gone_is_that_photo_s_error(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, limit=10, max_age=1e12)
    old = old_job(tmp_path, {})
    (tmp_path / old / "in" / "0000").unlink()
    with working(jobs):
        status = until_ended(jobs, old)
    assert (status.state, status.done, status.failed) == ("done", 2, 1)


def test_a_disk_that_is_full_for_a_moment_costs_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from refocal.serving.jobs import jobs as module

    jobs, real, full = Jobs(tmp_path, limit=10, max_age=1e6), module.write, [2]
    job = jobs.create([("a.jpg", b"one"), ("b.jpg", b"two")], {})

    def write(path: Path, data: bytes) -> None:
        if full[0]:
            full[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(module, "write", write)
    monkeypatch.setattr(module, "IDLE", 0.01)
    with working(jobs) as thread:
        status = until_ended(jobs, job)
        assert thread.is_alive()
    assert (status.state, status.failed, full) == ("done", 0, [0])


def test_a_full_disk_under_the_model_is_no_error_of_the_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.serving.jobs.jobs.IDLE", 0.01)
    tries = iter([OSError(errno.ENOSPC, "full"), ValueError("a bad photo")])

    def refocus(data: bytes, settings: Mapping[str, Any]) -> Made:
        raise next(tries)

    jobs = Jobs(tmp_path, limit=10, max_age=1e6)
    job = jobs.create([("a.jpg", b"one")], {})
    with working(jobs, refocus):
        assert until_ended(jobs, job).failed == 1


def test_one_job_that_the_disk_refuses_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.serving.jobs.jobs.IDLE", 0.01)

    def refocus(data: bytes, settings: Mapping[str, Any]) -> Made:
        if data == b"one":
            raise OSError(errno.ENOSPC, "full")
        return copied(data, settings)

    jobs = Jobs(tmp_path, limit=10, max_age=1e6)
    stuck = jobs.create([("a.jpg", b"one")], {})
    other = jobs.create([("b.jpg", b"two")], {})
    with working(jobs, refocus):
        assert until_ended(jobs, other).state == "done"
    assert jobs.status(stuck).done == 0


def test_files_are_on_the_disk_before_they_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def fsync(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr("os.fsync", fsync)
    jobs = Jobs(tmp_path, limit=10, max_age=1e6)
    job = jobs.create([("a.jpg", b"one")], {})
    assert [Path(name).name for name in flushed if "job.json" in name] == [".job.json"]
    assert str(tmp_path) in flushed
    with working(jobs):
        until_ended(jobs, job)
    for name in (".0000.bin", ".0000.json", ".result.zip"):
        assert str(tmp_path / job / "out" / name) in flushed or str(tmp_path / job / name) in flushed


def test_a_folder_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.raises(ValueError, match=r"REFOCAL_DIR: .* cannot be written and locked \(No locks available\)"):
        Jobs(tmp_path / "jobs", limit=1, max_age=1)

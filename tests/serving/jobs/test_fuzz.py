"""Job folders and archives that were damaged anywhere: nothing raises, other jobs are done, what is whole is kept.

`make fuzz` tries REFOCAL_FUZZ examples of each instead of a few.
"""

import io
import json
import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refocal.serving.jobs import jobs as module
from refocal.serving.jobs.archives import photos_of
from refocal.serving.jobs.jobs import Jobs

EXAMPLES = int(os.environ.get("REFOCAL_FUZZ", "40"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
PHOTOS = [("a.jpg", b"one"), ("sub/b.jpg", b"two"), ("c.jpg", b"")]
NAMES = ["job.json", "in/0000", "in/0002", "out/0000.json", "out/0000.bin", "out/0001.json", "out/0001.bin", "lease"]


def half_done(folder: Path) -> str:
    """Write a job of three photos, of which one is done and one failed."""
    job = "a" * 32
    content = {"created": 1.0, "settings": {"focus": 0.0}, "names": [name for name, _ in PHOTOS]}
    files = {"job.json": json.dumps(content).encode(), "lease": b""}
    files |= {f"in/{k:04d}": data for k, (_, data) in enumerate(PHOTOS)}
    files |= {"out/0000.json": b'{"suffix": "jpg", "milliseconds": 1.0}', "out/0000.bin": b"made of one"}
    files |= {"out/0001.json": b'{"error": "a bad photo", "milliseconds": 1.0}'}
    for name, data in files.items():
        (folder / job / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / job / name).write_bytes(data)
    return job


def work_once(jobs: Jobs) -> None:
    """Go through all jobs until there are none."""
    stop, idle = threading.Event(), module.IDLE
    module.IDLE = 0.001
    jobs.work(lambda data, _: ("jpg", b"made of " + data, {}), stop, lambda waiting: None if waiting else stop.set())
    module.IDLE = idle


@fuzz
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(0, 40), st.binary(max_size=30)))))
def test_a_job_with_any_file_cut_gone_or_overwritten(damage: list[tuple[str, int | bytes | None]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        jobs, job = Jobs(folder, limit=10, max_age=1e12), half_done(folder)
        for name, how in damage:
            file = folder / job / name
            if how is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(how if isinstance(how, bytes) else file.read_bytes()[:how] if file.exists() else b"")
        jobs.status(job)
        other = jobs.create([("d.jpg", b"four")], {})
        work_once(jobs)
        assert jobs.status(other).state == "done"
        status = jobs.status(job)
        assert status.state in {"done", "failed"}
        if status.state == "done":
            with zipfile.ZipFile(jobs.result(job) or "") as archive:
                photos = json.loads(archive.read("manifest.json"))["photos"]
            assert len(photos) == status.total
            assert all("output" in photo or "error" in photo for photo in photos)
        jobs.cancel(job)
        jobs.clean()
    finally:
        shutil.rmtree(folder)


@fuzz
@given(st.data())
def test_an_archive_with_any_bytes_changed(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in PHOTOS:
            archive.writestr(name, content * 50)
    file = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    del file[data.draw(st.integers(len(file) // 2, len(file))) :]
    unpacked(bytes(file))


@fuzz
@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4, unique=True))
def test_an_archive_with_any_names(names: list[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            try:
                archive.writestr(zipfile.ZipInfo(name), b"x")
            except (UnicodeEncodeError, ValueError):
                return
    unpacked(buffer.getvalue())


def unpacked(data: bytes) -> None:
    """Unpack an archive, or be refused in one line."""
    line = "archive"
    try:
        list(photos_of(io.BytesIO(data), max_files=10, max_bytes=100_000))
    except ValueError as error:
        line = str(error)
    assert line.startswith("archive")
    assert "\n" not in line

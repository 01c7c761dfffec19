"""The server, as `bentoml serve` starts it: health, metrics, kill -9 in the middle of a batch, an orderly end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from service_worker import file_of, photo_of

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def server(folder: Path, model: Path, log: Path, **told: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    port = free_port()
    environment = os.environ | {"REFOCAL_MODEL": str(model), "REFOCAL_DIR": str(folder), "OMP_NUM_THREADS": "1"} | told
    environment |= {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "bentoml", "serve", "refocal.serving.service:Refocal", "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for(lambda: ready(client, process), 60)
            yield client, process
    finally:
        kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 the server and its workers at once."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
        process.wait()


def ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended"
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_a_batch_survives_kill_9_of_the_server_and_ends_after_its_restart(tmp_path: Path, lens_model: Path) -> None:
    photo = file_of(photo_of(600, 800), "JPEG")
    photos = [("photos", (f"{k}.jpg", photo)) for k in range(40)]
    log = tmp_path / "log"
    with server(tmp_path, lens_model, log) as (client, process):
        job = client.post("/batch", files=photos, data={"focus": "0.5", "format": "png"}).json()["job"]
        wait_for(lambda: client.get(f"/batch/{job}").json()["done"] >= 1)
        kill_all(process)
    before = len(list((tmp_path / "jobs" / job / "out").glob("*.json")))
    assert 1 <= before < 40
    with server(tmp_path, lens_model, log) as (client, process):
        wait_for(lambda: client.get(f"/batch/{job}").json()["state"] == "done")
        told = client.get(f"/batch/{job}").json()
        assert (told["done"], told["failed"], told["total"]) == (40, 0, 40)
        assert client.get(f"/batch/{job}/result").status_code == 200
        check_metrics(client)
        check_end(process)


def check_metrics(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.post("/refocus", files={"photo": ("p.png", file_of())}, data={"focus": "0"}).status_code == 200
    assert client.post("/refocus", files={"photo": ("p.png", b"x")}, data={"focus": "0"}).status_code == 415
    told = client.get("/metrics").text
    for name in (
        'refocal_step_seconds_count{endpoint="refocus",step="render"}',
        'refocal_refused_total{reason="photo"}',
        'refocal_batch_photos_total{outcome="done"}',
        "refocal_batch_jobs",
        "refocal_photo_pixels_bucket",
        "bentoml_service_request_total",
    ):
        assert name in told


def check_end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM ends it within 10 s."""
    os.kill(process.pid, signal.SIGTERM)
    process.wait(timeout=10)


def test_a_server_without_a_model_says_so_in_one_line_and_ends(tmp_path: Path) -> None:
    environment = os.environ | {"REFOCAL_MODEL": str(tmp_path / "none.onnx"), "REFOCAL_DIR": str(tmp_path)}
    code = "from refocal.serving.service import Refocal; Refocal()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("refocal: ")
    assert "none.onnx" in done.stderr


def test_a_bad_setting_is_named_in_one_line(tmp_path: Path) -> None:
    environment = os.environ | {"REFOCAL_MAX_BYTES": "64MB"}
    code = "import refocal.serving.service"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "refocal: REFOCAL_MAX_BYTES must be an integer, more than 0, got '64MB'"


def test_the_service_runs_without_torch_and_numba(tmp_path: Path, lens_model: Path) -> None:
    environment = os.environ | {"REFOCAL_MODEL": str(lens_model), "REFOCAL_DIR": str(tmp_path)}
    code = "import sys; from refocal.serving.service import Refocal; Refocal.inner();"
    code += "print({'torch', 'numba', 'skimage', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "set()"


WEIGHTS = Path(__file__).parents[2] / "models" / "pretrained" / "refocal.onnx"


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no released weights; dvc pull brings them")
def test_a_bento_has_the_package_and_its_weights_inside(tmp_path: Path) -> None:
    environment = os.environ | {"BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    subprocess.run(command, cwd=WEIGHTS.parents[2], env=environment, capture_output=True, check=True)
    (bento,) = (tmp_path / "bentos" / "refocal").glob("*/bento.yaml")
    inside = bento.parent / "src"
    for name in ("refocal.onnx", "refocal.analyse.onnx", "refocal.render.onnx", "refocal.deblur.onnx", "LICENSE"):
        assert (inside / "models" / "pretrained" / name).read_bytes() == (WEIGHTS.parent / name).read_bytes()
    assert (inside / "src" / "refocal" / "serving" / "page" / "index.html").is_file()
    assert not list(inside.rglob("generator.pt"))
    assert not (inside / "tests").exists()
    assert (bento.parent / "env" / "python" / "requirements.txt").read_text().splitlines()[0] == "."


IDLE = """
import threading
from refocal.serving.service import Refocal
worker = object.__new__(Refocal.inner)
release = threading.Event()
worker.batch_thread = threading.Thread(target=release.wait)
before = worker.__is_ready__()
worker.batch_thread.start()
during = worker.__is_ready__()
release.set()
worker.batch_thread.join()
print(before, during, worker.__is_ready__())
"""


def test_a_server_whose_batches_nobody_does_is_not_ready(tmp_path: Path, lens_model: Path) -> None:
    environment = os.environ | {"REFOCAL_MODEL": str(lens_model), "REFOCAL_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", IDLE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False True False"

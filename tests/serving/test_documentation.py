"""What README and documentation tell people to type works: curl lines and the Python client, against a server."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from service_worker import file_of, worker

from refocal.serving.guard import Guard
from refocal.serving.settings import Settings
from refocal.serving.turns import Turns

ROOT = Path(__file__).parents[2]
README, SERVING = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/serving.md"))
SECTION = SERVING.partition("## Clients\n")[2].partition("\n## ")[0]
CURLS = sorted(set(re.findall(r"^    (curl .*?)(?:\s+#.*)?$", README + SECTION, re.MULTILINE)))


@pytest.fixture
def address(tmp_path: Path, lens_model: Path) -> Iterator[str]:
    app, settings = worker(tmp_path, lens_model)
    server = uvicorn.Server(uvicorn.Config(Guard(app, settings, Turns(settings.at_once)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.jpg").write_bytes(file_of(kind="JPEG"))
    (tmp_path / "near.jpg").write_bytes(file_of(kind="JPEG"))
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", CURLS)
def test_the_curl_lines_of_the_documentation_work(address: str, folder: Path, line: str) -> None:
    command = [*shlex.split(line.replace("http://127.0.0.1:3000", address)), "--fail-with-body", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    out = re.search(r"-o (\S+)", line)
    if out:
        head = (folder / out[1]).read_bytes()[:20]
        heads = {"jpg": b"\xff\xd8", "png": b"\x89PNG", "mp4": b"ftyp", "html": b"<!doctype", "zip": b"PK"}
        assert heads[out[1].partition(".")[2]] in head
    else:
        assert b'"job":' in done.stdout


def test_every_endpoint_is_among_the_lines() -> None:
    paths = ("refocus", "sweep", "disparity", "views", "living", "batch")
    assert [path for path in paths if f"/{path}" in " ".join(CURLS)] == list(paths)


@pytest.mark.filterwarnings("ignore")
def test_the_python_client_of_the_documentation_works(address: str, folder: Path) -> None:
    found = re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert found
    code = found[1].replace("http://127.0.0.1:3000", address)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, env=os.environ
    )
    assert "focused at" in done.stdout
    assert (folder / "out.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_settings_of_the_documentation_are_those_that_exist() -> None:
    told = set(re.findall(r"`(REFOCAL_[A-Z_]+)`", (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")))
    assert told == {f"REFOCAL_{name.upper()}" for name in vars(Settings())}

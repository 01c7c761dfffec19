"""A batch between buckets of an S3 server: the same pictures as between folders, and a manifest that goes on."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from refocal.batch.manifest import Manifest
from refocal.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start an S3 server on loopback, with a bucket, and tell fsspec of it by environment variables, as a user does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        for _ in range(200):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        system.mkdir("bucket")
        yield system
    finally:
        server.terminate()
        server.wait(10)


def manifest_of(store: Any) -> dict[str, Any]:
    store.invalidate_cache()
    lines = [json.loads(text) for text in store.cat_file("bucket/near/manifest.jsonl").splitlines()]
    assert len({line["output"] for line in lines}) == len(lines)
    return {line["output"]: line for line in lines}


def test_a_batch_from_bucket_to_bucket(archive: Path, store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(str(archive / "in"), "bucket/in", recursive=True)
    words = ["batch", "s3://bucket/in", "-o", "s3://bucket/near", "--focus", "1", "--workers", "1"]
    assert main(words) == 1
    assert main(["batch", "in", "-o", "out", "--focus", "1", "--workers", "1"]) == 1
    lines = manifest_of(store)
    assert {name for name, line in lines.items() if line["outcome"] == "failed"} == {"f.jpg"}
    for name in lines.keys() - {"f.jpg"}:
        assert store.cat_file(f"bucket/near/{name}") == (archive / "out" / name).read_bytes()
    when = store.info("bucket/near/a.jpg")["LastModified"]
    store.rm("bucket/near/b.png")
    assert main(words) == 1
    store.invalidate_cache()
    assert store.exists("bucket/near/b.png")
    assert store.info("bucket/near/a.jpg")["LastModified"] == when
    assert manifest_of(store).keys() == lines.keys()
    capsys.readouterr()
    assert main([*words[:2], "-o", "s3://elsewhere/near", "--focus", "1", "--workers", "1"]) == 2
    assert capsys.readouterr().err.startswith("refocal batch: cannot write s3://elsewhere/near/manifest.jsonl: ")


def test_the_manifest_in_a_store_is_written_whole_now_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.batch.manifest.FLUSH_EVERY", 0)
    system = fsspec.filesystem("memory")
    with Manifest("memory://near").writing([]) as manifest:
        manifest.add({"output": "a.jpg"})
        assert system.cat_file("/near/manifest.jsonl") == b'{"output": "a.jpg"}\n'
        monkeypatch.setattr("refocal.batch.manifest.FLUSH_EVERY", 1e6)
        manifest.add({"output": "b.jpg"})
        manifest.add({"output": "c.jpg"})
    assert system.cat_file("/near/manifest.jsonl").count(b"\n") == 3

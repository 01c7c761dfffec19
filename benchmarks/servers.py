"""Batches on several servers that share one folder: does every photo get done once, and how many jobs does it carry?

    python benchmarks/servers.py --seconds 600   # four servers, one of them killed every few seconds
    python benchmarks/servers.py --rate          # jobs a second of the folder alone, and requests for a status

The first sends batches to whichever server lives, asks others for their status all the while, and ends with a line for
each claim: it exits with 1 where one does not hold. The second does no refocusing: locks and files are what it times.
"""

import argparse
import http.client
import io
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from refocal.serving.jobs.jobs import Jobs
from serving import photo_of, ready

ROOT = Path(__file__).parents[1]
BOUNDARY = "refocalservers"
RANK = {"queued": 0, "running": 1, "done": 2}


class Server:
    """A `bentoml serve` with one worker, as on a machine of its own."""

    def __init__(self, model: Path, folder: Path, number: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        told = {"REFOCAL_MODEL": str(model), "REFOCAL_DIR": str(folder / "state"), "REFOCAL_THREADS": "1"}
        told |= {"BENTOML_HOME": str(folder / f"bentoml{number}"), "REFOCAL_JOBS": "100000", "PYTHONUNBUFFERED": "1"}
        self.command = [sys.executable, "-m", "bentoml", "serve", "refocal.serving.service:Refocal", "--port"]
        self.command += [str(self.port)]
        self.environment = os.environ | told
        self.log = folder / f"server{number}.log"
        self.start()

    def start(self) -> None:
        """Start it; a moment passes until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it with all its processes, in the middle of whatever they do, as a power cut does."""
        main = psutil.Process(self.process.pid)
        for process in [main, *main.children(recursive=True)]:
            process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send a request; OSError or HTTPException where the server dies meanwhile."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            kind = {} if body is None else {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request(method, path, body, kind)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Watch:
    """What was seen of the jobs: from all servers, and in the folder that they share."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs
        self.sent: dict[str, int] = {}  # job -> photos
        self.seen: dict[str, tuple[int, int]] = {}  # job -> the furthest state, and how many photos were done
        self.outcomes: dict[str, int] = {}  # outcome -> when it was written
        self.wrong: list[str] = []
        self.asked = 0

    def status(self, job: str, server: Server) -> str:
        """Ask a server for a job; what it says may never lie behind what another has said.

        But "running" becomes "queued" where the server that had begun it was killed before its first photo was done.
        """
        before = self.seen.get(job, (0, 0))
        code, body = server.ask("GET", f"/batch/{job}")
        said = json.loads(body)
        self.asked += 1
        if code != 200 or said["state"] not in RANK:
            self.wrong.append(f"{job}: {code} {body[:200]!r}")
            return ""
        now, held = RANK[said["state"]], before if before[0] == RANK["done"] else (0, before[1])
        whole = said["total"] == self.sent[job] and said["failed"] == (said["done"] == said["total"])
        if now < held[0] or said["done"] < held[1] or not whole:
            self.wrong.append(f"{job}: {said} after {before}")
        self.seen[job] = max(before, (now, said["done"]))
        return str(said["state"])

    def folder(self) -> None:
        """Look at the outcomes: one that is there must never be written again."""
        for path in self.jobs.glob("*/out/[0-9]*.json"):
            written = path.stat().st_mtime_ns
            key = str(path.relative_to(self.jobs))
            if self.outcomes.setdefault(key, written) != written:
                self.wrong.append(f"{key} was written twice")


def batch_of(photo: bytes, count: int) -> bytes:
    """Return the body of a batch: photos that all differ, and as the last one a file that is none."""
    parts = [photo + random.randbytes(16) for _ in range(count - 1)] + [b"no picture"]
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="focus"\r\n\r\n0.5\r\n'.encode()
    for number, data in enumerate(parts):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photos"; filename="{number}.jpg"\r\n'
        body += head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def kill_at_random(servers: list[Server], seconds: float, kills: Counter[int]) -> None:
    """Kill a server every few seconds and start it again, until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.uniform(4, 12))
        number = random.randrange(len(servers))
        servers[number].kill()
        kills[number] += 1
        servers[number].start()


def chaos(model: Path, count: int, seconds: float) -> int:
    """Let servers be killed at random and check every claim."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photo = photo_of(256, folder)
        servers = [Server(model, folder, number) for number in range(count)]
        try:
            while not all(ready(server.port) for server in servers):
                time.sleep(0.5)
            watch, kills = Watch(folder / "state" / "jobs"), Counter[int]()
            killer = threading.Thread(target=kill_at_random, args=(servers, seconds, kills), daemon=True)
            killer.start()
            while killer.is_alive():
                _send_and_ask(servers, watch, photo)
            while any(state != RANK["done"] for state, _ in watch.seen.values()) or len(watch.seen) < len(watch.sent):
                _send_and_ask(servers, watch, None)
            return _verdict(servers, watch, kills)
        finally:
            for server in servers:
                server.kill()


def _send_and_ask(servers: list[Server], watch: Watch, photo: bytes | None) -> None:
    """Send a batch, unless many wait; ask any server about any job."""
    waiting = [job for job in watch.sent if watch.seen.get(job, (0, 0))[0] < RANK["done"]]
    try:
        if photo is not None and len(waiting) < 12:
            photos = random.randint(2, 8)
            code, body = random.choice(servers).ask("POST", "/batch", batch_of(photo, photos))
            if code in {200, 202}:
                watch.sent[json.loads(body)["job"]] = photos
            else:
                watch.wrong.append(f"sending: {code} {body[:200]!r}")
        for job in random.sample(waiting, min(4, len(waiting))):
            watch.status(job, random.choice(servers))
    except (OSError, http.client.HTTPException):
        pass  # that server is dead, or not up again
    watch.folder()
    time.sleep(0.2)


def _verdict(servers: list[Server], watch: Watch, kills: Counter[int]) -> int:
    """Ask every server for every job once more, read the results, and print what held."""
    while not all(ready(server.port) for server in servers):
        time.sleep(0.5)
    for job, photos in watch.sent.items():
        if {watch.status(job, server) for server in servers} != {"done"}:
            watch.wrong.append(f"{job}: the servers differ")
        _, body = random.choice(servers).ask("GET", f"/batch/{job}/result")
        manifest = json.loads(zipfile.ZipFile(io.BytesIO(body)).read("manifest.json"))["photos"]
        names = [one["name"] for one in manifest]
        if (
            names != [f"{number}.jpg" for number in range(photos)]
            or ["error" in one for one in manifest].count(True) != 1
        ):
            watch.wrong.append(f"{job}: the result holds {manifest}")
    watch.folder()
    total = sum(watch.sent.values())
    of_each = dict(sorted(kills.items()))
    print(f"{len(servers)} servers, {kills.total()} kills ({of_each}), {watch.asked} requests for a status")
    print(f"{len(watch.sent)} jobs of {total} photos, {len(watch.outcomes)} outcomes, {len(watch.wrong)} claims broken")
    for line in watch.wrong[:20]:
        print("broken:", line)
    return int(bool(watch.wrong) or len(watch.outcomes) != total)


def _work(folder: Path, stop: Any) -> None:
    Jobs(folder, limit=10**6, max_age=3600).work(lambda data, _: ("jpg", data, {}), stop)


def rate(seconds: float) -> None:
    """Print how many jobs of one small photo a second the folder carries, done by 1, 2 and 4 processes."""
    print("| processes | jobs sent a second | jobs done a second | status a second |\n|---|---|---|---|")
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "jobs"
            jobs, stop = Jobs(folder, limit=10**6, max_age=3600), multiprocessing.Event()
            start, sent = time.perf_counter(), []
            while time.perf_counter() - start < seconds:
                sent.append(jobs.create([("a.jpg", bytes(50_000))], {}))
            sending = len(sent) / (time.perf_counter() - start)
            workers = [multiprocessing.Process(target=_work, args=(folder, stop)) for _ in range(count)]
            start = time.perf_counter()
            for worker in workers:
                worker.start()
            while jobs.waiting():
                time.sleep(0.05)
            doing = len(sent) / (time.perf_counter() - start)
            stop.set()
            for worker in workers:
                worker.join()
            start = time.perf_counter()
            for job in sent:
                jobs.status(job)
            asking = len(sent) / (time.perf_counter() - start)
            print(f"| {count} | {sending:.0f} | {doing:.0f} | {asking:.0f} |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/pretrained/refocal.onnx")
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", action="store_true", help="of the folder alone; --seconds of sending each")
    told = parser.parse_args()
    if told.rate:
        rate(min(told.seconds, 5))
    else:
        raise SystemExit(chaos(told.model, told.servers, told.seconds))


if __name__ == "__main__":
    main()

"""The service under load, beside the bare Refocuser and codec in a loop: requests a second, latencies, memory.

    python benchmarks/serving.py                 # the table of docs/serving.md
    python benchmarks/serving.py --soak 600      # ten minutes at saturation: memory, and what was answered

Each request sends a photo that was not seen before (its last bytes differ), so that all is done anew: decode, analyse,
render, encode; "one photo" sends the same, as a moving slider does. Client, server and loop share the machine.
"""

import argparse
import http.client
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from skimage import data

from refocal.images.encoding import encode
from refocal.images.image import read_image
from refocal.model.refocuser import Refocuser

ROOT = Path(__file__).parents[1]
BOUNDARY = "refocalbenchmark"
Body = Callable[[], bytes]


def photo_of(side: int, folder: Path) -> bytes:
    """Return a JPEG file of a real photograph, side x side."""
    path = folder / f"{side}.jpg"
    Image.fromarray(data.astronaut()).resize((side, side), Image.Resampling.LANCZOS).save(path, quality=92)
    return path.read_bytes()


class Photos:
    """Files that decode alike and are all different, or one again and again."""

    def __init__(self, photo: bytes, *, fresh: bool) -> None:
        self.photo, self.fresh = photo, fresh

    def __call__(self) -> bytes:
        """Return the next one."""
        return self.photo + (secrets.token_bytes(16) if self.fresh else bytes(16))


def form_of(photo: bytes, focus: float) -> bytes:
    """Return the body of a request."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="focus"\r\n\r\n{focus}\r\n--{BOUNDARY}\r\n'
    head += 'Content-Disposition: form-data; name="photo"; filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()


def bare(refocuser: Refocuser, photos: Photos, seconds: float) -> list[float]:
    """Return the seconds of each round of decode, analyse, render and encode; one photo is analysed once."""
    took, kept, k = [], None, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took) < 5:
        start = time.perf_counter()
        image = read_image(photos())
        if kept is None or photos.fresh:
            kept = refocuser.analyse(image.pixels)
        made = refocuser.render(image.pixels, kept, focus_of(k))
        encode(made, Path("p.jpeg"), metadata=image.metadata, quality=92)
        took.append(time.perf_counter() - start)
        k += 1
    return took[1:]


def focus_of(k: int) -> float:
    """Return a focus that differs from request to request."""
    return float(np.sin(k))


def load(port: int, photos: Photos, clients: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Let clients ask, each on a connection of its own; return the seconds of those with 200, and all codes."""
    took: list[float] = []
    codes: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    def ask() -> None:
        k = 0
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while time.perf_counter() < end or k < 4:
            body = form_of(photos(), focus_of(k))
            start = time.perf_counter()
            connection.request("POST", "/refocus", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
            answer = connection.getresponse()
            answer.read()
            codes[answer.status] += 1
            if answer.status == 200:
                took.append(time.perf_counter() - start)
            else:
                time.sleep(0.2)
            k += 1
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, codes


@contextmanager
def server(model: Path, folder: Path, workers: int, **told: str) -> Iterator[tuple[int, psutil.Process]]:
    """Start `bentoml serve` and wait until it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environment = os.environ | {"REFOCAL_MODEL": str(model), "REFOCAL_DIR": str(folder / "state")}
    environment |= {"REFOCAL_WORKERS": str(workers), "BENTOML_HOME": str(folder / "bentoml")} | told
    command = [sys.executable, "-m", "bentoml", "serve", "refocal.serving.service:Refocal", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ready(port):
            if process.poll() is not None:
                raise SystemExit("the server did not start; try `make serve`")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def ready(port: int) -> bool:
    """Ask whether the server is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def memory(process: psutil.Process) -> float:
    """Return the resident MB of the server and its workers."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20


def row(name: str, took: list[float], rate: float, base: float | None) -> str:
    """Return a line of the table."""
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    ratio = "" if base is None else f"{statistics.median(took) / base:.2f}"
    return f"| {name} | {rate:.2f} | {statistics.median(took) * 1e3:.0f} | {p99 * 1e3:.0f} | {ratio} |"


def table(model: Path, sides: list[int], workers: list[int], seconds: float, rounds: int) -> None:
    """Print the table."""
    cores = len(os.sched_getaffinity(0))
    print(f"{model}, {cores} cores\n\n| | requests/s | p50 ms | p99 ms | p50 / bare |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for side in sides:
            photo = photo_of(side, folder)
            for fresh in (True, False):
                what = f"{side} px, {'new photos' if fresh else 'one photo'}"
                for number in workers:
                    threads = max(1, cores // number)
                    refocuser = Refocuser(model, threads=threads)
                    with server(model, folder, number) as (port, _):
                        base, alone = [], []
                        for _ in range(rounds):  # in turns: the machine's moods hit both
                            base += bare(refocuser, Photos(photo, fresh=fresh), seconds / rounds)
                            alone += load(port, Photos(photo, fresh=fresh), 1, seconds / rounds)[0]
                        middle = statistics.median(base)
                        print(row(f"{what}: bare, {threads} threads", base, len(base) / sum(base), None))
                        print(row(f"{what}: {number} workers, 1 client", alone, len(alone) / sum(alone), middle))
                        for clients in (4, 16):
                            start = time.perf_counter()
                            took, codes = load(port, Photos(photo, fresh=fresh), clients, seconds)
                            rate = len(took) / (time.perf_counter() - start)
                            wrong = {code: n for code, n in codes.items() if code != 200}
                            name = f"{what}: {number} workers, {clients} clients" + (f", {wrong}" if wrong else "")
                            print(row(name, took, rate, middle), flush=True)


def soak(model: Path, seconds: float, workers: int) -> None:
    """Saturate the server, by more clients than it holds, and print memory and answers as it goes."""
    codes: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        told = {"REFOCAL_CONCURRENCY": "8", "REFOCAL_CACHE_BYTES": str(64 << 20)}
        with server(model, folder, workers, **told) as (port, process):
            photos = Photos(photo_of(512, folder), fresh=True)
            load(port, photos, 4, 10)
            print("| s | MB | answers so far |\n|---|---|---|")
            start = time.perf_counter()
            while time.perf_counter() - start < seconds:
                codes += load(port, photos, 24, min(60, seconds))[1]
                print(f"| {time.perf_counter() - start:.0f} | {memory(process):.0f} | {dict(codes)} |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/pretrained/refocal.onnx")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--seconds", type=float, default=12, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="in which bare and served take turns")
    parser.add_argument("--soak", type=float, default=0, help="seconds; instead of the table")
    told = parser.parse_args()
    if told.soak:
        soak(told.model, told.soak, max(told.workers))
    else:
        table(told.model, told.sides, told.workers, told.seconds, told.rounds)


if __name__ == "__main__":
    main()

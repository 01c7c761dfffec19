"""Batches of photos: on this machine and on a Ray cluster of two nodes here, side by side, and what limits them.

    python benchmarks/batch.py [--photos 500] [--side 512] [--rounds 2]

Each engine does the same photos by the command `refocal batch`, its start included, in turns. The nodes of the cluster
have one CPU each and run already, as a cluster does. Then what one photo costs: reading, refocusing, writing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from ray.cluster_utils import Cluster
from skimage import data

from refocal.batch.photos import Photo
from refocal.batch.storage import read
from refocal.batch.worker import BatchSettings, Worker
from refocal.images.image import encoded, read_image
from refocal.model.photo import PhotoSettings, refocus_image

Row = tuple[str, list[str], dict[str, str]]


def write_photos(folder: Path, count: int, side: int) -> None:
    """Write JPEG files, side x side, cut from photographs."""
    random, folder = np.random.default_rng(0), folder / "in"
    folder.mkdir()
    wide = side * 5 // 4
    whole = [Image.fromarray(photo).resize((wide, wide)) for photo in (data.astronaut(), data.chelsea(), data.coffee())]
    for number in range(count):
        x, y = random.integers(0, wide - side, 2).tolist()
        cut = whole[number % len(whole)].crop((x, y, x + side, y + side))
        cut.save(folder / f"{number:05d}.jpg", quality=90)


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """Run a Ray cluster of nodes with one CPU each; gives its address."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(nodes - 1):
        made.add_node(num_cpus=1)
    try:
        yield made.address
    finally:
        made.shutdown()


def seconds_of(folder: Path, options: list[str], environment: dict[str, str]) -> float:
    """Return how long a batch takes, from the command to its end."""
    with tempfile.TemporaryDirectory() as out:
        command = [str(Path(sys.executable).with_name("refocal")), "batch", str(folder / "in"), "-o", f"{out}/made"]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--focus", "1", *options], check=True, capture_output=True, env=os.environ | environment
        )
        return time.perf_counter() - start


def costs(folder: Path, count: int) -> None:
    """Print what a photo costs one process of one thread."""
    worker = Worker(BatchSettings(PhotoSettings(1.0)), str(folder / "made"), 1)
    took: dict[str, list[float]] = {"read and decode": [], "refocus": [], "encode": [], "all, with the output": []}
    for path in sorted((folder / "in").iterdir())[:count]:
        times = [time.perf_counter()]
        image = read_image(read(str(path)))
        times.append(time.perf_counter())
        made = refocus_image(worker.refocuser, image, worker.settings.photo)
        times.append(time.perf_counter())
        encoded(path, made.pixels, like=image)
        times.append(time.perf_counter())
        worker(Photo(str(path), path.name))
        whole = time.perf_counter() - times[-1]
        for name, seconds in zip(took, [*np.diff(times).tolist(), whole], strict=True):
            took[name].append(seconds)
    print("\n| a photo, one thread | ms |\n|---|---|")
    for name, seconds in took.items():
        print(f"| {name} | {statistics.median(seconds) * 1e3:.1f} |")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--side", type=int, default=512, help="px")
    parser.add_argument("--rounds", type=int, default=2)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, cluster(2) as address:
        folder = Path(place)
        write_photos(folder, told.photos, told.side)
        rows: list[Row] = []
        for workers in ("1", "2"):
            rows.append((f"local, {workers}", ["--workers", workers], {}))
            rows.append((f"ray, {workers}", ["--workers", workers, "--engine", "ray"], {"RAY_ADDRESS": address}))
        took: dict[str, list[float]] = {name: [] for name, _, _ in rows}
        for _ in range(told.rounds):
            for name, options, environment in rows:
                took[name].append(seconds_of(folder, options, environment))
        print(f"{told.photos} photos of {told.side} px, {len(os.sched_getaffinity(0))} cores")
        print("\n| engine, workers | s | photos/s | to local |\n|---|---|---|---|")
        for name, seconds in took.items():
            best, local = min(seconds), min(took[name.replace("ray", "local")])
            print(f"| {name} | {best:.1f} | {told.photos / best:.1f} | {best / local:.2f} |")
        costs(folder, min(40, told.photos))


if __name__ == "__main__":
    main()

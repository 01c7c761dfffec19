"""How long it takes to start: medians of fresh processes, beside what Python and NumPy take by themselves.

    python benchmarks/startup.py [--rounds 10]

The first refocus is a whole `refocal photo` of a 512 x 512 JPEG; photos of 12 and 24 megapixels, medians of three, tell
what large ones take, and the memory at most.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.transform import resize

MODEL = Path(__file__).parents[1] / "models/pretrained/refocal.onnx"
REFOCAL = [sys.executable, "-c", "from refocal.cli import main; main()"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        small, twelve, large = (Path(folder) / name for name in ("small.jpg", "twelve.jpg", "large.jpg"))
        Image.fromarray(data.astronaut()).save(small, quality=92)
        for path, size in ((twelve, (3000, 4000)), (large, (4000, 6000))):
            Image.fromarray(np.rint(resize(data.astronaut(), size) * 255).astype(np.uint8)).save(path, quality=92)
        commands = {
            "python": ([sys.executable, "-c", "pass"], ""),
            "python, import numpy": ([sys.executable, "-c", "import numpy"], ""),
            "python, import refocal": ([sys.executable, "-c", "import refocal"], "50 ms beyond python"),
            "refocal --help": ([*REFOCAL, "--help"], "300 ms"),
            "refocal photo, 512 x 512": (refocusing(small), "2000 ms"),
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, _) in commands.items():
                taken[name].append(timed(lambda command=command: run(command)))
        print("| | ms | wanted |\n|---|---|---|")
        for name, (_, wanted) in commands.items():
            print(f"| {name} | {statistics.median(taken[name]) * 1e3:.0f} | {wanted} |")
        beyond = statistics.median(taken["python, import refocal"]) - statistics.median(taken["python"])
        print(f"\nimport refocal, beyond python: {beyond * 1e3:.0f} ms")
        middle = statistics.median(timed(lambda: run(refocusing(twelve, ".jpg"))) for _ in range(3))
        took = statistics.median(timed(lambda: run(refocusing(large))) for _ in range(3))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"refocal photo, 4000 x 3000, to JPEG: {middle:.1f} s (wanted: 2)")
        print(f"refocal photo, 6000 x 4000, to PNG: {took:.1f} s (wanted: 6), {peak:.2f} GiB at most (wanted: 2)")


def refocusing(photo: Path, suffix: str = ".png") -> list[str]:
    """Return the command that refocuses a photo by the released model."""
    out = photo.with_name(f"out{suffix}")
    return [*REFOCAL, "photo", str(photo), "-o", str(out), "--focus", "0.5", "--force", "--model", str(MODEL)]


def run(command: list[str]) -> None:
    """Run a command; its output is not shown."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

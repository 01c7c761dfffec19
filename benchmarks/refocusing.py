"""Seconds that a photo takes to be analysed once and rendered for each move of a slider: `make bench`.

Through `Refocuser`, as everyone calls it, on photos of skimage; median of the rounds, all in one run.

    python benchmarks/refocusing.py [--model models/pretrained/refocal.onnx] [--side 512] [--aperture 16] [--threads 2]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from skimage import data
from skimage.transform import resize

from refocal import Refocuser


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="ONNX file (default: as `refocal photo` finds it)")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--aperture", type=float, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    refocuser = Refocuser(options.model, threads=options.threads)
    picture = resize(data.coffee()[:400, 100:500], (options.side, options.side), anti_aliasing=True)
    photo = np.rint(picture * 255).astype(np.uint8)
    disparity = refocuser.analyse(photo)
    print(f"{refocuser.model}, {options.side} x {options.side} px, {options.threads} threads, seconds")
    print(f"| analyse | {timed(lambda: refocuser.analyse(photo), options.rounds):.3f} |")
    for focus in (-1.0, 0.0, 1.0):
        took = timed(lambda at=focus: refocuser.render(photo, disparity, at, options.aperture), options.rounds)
        print(f"| render, aperture {options.aperture:g} px, focus {focus:+.0f} | {took:.3f} |")


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median of the seconds that `work` takes."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


if __name__ == "__main__":
    main()

"""How costs grow: seconds at 1/16 to 16 times the usual size, the exponent (least squares of logarithms), a picture.

    python benchmarks/growth.py [--model models/pretrained/refocal.onnx] [--out docs/growth.png]

An exponent of 1 is linear. Sizes of one cost have their turns in each round; medians.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from matplotlib import pyplot as plt
from skimage import data
from skimage.transform import resize

from refocal import Refocuser
from refocal.depth.from_views.plane_sweep import plane_sweep
from refocal.shiftadd.shift_and_add import focal_stack

SHARES = (1 / 16, 1 / 4, 1, 4, 16)  # of the usual size
GRID, SIZE, SLOPES = 7, (186, 270), 33  # usual: views a side, pixels of a view, slopes


@dataclass(frozen=True)
class Cost:
    """What is measured: its name, the unit of its size, its sizes, and how to make the work of one."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    make: Callable[[int], Callable[[], object]]


def light_field(views: int = GRID, pixels: int = SIZE[0] * SIZE[1]) -> np.ndarray:
    """Return noise, views x views of so many pixels each."""
    height = round((pixels * SIZE[0] / SIZE[1]) ** 0.5)
    shape = (views, views, height, round(pixels / height), 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def stack_of(field: np.ndarray, slopes: int) -> Callable[[], object]:
    """Return the work of a focal stack whose outermost views move by 3 px either way."""
    reach = 6 / (field.shape[0] - 1)
    return lambda: focal_stack(field, np.linspace(-reach, reach, slopes) + 0.0137)


def sweep_of(pixels: int) -> Callable[[], object]:
    """Return the work of a plane sweep."""
    field = light_field(pixels=pixels)
    return lambda: plane_sweep(field, np.linspace(-1, 1, 17))


def threads_of(count: int) -> Callable[[], object]:
    """Return the work of 8 usual focal stacks by so many threads."""
    work = stack_of(light_field(pixels=4 * SIZE[0] * SIZE[1]), SLOPES)

    def run() -> None:
        numba.set_num_threads(count)
        work()
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)

    return run


def costs(refocuser: Refocuser) -> list[Cost]:
    """Return what is measured."""
    usual = SIZE[0] * SIZE[1]

    def photo(pixels: int) -> np.ndarray:
        side = round(pixels**0.5)
        return np.rint(resize(data.astronaut(), (side, side)) * 255).astype(np.uint8)

    def rendering(pixels: int) -> Callable[[], object]:
        picture = photo(pixels)
        disparity = refocuser.analyse(picture)
        return lambda: refocuser.render(picture, disparity, 0.3, 8)

    def analysing(pixels: int) -> Callable[[], object]:
        picture = photo(pixels)
        return lambda: refocuser.analyse(picture)

    def several(count: int) -> Callable[[], object]:
        picture = photo(128 * 128)
        return lambda: [refocuser(picture, 0.3, 4) for _ in range(count)]

    cores = sorted({1, *(2**k for k in range(8) if 2**k <= len(os.sched_getaffinity(0)))})
    sides = (3, 5, 7, 13, 27)
    return [
        Cost("focal stack: views", "views", tuple(side**2 for side in sides),
             lambda n: stack_of(light_field(views=round(n**0.5)), SLOPES)),
        Cost("focal stack: slopes", "slopes", (3, 9, 33, 131, 527), lambda n: stack_of(light_field(), n)),
        Cost("focal stack: pixels", "pixels", scaled(usual), lambda n: stack_of(light_field(pixels=n), SLOPES)),
        Cost("plane sweep: pixels", "pixels", scaled(usual), sweep_of),
        Cost("analyse: pixels", "pixels", scaled(512 * 512), analysing),
        Cost("render: pixels", "pixels", scaled(512 * 512), rendering),
        Cost("refocus: photos", "photos", (1, 2, 4, 16), several),
        Cost("focal stack: cores", "cores", tuple(cores), threads_of),
    ]  # fmt: skip


def scaled(usual: int) -> tuple[int, ...]:
    """Return sizes around the usual one."""
    return tuple(round(share * usual) for share in SHARES)


def measure(cost: Cost, rounds: int) -> list[float]:
    """Return the median seconds of each size."""
    works = [cost.make(size) for size in cost.sizes]
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(rounds + 1):
        for times, work in zip(taken, works, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/refocal.onnx"))
    parser.add_argument("--out", type=Path, default=Path("docs/growth.png"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    everything = costs(Refocuser(options.model))
    figure, axes = plt.subplots(2, 4, figsize=(14, 6.5), constrained_layout=True)
    print("| cost | from | to | seconds | exponent | of the last step |\n|---|---|---|---|---|---|")
    for cost, axis in zip(everything, axes.flat, strict=True):
        seconds = measure(cost, options.rounds)
        sizes, logs = np.log(cost.sizes), np.log(seconds)
        exponent = np.polyfit(sizes, logs, 1)[0] if len(seconds) > 1 else float("nan")
        last = (logs[-1] - logs[-2]) / (sizes[-1] - sizes[-2]) if len(seconds) > 1 else float("nan")
        spelt = ", ".join(f"{s:.3g}" for s in seconds)
        print(
            f"| {cost.name} | {cost.sizes[0]} | {cost.sizes[-1]} | {spelt} | {exponent:.2f} | {last:.2f} |", flush=True
        )
        axis.loglog(cost.sizes, seconds, "o-")
        axis.set(title=f"{cost.name}: exponent {exponent:.2f}", xlabel=cost.unit, ylabel="seconds")
        axis.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(options.out, dpi=70)


if __name__ == "__main__":
    main()

"""Shift-and-add beside the alternatives, in one run: `make bench`.

    python benchmarks/shiftadd.py [--plenopticam PYTHON]

plenopticam wants releases of NumPy and SciPy that nothing else here does (`pip install plenopticam "numpy<2"
"scipy<1.11"`): where the Python of an environment of its own is named, it is timed there, right after the others.

The light fields are 7 x 7 views of 372 x 540 pixels, as the original's; four of them in turn, since one fits the cache.
All views count, slopes are fractional. Each figure is the median of rounds in which every method has its turn, so that
a busy machine slows all of them alike; targets are ratios, and nothing is asserted.

The bounds are the multiply-adds that shift-and-add needs, at the rate at which this machine multiplies matrices: those
of a slope by itself (two a view, for the two taps along x, three a row of views), and those of our way for many slopes.
A new picture has to be written besides. Fourier-slice refocusing (Ng, SIGGRAPH 2005) needs an inverse transform a
slope, whatever else: that alone is timed.
"""

import argparse
import subprocess
import time
from collections.abc import Callable
from typing import Any

import cv2
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage import transform

from refocal.shiftadd.shift_and_add import _spans, focal_stack, shift_and_add

GRID, HEIGHT, WIDTH = 7, 372, 540
SLOPES = np.linspace(-1, 1, 33) + 0.0137  # px/view, fractional
FAST, SLOW = 40, 7  # rounds


def original(views: NDArray[np.uint8], slope: float) -> NDArray[Any]:
    """Do as the method that the project began from: scikit-image's warp, float64, a view at a time."""
    canvas = np.zeros((HEIGHT, WIDTH, 3))
    for u in range(GRID):
        for v in range(GRID):
            shift = transform.EuclideanTransform(translation=((v - 3) * slope, (u - 3) * slope))
            canvas += transform.warp(views[u, v], shift.params)
    return canvas / GRID**2


def with_scipy(views: NDArray[np.uint8], slope: float) -> NDArray[Any]:
    """scipy.ndimage.shift, order 1."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for u in range(GRID):
        for v in range(GRID):
            canvas += ndimage.shift(views[u, v].astype(np.float32), (-(u - 3) * slope, -(v - 3) * slope, 0), order=1)
    return canvas / (255 * GRID**2)


def with_opencv(views: NDArray[np.uint8], slope: float) -> NDArray[Any]:
    """cv2.warpAffine on uint8, accumulated in float32."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for u in range(GRID):
        for v in range(GRID):
            shift = np.array([[1, 0, -(v - 3) * slope], [0, 1, -(u - 3) * slope]])
            cv2.accumulate(cv2.warpAffine(views[u, v], shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), canvas)
    return canvas / (255 * GRID**2)


def with_torch(views: NDArray[np.uint8], slope: float) -> NDArray[Any]:
    """torch.nn.functional.grid_sample, all views in a batch."""
    batch = torch.from_numpy(views.reshape(-1, HEIGHT, WIDTH, 3)).permute(0, 3, 1, 2).float()
    v, u = np.meshgrid(np.arange(GRID) - 3, np.arange(GRID) - 3)
    theta = torch.zeros(GRID**2, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, 0, 2] = torch.from_numpy(v.ravel() * slope * 2 / WIDTH)
    theta[:, 1, 2] = torch.from_numpy(u.ravel() * slope * 2 / HEIGHT)
    grid = torch.nn.functional.affine_grid(theta, list(batch.shape), align_corners=False)
    mean: NDArray[Any] = torch.nn.functional.grid_sample(batch, grid, align_corners=False).mean(0).numpy()
    return mean / 255


@numba.njit(parallel=True)  # type: ignore[untyped-decorator]
def read_once(memory: NDArray[np.uint8]) -> int:
    """Sum all bytes: the time that any method needs at least."""
    total = 0
    for part in numba.prange(64):
        step = memory.size // 64
        here = np.uint64(0)
        for value in memory[part * step : (part + 1) * step]:
            here += value
        total += here
    return total


def multiply_adds_a_second() -> float:
    """Return the rate of float32 multiply-adds in a product of matrices: the best of some."""
    one = np.ones((2048, 2048), np.float32)
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        one @ one
        taken.append(time.perf_counter() - start)
    return 2048**3 / min(taken)


def bounds() -> tuple[float, float]:
    """Return the least ms a slope: of slopes by themselves, and of our way for this stack."""
    values, rate = HEIGHT * WIDTH * 3, multiply_adds_a_second()
    spans = len(_spans(SLOPES, (GRID, GRID))[2])
    alone = 2 * GRID**2 + 3 * GRID
    row = 3 * GRID + 10  # of a row of views: three sums, and ten operations to add them to the polynomial's
    together = (spans * GRID * row + 3 * len(SLOPES)) / len(SLOPES)
    return tuple(values * count / rate * 1e3 for count in (alone, together))  # type: ignore[return-value]


PLENOPTICAM = """
import sys, time, numpy as np
from plenopticam.cfg import PlenopticamConfig
from plenopticam.lfp_refocuser.lfp_shiftandsum import LfpShiftAndSum
grid, height, width, rounds = map(int, sys.argv[1:])
cfg = PlenopticamConfig()
cfg.default_values()
cfg.params.update({cfg.ptc_leng: grid, cfg.ran_refo: [1, 2], cfg.opt_prnt: False, cfg.opt_refi: False})
views, took = np.random.randint(0, 256, (grid, grid, height, width, 3)).astype(float), []
for _ in range(rounds):
    made = LfpShiftAndSum(vp_img_arr=views.copy(), cfg=cfg)
    start = time.perf_counter()
    made.refo_from_vp()
    took.append(time.perf_counter() - start)
print(1e3 * float(np.median(took)))
"""


def with_plenopticam(python: str) -> float:
    """Return the milliseconds of plenopticam's refocusing by whole pixels; finer slopes it makes of enlarged views."""
    command = [python, "-c", PLENOPTICAM, *map(str, (GRID, HEIGHT, WIDTH, SLOW))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plenopticam", metavar="PYTHON", help="of an environment that has it")
    peer = parser.parse_args().plenopticam
    random = np.random.default_rng(0)
    fields = [random.integers(0, 256, (GRID, GRID, HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(4)]
    stack, spectrum = len(SLOPES), np.ones((3, HEIGHT, WIDTH // 2 + 1), np.complex64)
    fast: dict[str, tuple[int, Callable[[Any, float], Any]]] = {
        "read the light field once": (1, lambda views, _: read_once(views.reshape(-1))),
        "refocal, plain": (1, lambda views, s: shift_and_add(views, s, pupil="square", linear=False)),
        "refocal, linear light": (1, lambda views, s: shift_and_add(views, s, pupil="square")),
        "OpenCV warpAffine": (1, with_opencv),
    }
    slow: dict[str, tuple[int, Callable[[Any, float], Any]]] = {
        "OpenCV warpAffine, in turn with these": (1, with_opencv),
        "refocal, plain, stack of 33": (
            stack,
            lambda views, _: focal_stack(views, SLOPES, pupil="square", linear=False),
        ),
        "refocal, linear, stack of 33": (stack, lambda views, _: focal_stack(views, SLOPES, pupil="square")),
        "refocal, plain, 33 of 3 x the range": (
            stack,
            lambda views, _: focal_stack(views, 3 * SLOPES, pupil="square", linear=False),
        ),
        "an inverse Fourier transform": (
            1,
            lambda *_: fft.irfft2(spectrum, s=(HEIGHT, WIDTH), axes=(1, 2), workers=-1),
        ),
        "a new picture, written": (stack, lambda *_: np.empty((stack, HEIGHT, WIDTH, 3), np.float32).fill(1)),
        "the original (warp)": (1, original),
        "scipy.ndimage.shift": (1, with_scipy),
        "torch grid_sample": (1, with_torch),
    }
    ms = timed(fast, fields, FAST) | timed(slow, fields, SLOW)
    if peer:
        ms["plenopticam, a whole slope"] = with_plenopticam(peer)
    alone, together = bounds()
    plain = ms["refocal, plain"]
    threads = numba.get_num_threads()
    print(f"{GRID}x{GRID} x {HEIGHT} x {WIDTH}, {threads} threads, ms a slope (median), times our plain one")
    for name, took in ms.items():
        print(f"| {name:36} | {took:9.2f} | {took / plain:9.2f} |")
    print(f"least by the multiply-adds: {alone:.2f} a slope by itself, {together:.2f} a slope of the 33 our way")
    opencv, many = ms["OpenCV warpAffine, in turn with these"], ms["refocal, plain, stack of 33"]
    written = ms["a new picture, written"]
    print("| | wanted | found |")
    for name, sign, wanted, found in (
        ("original / plain", ">=", 150, ms["the original (warp)"] / plain),
        ("OpenCV / plain", ">=", 8, ms["OpenCV warpAffine"] / plain),
        ("OpenCV / plain, a slope of 33", ">=", 30, opencv / many),
        ("OpenCV / linear light, a slope of 33", ">=", 15, opencv / ms["refocal, linear, stack of 33"]),
        ("plain / read once", "<=", 2, plain / ms["read the light field once"]),
        ("linear / plain, one slope", "<=", 5, ms["refocal, linear light"] / plain),
        ("linear / plain, a slope of 33", "<=", 2, ms["refocal, linear, stack of 33"] / many),
        ("least of slopes by themselves / plain, a slope of 33", ">=", 0.5, alone / many),
        ("least our way, and writing / plain, a slope of 33", ">=", 0.5, (together + written) / many),
    ):
        print(f"| {name:52} | {sign} {wanted:5} | {found:7.2f} |")


def timed(
    methods: dict[str, tuple[int, Callable[[Any, float], Any]]], fields: list[NDArray[np.uint8]], rounds: int
) -> dict[str, float]:
    """Return the median time a slope of each method, in ms; methods take turns."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(rounds + 1):
        for name, (slopes, method) in methods.items():
            time.sleep(0.05)  # threads of the one before may still wait for more, busily
            start = time.perf_counter()
            method(fields[turn % 4], float(SLOPES[turn % len(SLOPES)]))
            times[name].append((time.perf_counter() - start) * 1e3 / slopes)
    return {name: float(np.median(found[1:])) for name, found in times.items()}  # the first compiles


if __name__ == "__main__":
    main()

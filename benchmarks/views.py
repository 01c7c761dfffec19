"""Light fields from one photo: how near they come to a camera's, and what they cost beside rendering.

    python benchmarks/views.py [LIGHTFIELD …]

For each light field (the sample's where none is named) every view but the middle one is made from the middle one, and
compared with the true view: PSNR (dB), mean over views, the border cropped that no view has. "copy" is the middle view,
"backward" looks up each pixel of a view, bilinearly, at the disparity of the same pixel of the photo, as if nothing hid
anything. Then the cost of one refocused picture by way of a light field, seconds and peak memory, each in a process of
its own: views, then shift-and-add, beside the model's renderer. Name orders as `FOLDER:order=column`.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from refocal.depth.from_views.light_field import find_depth
from refocal.depth.from_views.plane_sweep import find_range
from refocal.images.image import as_photo, read_image
from refocal.lightfields.lightfield import LightField
from refocal.model.refocuser import Refocuser
from refocal.render.views import ViewRenderer
from refocal.shiftadd.shift_and_add import shift_and_add

GRIDS = (3, 5, 7, 9, 13)
SIZE = (768, 1024)
BORDER = 16  # px that views of the border miss
WAYS = ("copy", "backward", "refocal, given disparity", "refocal, photo alone")


def psnr(made: NDArray[Any], truth: NDArray[Any]) -> float:
    """Compare two photos in 8 bits."""
    a, b = (np.rint(as_photo(picture) * 255) for picture in (made, truth))
    return float(-10 * np.log10(max(np.mean((a - b) ** 2) / 255**2, 1e-10)))


def compared(field: LightField, refocuser: Refocuser) -> dict[str, float]:
    """Return the mean over the views by each way."""
    field = field.odd()
    reach = find_range(field.views, mask=field.mask)
    middle = np.array(field.grid) // 2
    steps, photo = float(middle.max()), np.array(field.centre)
    known = {WAYS[2]: find_depth(field, reach).disparity, WAYS[3]: refocuser.analyse(photo)}
    renderers = {
        way: ViewRenderer(photo, disparity, (reach.far, reach.near), steps) for way, disparity in known.items()
    }
    slope = renderers[WAYS[2]].slope
    rows, columns = np.mgrid[: slope.shape[0], : slope.shape[1]]
    border = int(np.ceil(max(abs(reach.far), abs(reach.near)) * steps)) + 1
    inside = (slice(border, -border), slice(border, -border))
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for u, v in np.argwhere(field.mask):
        down, right = (int(k) for k in (u, v) - middle)
        if down == right == 0:
            continue
        places = [rows - down * slope, columns - right * slope]
        backward = np.stack(
            [map_coordinates(as_photo(photo)[..., c], places, order=1, mode="nearest") for c in range(3)], axis=-1
        )
        pictures = {"copy": photo, "backward": backward} | {way: make(down, right) for way, make in renderers.items()}
        for way, picture in pictures.items():
            found[way].append(psnr(picture[inside], field.views[u, v][inside]))
    return {way: float(np.mean(values)) for way, values in found.items()}


def agreement(refocuser: Refocuser, photos: list[Path]) -> tuple[float, float]:
    """Return the least and the most PSNR between shift-and-add of 7 x 7 views and the renderer, at five levels each."""
    found = []
    for path in photos:
        photo = read_image(path).pixels
        disparity, aperture = refocuser.analyse(photo), refocuser.aperture_for(*photo.shape[:2])
        views = refocuser.views(photo, disparity, (7, 7))
        for focus in (-1, -0.5, 0, 0.5, 1):
            made = shift_and_add(views, focus * aperture / 7 / 2)
            wanted = refocuser.render(photo, disparity, focus, aperture)
            found.append(psnr(made[BORDER:-BORDER, BORDER:-BORDER], wanted[BORDER:-BORDER, BORDER:-BORDER]))
    return min(found), max(found)


def work(grid: int, model: Path) -> None:
    """Print the seconds of the second of two runs and the peak MiB: of render for grid 0, else by way of views."""
    photo = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    disparity = np.asarray(np.sin(np.mgrid[: SIZE[0], : SIZE[1]][1] / 80), np.float32)
    refocuser = Refocuser(model)
    for _ in range(2):
        start = time.perf_counter()
        if grid:
            shift_and_add(refocuser.views(photo, disparity, (grid, grid)), 0.1)
        else:
            refocuser.render(photo, disparity, 0.3)
        seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def cost(grid: int, model: Path) -> tuple[float, float]:
    """Return the seconds and the peak MiB of `work` in a process of its own."""
    command = [sys.executable, __file__, "--work", str(grid), "--model", str(model)]
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lightfields", nargs="*", help="FOLDER or FOLDER:order=column")
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/refocal.onnx"))
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.model)
        return
    names = options.lightfields or [str(path) for path in sorted(Path("data").iterdir()) if path.is_dir()]
    refocuser = Refocuser(options.model)
    print(f"| light field | {' | '.join(WAYS)} |\n|{'---|' * (len(WAYS) + 1)}")
    means = []
    for name in names:
        path, _, told = name.partition(":")
        found = compared(LightField.open(path, **dict([told.split("=")] if told else [])), refocuser)
        means.append(list(found.values()))
        print(f"| {Path(path).name} | {' | '.join(f'{value:.2f}' for value in found.values())} |", flush=True)
    print(f"| mean of {len(means)} | {' | '.join(f'{value:.2f}' for value in np.mean(means, axis=0))} |\n")

    low, high = agreement(refocuser, sorted(Path("src/refocal/serving/page").glob("*.jpg")))
    print(f"shift-and-add of 7 x 7 views beside render, the page's photos: {low:.1f} to {high:.1f} dB\n")
    seconds, memory = cost(0, options.model)
    print(f"{SIZE[1]} x {SIZE[0]}, one picture\n| way | seconds | beside render | MiB |\n|---|---|---|---|")
    print(f"| render | {seconds:.2f} | 1 | {memory:.0f} |")
    for side in GRIDS:
        took, used = cost(side, options.model)
        print(f"| {side} x {side} views, shift-and-add | {took:.2f} | {took / seconds:.1f} | {used:.0f} |", flush=True)


if __name__ == "__main__":
    main()

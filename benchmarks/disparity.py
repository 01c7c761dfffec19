"""How accurate the disparity of a light field is, and how long it takes: rendered scenes with truth, and real ones.

    python benchmarks/disparity.py [LIGHTFIELD …]

Of the sample's rendered light fields, as the HCI 4D light field benchmark counts (Honauer et al., ACCV 2016, 15 px of
the border left out): BadPix, the share of pixels off by more than 0.07 px/view, and the mean squared error times 100.
OpenCV's semi-global matching, beside them, sees the leftmost and the rightmost view of the middle row.
Of the light fields that are named there is no truth: how much their views differ from the middle one, laid over it by
the disparity, in 1/100 of white, beside laid over it as they are.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from refocal import find_depth
from refocal.depth.from_views.plane_sweep import find_disparity
from refocal.images.image import as_photo
from refocal.lightfields.lightfield import LightField, read_options
from refocal.shiftadd.slopes import FocusRange

BORDER, BAD = 15, 0.07
Plane = NDArray[np.float32]
Method = Callable[[LightField, FocusRange], Plane]


def by_plane_sweep(field: LightField, _: FocusRange) -> Plane:
    """Sweep once, as the stage `stack` does."""
    return find_disparity(field.views, mask=field.mask)[1]


def by_two_sweeps(field: LightField, focus_range: FocusRange) -> Plane:
    """Sweep twice, as `refocal lightfield` does."""
    return np.asarray(focus_range.slope(find_depth(field, focus_range).disparity), np.float32)


def by_semi_global_matching(field: LightField, focus_range: FocusRange) -> Plane:
    """Match two views a row apart from each other, as their middle one sees it."""
    row, columns = field.grid[0] // 2, field.grid[1]
    left, right = (cv2.cvtColor(field.views[row, v], cv2.COLOR_RGB2GRAY) for v in (0, columns - 1))
    span = columns - 1
    low = int(np.floor(focus_range.far * span)) - 1
    count = 16 * int(np.ceil((focus_range.near * span - low + 2) / 16))
    matcher = cv2.StereoSGBM.create(low, count, 5, 8 * 25, 32 * 25, 1, mode=cv2.STEREO_SGBM_MODE_HH)
    # Near things lie further right in views further right: the right view is what OpenCV calls the left one.
    found = matcher.compute(right, left).astype(np.float32) / 16
    unknown = found < low
    found[unknown] = np.median(found[~unknown])
    rows, places = np.mgrid[: found.shape[0], : found.shape[1]].astype(np.float32)
    middle = map_coordinates(found, [rows, places + found / 2], order=1, mode="nearest")
    return np.asarray(middle / span, np.float32)


METHODS: dict[str, Method] = {
    "refocal, one sweep": by_plane_sweep,
    "refocal, two sweeps": by_two_sweeps,
    "OpenCV, semi-global matching": by_semi_global_matching,
}


def rendered(data: Path) -> None:
    """Print the table of the scenes with truth."""
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in METHODS}
    for path in sorted(data.iterdir()):
        options = read_options(path)
        if "disparity" not in options:
            continue
        field = LightField.open(path).odd()
        truth = np.load(path / options["disparity"])
        focus_range = FocusRange(float(truth.min()), float(truth.max()))
        inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
        for name, method in METHODS.items():
            start = time.perf_counter()
            error = (method(field, focus_range) - truth)[inner]
            took = time.perf_counter() - start
            found[name].append(
                (100 * float(np.mean(np.abs(error) > BAD)), 100 * float(np.mean(error**2)), np.abs(error).mean(), took)
            )
    count = len(found["refocal, one sweep"])
    print(f"mean of {count} rendered light fields\n| | BadPix 0.07 | MSE x 100 | mean error | seconds |")
    for name, rows in found.items():
        bad, square, mean, took = np.mean(rows, axis=0)
        print(f"| {name} | {bad:.1f} % | {square:.2f} | {mean:.3f} px/view | {took:.2f} |")


def real(paths: list[Path]) -> None:
    """Print the table of the light fields without."""
    print("\n| light field | as they are | one sweep | two sweeps |")
    for path in paths:
        field = LightField.open(path).odd()
        focus_range, disparity, _ = find_disparity(field.views, mask=field.mask)
        both = (np.zeros(field.size, np.float32), disparity, by_two_sweeps(field, focus_range))
        print(f"| {path.name} | " + " | ".join(f"{difference(field, plane):.2f}" for plane in both) + " |")


def difference(field: LightField, disparity: Plane) -> float:
    """Return how much the views differ from the middle one, cut off at a tenth of white, in 1/100."""
    rows, columns = np.mgrid[: field.size[0], : field.size[1]].astype(np.float32)
    middle, found = as_photo(field.centre).mean(axis=2), []
    for u, v in np.argwhere(field.mask).tolist():
        down, right = u - field.grid[0] // 2, v - field.grid[1] // 2
        if down or right:
            view = as_photo(field.views[u, v]).mean(axis=2)
            laid = map_coordinates(view, [rows + down * disparity, columns + right * disparity], order=1)
            off = np.minimum(np.abs(laid * (middle.mean() / max(laid.mean(), 1e-6)) - middle), 0.1)
            found.append(off[BORDER:-BORDER, BORDER:-BORDER].mean())
    return 100 * float(np.mean(found))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lightfields", type=Path, nargs="*", help="real ones, read as they are or by their toml")
    parser.add_argument("--data", type=Path, default=Path("data"), help="rendered ones, with truth")
    options = parser.parse_args()
    rendered(options.data)
    if options.lightfields:
        real(options.lightfields)


if __name__ == "__main__":
    main()

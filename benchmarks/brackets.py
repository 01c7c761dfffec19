"""Focus brackets fused by refocal and by enfuse (Debian's package): five slices of a light field, and its middle view.

    python benchmarks/brackets.py                   # light fields of the sample
    python benchmarks/brackets.py LIGHTFIELD …      # one's own, files or folders

First the memory that fusing takes beside the slices. Then PSNR (dB) and SSIM of the all-in-focus photos, and the
seconds that they take: refocal's from pixels in memory, enfuse's from PNG files of the same 8 bits. Without enfuse,
refocal alone.
"""

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refocal import LightField, focal_stack, fuse_bracket
from refocal.depth.from_views.plane_sweep import find_range
from refocal.evaluation.metrics import psnr, ssim
from refocal.images.image import read_image, write_image

FOCUS = (1.0, 0.5, 0.0, -0.5, -1.0)
ENFUSE = ["--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1", "--hard-mask"]
ENFUSE += ["--gray-projector=l-star"]


def bracket_of(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return five slices, from near to far, and the middle view."""
    field = LightField.open(path).odd()
    focus_range = find_range(field.views, mask=field.mask)
    stack = focal_stack(field.views, [float(focus_range.slope(focus)) for focus in FOCUS], mask=field.mask)
    return [eight_bit(one) for one in stack], eight_bit(field.centre)


def eight_bit(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return float or integer pixels as 8 bit."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels)
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    return np.rint(np.clip(pixels / top, 0, 1) * 255).astype(np.uint8)


def fused_by_enfuse(slices: list[NDArray[np.uint8]], folder: Path) -> tuple[NDArray[np.uint8], float]:
    """Return what enfuse makes, and its seconds."""
    files = [folder / f"{number}.png" for number in range(len(slices))]
    for file, pixels in zip(files, slices, strict=True):
        write_image(file, pixels)
    start = time.perf_counter()
    subprocess.run(["enfuse", *ENFUSE, "-o", folder / "fused.png", *files], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return np.asarray(read_image(folder / "fused.png").pixels)[..., :3], seconds


def bytes_a_pixel(height: int = 2000, width: int = 3000) -> float:
    """Return how much the memory of this process grows at most while slices are fused; called before anything large."""
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(0, 300, (height, width, 3)).astype(np.float32), (1, 1, 0))
    slices = [eight_bit((gaussian_filter(noise, (blur, blur, 0)) + 128).clip(0, 255) / 255) for blur in range(4)]
    moved = [np.roll(one, number, axis=1) for number, one in enumerate(slices)]  # so that they are registered too
    fuse_bracket([one[:64, :64] for one in moved])  # compiles
    del noise, slices
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    fuse_bracket(moved)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / (height * width)


def row(name: str, values: NDArray[np.float64]) -> str:
    """Return a row of the table."""
    cells = [f"{psnr:6.2f} dB, {ssim:.3f}, {seconds:5.1f} s" for psnr, ssim, seconds in values.reshape(-1, 3)]
    return f"| {name:24} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lightfields", type=Path, nargs="*")
    paths = parser.parse_args().lightfields or sorted(path for path in Path("data").iterdir() if path.is_dir())
    peer = shutil.which("enfuse") is not None
    print(f"fusing takes {bytes_a_pixel():.0f} bytes a pixel beside the slices\n")
    found = []
    print("| light field | refocal |" + (" enfuse |" if peer else ""))
    for path in paths:
        slices, truth = bracket_of(path)
        start = time.perf_counter()
        made = eight_bit(fuse_bracket(slices).photo)
        values = [psnr(made, truth), ssim(made, truth), time.perf_counter() - start]
        if peer:
            with tempfile.TemporaryDirectory() as folder:
                made, seconds = fused_by_enfuse(slices, Path(folder))
            values += [psnr(made, truth), ssim(made, truth), seconds]
        found.append(values)
        print(row(path.name, np.array(values)), flush=True)
    print(row("mean", np.mean(found, axis=0)))


if __name__ == "__main__":
    main()

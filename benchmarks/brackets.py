"""Focus brackets fused by refocal and by enfuse (Debian's package): five slices of a light field, and its middle view.

    python benchmarks/brackets.py                   # light fields of the sample
    python benchmarks/brackets.py LIGHTFIELD …      # one's own, files or folders
    python benchmarks/brackets.py --large 20        # and so many slices of 12 megapixels: seconds and memory

First the memory that fusing takes beside the slices. Then PSNR (dB) and SSIM of the all-in-focus photos, and the
seconds that they take: refocal's from pixels in memory, registered and not, enfuse's from PNG files of the same 8 bits,
which it takes as they lie, and with hugin's align_image_stack before it, which registers them. Without these programs,
refocal alone.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

from refocal import LightField, focal_stack, fuse_bracket
from refocal.depth.from_views.plane_sweep import find_range
from refocal.evaluation.metrics import psnr, ssim
from refocal.images.image import read_image, write_image

FOCUS = (1.0, 0.5, 0.0, -0.5, -1.0)
ENFUSE = ["--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1", "--hard-mask"]
REFOCAL = [sys.executable, "-c", "from refocal.cli import main; main()"]
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


def seconds_of_aligning(slices: list[NDArray[np.uint8]], folder: Path) -> float:
    """Return the seconds of align_image_stack, which finds scale (-m), shift and rotation as refocal does."""
    files = [folder / f"{number}.png" for number in range(len(slices))]
    return seconds_of(["align_image_stack", "-m", "-a", str(folder / "aligned"), *map(str, files)])[0]


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes, and the GiB at most; it says nothing."""
    start = time.perf_counter()
    code = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], capture_output=True).returncode; "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r)"
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stdout) / 2**20


def compare_large(count: int, size: tuple[int, int] = (3000, 4000)) -> None:
    """Print the seconds and the memory of a bracket of files, focused from left to right."""
    photo = np.rint(resize(data.astronaut(), size) * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number:02d}.png" for number in range(count)]
        strip = size[1] // 16
        for number, file in enumerate(files):
            made = np.empty_like(photo)
            for left in range(0, size[1], strip):
                blur = 6 * abs(2 * left / size[1] - 2 * number / (count - 1)) + 0.01
                first, last = max(0, left - 40), left + strip + 40
                made[:, left : left + strip] = gaussian_filter(photo[:, first:last], (blur, blur, 0))[
                    :, left - first : left - first + strip
                ]
            write_image(Path(file), made)
        out = f"{folder}/fused.png"
        ours = [*REFOCAL, "bracket", *files, "-o", out, "--focus", "0", "--aperture", "0"]
        commands = {"refocal": ours, "refocal, --no-register": [*ours, "--no-register"]}
        if shutil.which("enfuse"):
            commands["enfuse, not registered"] = ["enfuse", *ENFUSE, "-o", out, *files]
        print(f"\n{count} slices of {size[1]} x {size[0]}, files to file\n| | seconds | GiB |")
        for name, command in commands.items():
            Path(out).unlink(missing_ok=True)
            seconds, memory = seconds_of(command)
            print(f"| {name} | {seconds:.1f} | {memory:.2f} |", flush=True)


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


def row(name: str, values: NDArray[np.float64], *, peer: bool) -> str:
    """Return a row of the table."""
    ours = "{:6.2f} dB, {:.3f} | {:5.2f} s | {:5.2f} s".format(*values[:4])
    theirs = " | {:6.2f} dB, {:.3f} | {:5.2f} s | {:5.2f} s".format(*values[4:]) if peer else ""
    return f"| {name:24} | {ours}{theirs} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lightfields", type=Path, nargs="*")
    parser.add_argument("--large", type=int, default=0, metavar="SLICES", help="a bracket of 12 megapixels too")
    options = parser.parse_args()
    paths = options.lightfields or sorted(path for path in Path("data").iterdir() if path.is_dir())
    peer, aligns = (shutil.which(name) is not None for name in ("enfuse", "align_image_stack"))
    print(f"fusing takes {bytes_a_pixel():.0f} bytes a pixel beside the slices\n")
    found = []
    print(
        "| light field | refocal | registering | not |" + (" enfuse | with align_image_stack | alone |" if peer else "")
    )
    for path in paths:
        slices, truth = bracket_of(path)
        taken = []
        for register in (False, True):
            start = time.perf_counter()
            made = eight_bit(fuse_bracket(slices, register=register).photo)
            taken.append(time.perf_counter() - start)
        values = [psnr(made, truth), ssim(made, truth), taken[1], taken[0]]
        if peer:
            with tempfile.TemporaryDirectory() as folder:
                made, seconds = fused_by_enfuse(slices, Path(folder))
                aligning = seconds_of_aligning(slices, Path(folder)) if aligns else float("nan")
            values += [psnr(made, truth), ssim(made, truth), seconds + aligning, seconds]
        found.append(values)
        print(row(path.name, np.array(values), peer=peer), flush=True)
    print(row("mean", np.mean(found, axis=0), peer=peer))
    if options.large:
        compare_large(options.large)


if __name__ == "__main__":
    main()

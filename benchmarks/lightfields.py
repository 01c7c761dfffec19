"""Reading lenslet mosaics (ESLF, 120 MB decoded), beside other decoders, and what the stage `stack` does on top of it.

    python benchmarks/lightfields.py                # a mosaic rendered from the sample's scenes
    python benchmarks/lightfields.py --eslf FILE    # one's own

All decoders have their turn in each round, from memory, one thread each; medians. Then so many copies of the file, as a
folder, are decoded by all cores, and prepared by the stage: the share of the time that decoding takes.
"""

import argparse
import importlib.util
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.images.decoding import decode
from refocal.images.image import read_image
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe
from refocal.scenes.scene import Split
from refocal.scenes.synthetic.light_field import render_light_field
from refocal.scenes.synthetic.still_life import arrange

LENS, SIZE = 14, (376, 541)  # views a side, and their size, in a Lytro Illum's ESLF
NOISE = 1.5  # of 255, of the sensor: what makes PNG files of photographs large
RECIPE = Recipe(levels=(-1.0, -0.5, 0.0, 0.5, 1.0))


def rendered() -> bytes:
    """Return a PNG file as large as a camera's: a still life, in noise."""
    arrangement = arrange("astronaut", np.random.default_rng(0), grid=(LENS, LENS), size=SIZE)
    views, _ = render_light_field(arrangement)
    mosaic = views[::-1, ::-1].transpose(2, 0, 3, 1, 4).reshape(SIZE[0] * LENS, SIZE[1] * LENS, 3)
    noise = np.random.default_rng(1).normal(0, NOISE, mosaic.shape).astype(np.float32)
    noisy = np.clip(np.rint(mosaic + noise), 0, 255).astype(np.uint8)
    return bytes(imagecodecs.png_encode(noisy, level=4))


def decoders() -> dict[str, Callable[[bytes], NDArray[np.uint8]]]:
    """Return what is there."""
    found: dict[str, Callable[[bytes], NDArray[np.uint8]]] = {
        "refocal": lambda data: decode(data, "mosaic.png", 1 << 29)[0],
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data))),
        "imagecodecs, libpng": imagecodecs.png_decode,
        "imagecodecs, libspng": imagecodecs.spng_decode,
        "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB),
    }
    if importlib.util.find_spec("pyspng"):
        import pyspng

        found["pyspng"] = pyspng.load
    return found


def compare_decoders(data: bytes, rounds: int) -> None:
    """Print a row for each decoder."""
    methods = decoders()
    taken: dict[str, list[float]] = {name: [] for name in methods}
    wanted = imagecodecs.png_decode(data)
    for turn in range(rounds + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            pixels = method(data)
            taken[name].append(time.perf_counter() - start)
            if turn == 0 and not np.array_equal(pixels, wanted):
                raise SystemExit(f"{name} decodes something else")
    seconds = {name: statistics.median(found[1:]) for name, found in taken.items()}
    print(f"{len(data) / 1e6:.0f} MB of PNG, {wanted.nbytes / 1e6:.0f} MB decoded")
    for name, took in sorted(seconds.items(), key=lambda item: item[1]):
        print(f"| {name:22} | {took:6.2f} s | {took / seconds['refocal']:5.2f} x |")


def compare_stage(data: bytes, copies: int) -> None:
    """Print how long so many files take to be decoded by all cores, and to be prepared by the stage."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = []
        for number in range(copies):
            here = root / "data" / f"scene{number}"
            here.mkdir(parents=True)
            files.append(here / "views.png")
            files[-1].write_bytes(data + bytes(number))  # what stands behind the end of a PNG file is not read
            (here / "lightfield.toml").write_text(f'lightfield = "views.png"\ngrid = {LENS}\ncrop_grid = 7\n')
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            start = time.perf_counter()
            list(pool.map(decoded_size, files))
            decoding = time.perf_counter() - start
        print(f"{copies} files, {os.cpu_count()} cores: decoding alone {decoding:.1f} s, of the stage")
        for what in ("with range and disparity by plane sweep", "with both given"):
            start = time.perf_counter()
            places = Folders(root / "data", root / "scenes", root / "side")
            prepare_scenes(places, RECIPE, all_trained, about={}, progress=silent)
            whole = time.perf_counter() - start
            print(f"| {what:40} | {whole:5.1f} s | {decoding / whole:4.0%} decoding |")
            for file in files:
                np.save(file.with_name("disparity.npy"), np.zeros(SIZE, np.float16))
                with file.with_name("lightfield.toml").open("a") as more:
                    more.write('disparity = "disparity.npy"\nslope_range = [-1.0, 1.0]\n')


def all_trained(groups: Mapping[str, str]) -> dict[str, Split]:
    """Keep no scene for validation or test."""
    return dict.fromkeys(groups, "train")


def silent(_done: int, _count: int, _name: str) -> None:
    """Show nothing."""


def decoded_size(file: Path) -> int:
    """Decode a file, as the stage does."""
    return read_image(file, max_pixels=1 << 29).pixels.size


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--eslf", type=Path, help="a lenslet mosaic, PNG")
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = options.eslf.read_bytes() if options.eslf else rendered()
    compare_decoders(data, options.rounds)
    compare_stage(data, options.copies)


if __name__ == "__main__":
    main()

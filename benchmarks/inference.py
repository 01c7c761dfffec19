"""What a photo costs by what runs the model, in one run: analyse (once a photo) and render (for each move of a slider).

    python benchmarks/inference.py [--model models/pretrained/refocal.onnx] [--photos FOLDER] [--data FOLDER]

The halves of the exported model as `Refocuser` runs them are the row that the others are compared with: onnxruntime
given the whole picture, 8-bit integers (static, calibrated on the photos of --photos, else of scikit-image), the
trained networks in torch as they are and compiled (where generator.pt lies beside the model and a compiler is there),
OpenVINO and onnxruntime's GPU providers where they are installed. 12 megapixels are rendered in tiles of 1024 px by
the others, one after the other and without what overlaps. All have their turn in each round; medians. What integers
lose is judged on the light fields of --data. Last, whole photos through `Refocuser`.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from skimage import data
from skimage.transform import resize

from integers import print_losses, with_integers
from refocal import Refocuser
from refocal.images.image import read_image, reduced
from refocal.inference.session import open_session, part_of
from refocal.learning.export.export import load_generator
from refocal.learning.export.wrappers import parts_of

Array = NDArray[np.float32]
Array = NDArray[np.float32]
Feed = Mapping[str, Array]
Run = Callable[[Feed], Array]
APERTURE, FOCUS = 16.0, 0.3  # px
ANALYSED, TILE = 256, 1024  # px a side
LARGE = (3 * TILE, 4 * TILE)  # 12.6 megapixels


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/refocal.onnx"))
    parser.add_argument("--photos", type=Path, help="folder of photos: what integers are calibrated on")
    parser.add_argument("--data", type=Path, default=Path("data"), help="light fields: what integers are judged on")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    model, threads = options.model, len(os.sched_getaffinity(0))
    print(f"{platform.processor() or platform.machine()}, {threads} cores, onnxruntime {onnxruntime.__version__}, "
          f"torch {torch.__version__}")  # fmt: skip
    if not torch.cuda.is_available():
        print("GPU providers: not measured, no GPU here")
    photos, refocuser = photographs(options.photos), Refocuser(options.model, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        integers = with_integers(model, photos, Path(folder))
        ways = runners(model, "analyse", threads)
        ways["onnxruntime, 8-bit integers"] = by_onnx(part_of(integers, "analyse"), threads)
        feed = {"photo": resized(photos[0], (ANALYSED, ANALYSED)).transpose(2, 0, 1)[None]}
        compare("analyse", ways, feed, options.rounds)
        ways = {"refocal": by_refocal(refocuser)} | runners(model, "render", threads)
        compare("render", ways, to_render(refocuser, photos[0], (512, 512)), options.rounds)
        compare("render", {name: way if name == "refocal" else tiled(way) for name, way in ways.items()},
                to_render(refocuser, photos[0], LARGE), 2)  # fmt: skip
        whole_photos(refocuser, photos[0])
        print_losses({"float32": model, "8-bit integers": integers}, options.data)


def photographs(folder: Path | None) -> list[Array]:
    """Return photos, square, float32 in [0, 1]."""
    if folder is None:
        pictures = [getattr(data, name)() for name in ("coffee", "astronaut", "chelsea", "rocket")]
    else:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".png"})
        pictures = [read_image(file).pixels for file in files[:: max(1, len(files) // 24)]]
    squares = []
    for picture in pictures:
        small = reduced(picture, 256)
        squares.append(np.ascontiguousarray(small[:256, (small.shape[1] - 256) // 2 :][:, :256]))
    return [square for square in squares if square.shape == (256, 256, 3)]


def resized(photo: Array, shape: tuple[int, int]) -> Array:
    """Return a photo at another size."""
    return np.ascontiguousarray(resize(photo, shape), np.float32)


def to_render(refocuser: Refocuser, photo: Array, shape: tuple[int, int]) -> Feed:
    """Return what the half that renders is given."""
    large = resized(photo, shape)
    told = {"focus": np.float32([FOCUS]), "aperture": np.float32([APERTURE])}
    return {"photo": large.transpose(2, 0, 1)[None], "disparity": refocuser.analyse(large)[None, None], **told}


def runners(model: Path, part: str, threads: int) -> dict[str, Run]:
    """Return what can run a half here."""
    path = part_of(model, part)
    found = {"onnxruntime": by_onnx(path, threads)}
    if importlib.util.find_spec("openvino"):
        found["OpenVINO"] = by_openvino(path, threads)
    if (weights := model.with_name("generator.pt")).is_file():
        half = parts_of(load_generator(weights)[0])[part].reference
        found["torch, as it is"] = by_torch(half)
        found["torch.compile"] = by_torch(torch.compile(half))
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        if provider in onnxruntime.get_available_providers() and torch.cuda.is_available():
            found[provider] = by_onnx(path, threads, provider)
    return found


def by_refocal(refocuser: Refocuser) -> Run:
    """Return refocal's way: tiles side by side."""

    def run(feed: Feed) -> Array:
        photo = np.ascontiguousarray(feed["photo"][0].transpose(1, 2, 0))
        made: Array = refocuser.render(photo, feed["disparity"][0, 0], float(feed["focus"][0]), APERTURE)
        return made

    return run


def tiled(run: Run) -> Run:
    """Return a way to render large photos by a way to render tiles."""

    def whole(feed: Feed) -> Array:
        made = np.empty_like(feed["photo"])
        for top, left in product(*(range(0, length, TILE) for length in made.shape[2:])):
            place = (..., slice(top, top + TILE), slice(left, left + TILE))
            tiles = {name: np.ascontiguousarray(feed[name][place]) for name in ("photo", "disparity")}
            made[place] = run({**feed, **tiles})
        return made

    return whole


def by_onnx(path: Path, threads: int, provider: str = "CPUExecutionProvider") -> Run:
    """Return onnxruntime's way."""
    session = open_session(path, threads=threads, providers=[provider], require_gpu=False)
    return lambda feed: session.run(None, dict(feed))[0]


def by_openvino(path: Path, threads: int) -> Run:
    """Return OpenVINO's way, in float32 as the others."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda feed: next(iter(compiled(dict(feed)).values()))


def by_torch(half: Any) -> Run:
    """Return torch's way."""

    def run(feed: Feed) -> Array:
        with torch.inference_mode():
            made: Array = half(*(torch.from_numpy(value) for value in feed.values())).numpy()
            return made

    return run


def compare(part: str, methods: dict[str, Run], feed: Feed, rounds: int) -> None:
    """Print a row for each way; those that do not run here say why."""
    height, width = feed["photo"].shape[2:]
    print(f"\n| {part}, {height} x {width} | ms | times the first |\n|---|---|---|")
    taken: dict[str, list[float]] = {name: [] for name in methods}
    failed: dict[str, str] = {}
    for turn in range(rounds + 1):
        for name, method in methods.items():
            if name not in failed:
                start = time.perf_counter()
                try:
                    method(feed)
                except Exception as error:  # noqa: BLE001  compilers fail in many ways
                    failed[name] = " ".join(str(error).split())[:80]
                if turn:
                    taken[name].append((time.perf_counter() - start) * 1e3)
    own = float(np.median(next(iter(taken.values()))))
    for name, times in taken.items():
        took = float(np.median(times)) if name not in failed else 0.0
        print(f"| {name} | {took:.0f} | {took / own:.2f} |" if took else f"| {name} | does not run: {failed[name]} | |")


def whole_photos(refocuser: Refocuser, photo: Array) -> None:
    """Print the seconds of photos through `Refocuser`."""
    print("\n| Refocuser, 8 bit | analyse, s | render, s | frames/s |\n|---|---|---|---|")
    for height, width in ((512, 512), (768, 1024), (3000, 4000)):
        pixels = np.rint(resize(photo, (height, width)) * 255).astype(np.uint8)
        taken: dict[str, list[float]] = {"analyse": [], "render": []}
        for _ in range(4 if width < 2000 else 2):
            start = time.perf_counter()
            disparity = refocuser.analyse(pixels)
            taken["analyse"].append(time.perf_counter() - start)
            start = time.perf_counter()
            refocuser.render(pixels, disparity, 0.3, APERTURE)
            taken["render"].append(time.perf_counter() - start)
        analyse, render = (float(np.median(times[1:])) for times in taken.values())
        print(f"| {height} x {width} | {analyse:.2f} | {render:.2f} | {1 / render:.1f} |")


if __name__ == "__main__":
    main()

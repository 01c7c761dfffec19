"""What a photo costs by what runs the model, in one run: analyse (once a photo) and render (for each move of a slider).

    python benchmarks/inference.py [--model models/pretrained/refocal.onnx] [--side 512] [--photos FOLDER]

The halves of the exported model through onnxruntime, as `Refocuser` runs them, are the row that the others are compared
with: 8-bit integers (static, calibrated on the photos of --photos, else of scikit-image), torch as it is and compiled
(where generator.pt lies beside the model and a compiler is there), OpenVINO and onnxruntime's GPU providers where they
are installed. All have their turn in each round; medians. What integers change is told as well: PSNR and SSIM of the
disparity and of pictures rendered from it, against those of float32. Last, whole photos through `Refocuser`.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from skimage import data
from skimage.metrics import structural_similarity
from skimage.transform import resize

from refocal import Refocuser
from refocal.learning.exporting import load_generator
from refocal.learning.served import parts_of
from refocal.photo.images import read_image, reduced
from refocal.photo.session import open_session, part_of

Array = NDArray[np.float32]
Feed = Mapping[str, Array]
Run = Callable[[Feed], Array]
APERTURE = 16.0  # px


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/refocal.onnx"))
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--photos", type=Path, help="folder of photos: what integers are calibrated on and compared by")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    print(f"{platform.processor() or platform.machine()}, {threads} cores, onnxruntime {onnxruntime.__version__}, "
          f"torch {torch.__version__}")  # fmt: skip
    photos = photographs(options.photos)
    with tempfile.TemporaryDirectory() as folder:
        for part in ("analyse", "render"):
            side = 256 if part == "analyse" else options.side  # the side that photos are looked at
            compare(part, runners(options.model, part, threads, photos, Path(folder)), feeds(photos[0], side, part),
                    options.rounds)  # fmt: skip
        quality(options.model, Path(folder) / "analyse.int8.onnx", photos)
    whole_photos(Refocuser(options.model, threads=threads), photos[0])


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


def feeds(photo: Array, side: int, part: str) -> Feed:
    """Return what a half is given."""
    large = resize(photo, (side, side)).astype(np.float32).transpose(2, 0, 1)[None]
    if part == "analyse":
        return {"photo": large}
    disparity = np.linspace(-1, 1, side * side, dtype=np.float32).reshape(1, 1, side, side)
    return {"photo": large, "disparity": disparity, "focus": np.float32([0.3]), "aperture": np.float32([APERTURE])}


def runners(model: Path, part: str, threads: int, photos: list[Array], folder: Path) -> dict[str, Run]:
    """Return what can run a half here."""
    path = part_of(model, part)
    found = {"onnxruntime, float32: what refocal runs": by_onnx(path, threads, ["CPUExecutionProvider"])}
    if part == "analyse":
        found["onnxruntime, int8"] = by_onnx(quantised(path, photos, folder), threads, ["CPUExecutionProvider"])
    if importlib.util.find_spec("openvino"):
        found["OpenVINO"] = by_openvino(path, threads)
    if (weights := model.with_name("generator.pt")).is_file():
        half = parts_of(load_generator(weights)[0])[part].module
        found["torch, as it is"] = by_torch(half)
        found["torch.compile"] = by_torch(torch.compile(half))
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        if provider in onnxruntime.get_available_providers() and torch.cuda.is_available():
            found[provider] = by_onnx(path, threads, [provider])
    if not torch.cuda.is_available():
        print(f"{part}: GPU providers not measured, no GPU here")
    return found


def by_onnx(path: Path, threads: int, providers: list[str]) -> Run:
    """Return onnxruntime's way."""
    session = open_session(path, threads=threads, providers=providers, require_gpu=False)
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


class Calibration(CalibrationDataReader):
    """Photos, one after the other."""

    def __init__(self, photos: list[Array]) -> None:
        self.left = iter([{"photo": photo.transpose(2, 0, 1)[None]} for photo in photos])

    def get_next(self) -> Any:
        """Return the next one."""
        return next(self.left, None)


def quantised(path: Path, photos: list[Array], folder: Path) -> Path:
    """Write a half whose convolutions work with 8-bit integers, a scale a channel."""
    ready, out = folder / "ready.onnx", folder / "analyse.int8.onnx"
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    quantize_static(str(ready), str(out), Calibration(photos), per_channel=True, op_types_to_quantize=["Conv"], **kinds)
    return out


def compare(part: str, methods: dict[str, Run], feed: Feed, rounds: int) -> None:
    """Print a row for each way; those that do not run here say why."""
    height, width = feed["photo"].shape[2:]
    print(f"\n| {part}, {height} x {width} | ms | times what refocal runs |\n|---|---|---|")
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


def quality(model: Path, integers: Path, photos: list[Array]) -> None:
    """Print what 8-bit integers change: of the disparity, and of what is rendered from it."""
    exact, coarse = (by_onnx(path, 0, ["CPUExecutionProvider"]) for path in (part_of(model, "analyse"), integers))
    render = by_onnx(part_of(model, "render"), 0, ["CPUExecutionProvider"])
    off, psnr, ssim = [], [], []
    for photo in photos:
        batch = photo.transpose(2, 0, 1)[None]
        depths = [way({"photo": batch}) for way in (exact, coarse)]
        told = {"photo": batch, "focus": np.float32([0.5]), "aperture": np.float32([8])}
        one, other = (render({**told, "disparity": depth})[0].transpose(1, 2, 0) for depth in depths)
        off.append(float(np.abs(depths[0] - depths[1]).mean()))
        psnr.append(-10 * np.log10(max(float(np.mean((one - other) ** 2)), 1e-12)))
        ssim.append(float(structural_similarity(one, other, channel_axis=2, data_range=1)))
    print(f"\nint8 against float32, {len(photos)} photos: depth off by {np.mean(off):.3f}, pictures of 8 px "
          f"{np.mean(psnr):.1f} dB, SSIM {np.mean(ssim):.4f}")  # fmt: skip


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

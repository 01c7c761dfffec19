"""Crops a second that are averaged on the fly from views in 8 bits, beside the memory's rate: `make bench`.

Light fields are 7 x 7 views of 372 x 540 pixels, 37 of them in the pupil; batches are of random crops at random slopes
in [-1, 1], and together larger than a cache. "Bytes" are those that a crop cannot be made without: three a pixel of the
view, each once; as pixels lie in memory they are four, so that three quarters of the memory's rate are the most there
is. The memory's rate is that of a sum over 1 GiB of float32. On a GPU times are those of its own clock (CUDA events),
and the kernel takes turns with plain torch; on a CPU, plain torch with numba's shift-and-add of the same windows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from refocal.learning.data.views import CropRequest, LightFields, bytes_needed
from refocal.learning.training.gan import choose_device
from refocal.scenes.arrays import Views
from refocal.scenes.scene import Scene, read_scenes, write_manifest, write_scene
from refocal.shiftadd.shift_and_add import pupil_mask, shift_and_add

GRID, HEIGHT, WIDTH, MARGIN = 7, 372, 540, 4
Way = Callable[[Sequence[CropRequest]], object]


def write_fields(root: Path, count: int, *, linear: bool) -> list[Scene]:
    """Write light fields of noise as prepared scenes."""
    random = np.random.default_rng(0)
    places = tuple((int(u), int(v)) for u, v in np.argwhere(pupil_mask((GRID, GRID))))
    for number in range(count):
        views = random.integers(0, 256, (len(places), HEIGHT, WIDTH, 3), np.uint8)
        write_scene(
            root,
            f"scene{number}",
            photo=views[len(places) // 2],
            stack=views[:1],
            disparity=np.zeros((HEIGHT, WIDTH)),
            focus=(0,),
            trained=(True,),
            aperture=GRID - 1,
            slope_range=(-1, 1),
            grid=(GRID, GRID),
            views=Views(places, iter(views), linear),
        )
    write_manifest(root, {}, {f"scene{number}": "train" for number in range(count)})
    return read_scenes(root)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long the device worked."""
    if device.type != "cuda":
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def memory_rate(device: torch.device) -> float:
    """Return bytes a second of reading memory: the best of some sums over 1 GiB."""
    numbers = torch.ones(2**28, device=device)
    return 2**30 / min(seconds(numbers.sum, device) for _ in range(8))


def with_numba(scenes: Sequence[Scene]) -> Way:
    """Return shift-and-add as the stage `stack` does it, of the windows that the cuts see."""
    whole = [np.zeros((GRID, GRID, HEIGHT, WIDTH, 3), np.uint8) for _ in scenes]
    mask = np.zeros((GRID, GRID), bool)
    for views, scene in zip(whole, scenes, strict=True):
        for place, view in zip(scene.places, scene.views(), strict=True):
            views[place], mask[place] = view, True

    def make(cuts: Sequence[CropRequest]) -> list[object]:
        made: list[object] = []
        for cut in cuts:
            y, x = (slice(max(0, start - MARGIN), start + cut.side + MARGIN) for start in (cut.top, cut.left))
            window = whole[cut.field][:, :, y, x]
            made.append(shift_and_add(window, cut.slope, mask=mask, pupil="square", linear=scenes[cut.field].linear))
        return made

    return make


def with_torch(fields: LightFields, *, fused: bool) -> Way:
    """Return ours, by the kernel or without."""

    def make(cuts: Sequence[CropRequest]) -> list[torch.Tensor]:
        fields.fused = fused
        return fields.render(cuts)

    return make


def compare(scenes: Sequence[Scene], device: torch.device, given: argparse.Namespace, rate: float) -> None:
    """Print a row for each way and side of crops."""
    fields, random = LightFields(scenes, device), np.random.default_rng(1)
    ways = {"torch": with_torch(fields, fused=False)}
    if device.type == "cpu":
        ways["numba, as the stage"] = with_numba(scenes)
    elif fields.fused:
        ways = {"Triton kernel": with_torch(fields, fused=True)} | ways
    for side in given.sides:
        batches = [
            [
                CropRequest(
                    int(random.integers(len(scenes))),
                    float(random.uniform(-1, 1)),
                    int(random.integers(HEIGHT - side)),
                    int(random.integers(WIDTH - side)),
                    side,
                )
                for _ in range(given.batch)
            ]
            for _ in range(given.rounds + 1)
        ]
        needed = statistics.mean(bytes_needed(fields.fields[cut.field], cut) for cuts in batches for cut in cuts)
        took: dict[str, list[float]] = {name: [] for name in ways}
        for cuts in batches:
            for name, way in ways.items():
                took[name].append(seconds(lambda way=way, cuts=cuts: way(cuts), device))  # type: ignore[misc]
        for name, times in took.items():
            speed = given.batch / statistics.median(times[1:])  # the first compiles
            light = "linear light" if scenes[0].linear else "gamma-coded"
            read = speed * needed  # bytes a second
            print(
                f"| {name:20} | {light:12} | {side:4} | {speed:10,.0f} | {read / 1e9:9.2f} GB/s | {read / rate:8.1%} |"
            )


def main() -> None:
    """Print the memory's rate, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=16, help="crops in a batch")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="of the crops, in pixels")
    parser.add_argument("--fields", type=int, default=8, help="light fields held")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    device = choose_device(given.device)
    rate = memory_rate(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{name}: memory is read at {rate / 1e9:.1f} GB/s; batches of {given.batch}, {given.fields} light fields")
    print("| way                  | mean in      | side |    crops/s | bytes needed   | of rate  |")
    print("|---|---|---|---|---|---|")
    for linear in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            compare(write_fields(Path(folder), given.fields, linear=linear), device, given, rate)


if __name__ == "__main__":
    main()

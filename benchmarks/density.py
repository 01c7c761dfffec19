"""What the grid of views is worth to the oracle: rendered light fields of one aperture, 17 x 17 views down to 3 x 3.

    python benchmarks/density.py

PSNR (dB) over all focus levels of the released model with the true disparity, and of the oracle, which has it too and
knows which views the truth is the mean of: the fewer there are, the more its copies of their ghosts count.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from refocal.evaluation.baselines import Oracle
from refocal.evaluation.modes import GIVEN, evaluation_modes
from refocal.evaluation.scoring import score_scene
from refocal.model.refocuser import Refocuser
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe
from refocal.scenes.scene import Split, read_scenes
from refocal.scenes.synthetic.light_field import render_light_field
from refocal.scenes.synthetic.still_life import arrange
from refocal.scenes.synthetic.textures import GROUPS

DENSE, GRIDS, SIZE = 17, (17, 9, 5, 3), (240, 320)
RECIPE = Recipe(levels=(-1.0, -0.5, 0.0, 0.5, 1.0))


def write_light_fields(root: Path, count: int) -> None:
    """Write each still life with every grid: GRID_GROUP/, the outer views always the same."""
    for number, group in zip(range(count), sorted(GROUPS), strict=False):
        scene = arrange(group, np.random.default_rng(number), grid=(5, 5), size=SIZE)
        share = 4 / (DENSE - 1)  # of a view's step
        layers = tuple(replace(layer, plane=tuple(share * part for part in layer.plane)) for layer in scene.layers)
        far, near = (share * end for end in scene.haze_range)
        dense = replace(scene, layers=layers, grid=(DENSE, DENSE), haze_range=(far, near))
        views, disparity = render_light_field(dense)
        for grid in GRIDS:
            step = (DENSE - 1) // (grid - 1)
            folder = root / f"{grid:02d}_{group}"
            folder.mkdir(parents=True)
            np.save(folder / "views.npy", views[::step, ::step])
            np.save(folder / "disparity.npy", (step * disparity).astype(np.float32))
            ends = [round(float(end) * step, 4) for end in (disparity.min(), disparity.max())]
            (folder / "lightfield.toml").write_text(
                f'lightfield = "views.npy"\nnear = "positive"\ndisparity = "disparity.npy"\nslope_range = {ends}\n'
            )


def all_tested(groups: Mapping[str, str]) -> dict[str, Split]:
    """Train on none."""
    return dict.fromkeys(groups, "test")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/refocal.onnx"))
    options = parser.parse_args()
    methods = {GIVEN: evaluation_modes(Refocuser(options.model))[GIVEN], "oracle": Oracle()}
    found: dict[int, list[list[float]]] = {grid: [] for grid in GRIDS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_light_fields(root / "data", options.scenes)
        places = Folders(root / "data", root / "scenes", root / "work")
        prepare_scenes(places, RECIPE, all_tested, about={}, progress=lambda *_: None)
        for scene in read_scenes(root / "scenes"):
            levels = score_scene(scene, methods).levels
            means = [float(np.mean([level["psnr"] for level in levels[name]])) for name in methods]
            found[int(scene.name[:2])].append(means)
    print(f"mean of {options.scenes} still lifes, {SIZE[1]} x {SIZE[0]}\n| views | {GIVEN} | oracle | apart |")
    for grid, rows in found.items():
        given, oracle = np.mean(rows, axis=0)
        print(f"| {grid} x {grid} | {given:.2f} dB | {oracle:.2f} dB | {oracle - given:.2f} |")


if __name__ == "__main__":
    main()

"""Write the sample data: rendered light fields in the formats of real ones."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refocal.scenes.synthetic.still_life import arrange
from refocal.scenes.synthetic.light_field import render_light_field
from refocal.scenes.synthetic.textures import GROUPS
from refocal.images.image import write_image

SMALLEST = 48  # px a side: below it nothing of an arrangement can be made out


def write_sample(
    root: str | Path,
    *,
    scenes: int = 20,
    seed: int = 0,
    grid: int = 7,
    size: tuple[int, int] = (176, 192),
) -> list[Path]:
    """Render light fields into root/NNN_group/, each whole or not at all; the same arguments give the same bytes.

    A folder holds `views.png` (a lenslet mosaic: views interleaved, near = negative shift, as readers take it by
    default), `disparity.npy` (float16 (H, W), of the centre view, px/view, positive = nearer) and `lightfield.toml`.

    Parameters
    ----------
    root
        Folder, made if need be; must be empty or absent.
    scenes
        How many; groups of textures take turns.
    seed
        Of everything that is random.
    grid
        Views a side, odd, so that a real view stands in the middle.
    size
        (H, W) of a view, in pixels.

    Raises
    ------
    ValueError
        Numbers out of range, or a root that holds something.
    """
    if scenes < 1 or grid < 3 or grid % 2 == 0 or min(size) < SMALLEST:
        raise ValueError(
            f"scenes must be >= 1, grid odd and >= 3, size >= {SMALLEST} a side; got {scenes}, {grid}, {size}"
        )
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"root must be an empty folder or a new one, {folder} holds something")
    groups = list(GROUPS)
    digits = max(3, len(str(scenes - 1)))
    written = []
    for number in range(scenes):
        group = groups[number % len(groups)]
        path = folder / f"{number:0{digits}d}_{group}"
        arrangement = arrange(group, np.random.default_rng([seed, number]), grid=(grid, grid), size=size)
        views, disparity = render_light_field(arrangement)
        _write(path, group, views, disparity)
        written.append(path)
    return written


def _write(path: Path, group: str, views: NDArray[np.uint8], disparity: NDArray[np.float32]) -> None:
    beside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    stored = disparity.astype(np.float16)
    flipped = views[::-1, ::-1]  # near = negative shift
    U, V, H, W, _ = flipped.shape
    write_image(beside / "views.png", flipped.transpose(2, 0, 3, 1, 4).reshape(H * U, W * V, 3))
    np.save(beside / "disparity.npy", stored)
    (beside / "lightfield.toml").write_text(
        'lightfield = "views.png"  # rendered: layers and slanted planes, positive disparity = nearer once read\n'
        f"grid = {U}\n"
        f'group = "{group}"  # light fields that share photographs as textures\n'
        f"slope_range = [{float(stored.min()):.4f}, {float(stored.max()):.4f}]  # far, near; px/view\n"
        'disparity = "disparity.npy"  # of the centre view, px/view\n',
        encoding="utf-8",
    )
    beside.rename(path)

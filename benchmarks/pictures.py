"""The picture of the model card: photos that nobody owns, what the model sees in them, and where it focuses.

python benchmarks/pictures.py models/pretrained/refocal.onnx docs/refocused.jpg
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from refocal.images.colour import turbo
from refocal.model.refocuser import Refocuser

WIDTH, GAP = 360, 4
PHOTOS = {"coffee": data.coffee, "chelsea": data.chelsea, "astronaut": data.astronaut}


def main(model: Path, out: Path) -> None:
    """Draw photo, disparity, far, middle and near focus, a row a photo."""
    refocus = Refocuser(model)
    rows = []
    for take in PHOTOS.values():
        photo = take()
        disparity = refocus.analyse(photo)
        aperture = photo.shape[1] / 30
        shots = [refocus.render(photo, disparity, focus=focus, aperture=aperture) for focus in (-1, 0, 1)]
        rows.append(np.hstack([_framed(picture) for picture in (photo, turbo((disparity + 1) / 2), *shots)]))
    Image.fromarray(np.vstack(rows)).save(out, quality=80)


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = round(WIDTH * picture.shape[0] / picture.shape[1])
    small = Image.fromarray(picture).resize((WIDTH, height), Image.Resampling.LANCZOS)
    return np.pad(np.asarray(small), ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

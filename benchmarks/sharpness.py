"""How well the sharpness check tells photos from blurred copies of themselves.

    python benchmarks/sharpness.py FOLDER … [--photos 30]

Of each folder's pictures, at most so many, evenly over the sorted list. A row a folder: how many photos there are, how
many of them as they are are warned of, and how many of copies blurred by a Gaussian of 2, 3 and 4 px; then the area
under the ROC curve of the share of soft edges, over all folders. Pictures with hardly any edges are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from refocal.images.image import read_image, reduced
from refocal.images.sharpness import MUCH, SIDE, soft_share

SIGMAS = (0, 2, 3, 4)


def shares(path: Path) -> list[float]:
    """Return the share of soft edges of a photo, and of its blurred copies."""
    photo = reduced(read_image(path).pixels, SIDE)
    found = [soft_share(gaussian_filter(photo, (sigma, sigma, 0)) if sigma else photo) for sigma in SIGMAS]
    return [np.nan if share is None else share for share in found]


def area(sharp: np.ndarray, blurred: np.ndarray) -> float:
    """Return the probability that a blurred copy has more soft edges than a photo, ties counting half."""
    above = blurred[:, None] > sharp[None]
    return float((above + 0.5 * (blurred[:, None] == sharp[None])).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=30)
    arguments = parser.parse_args()
    print("| folder | photos | warned of | " + " | ".join(f"blurred by {sigma} px" for sigma in SIGMAS[1:]) + " |")
    print("|---" * (2 + len(SIGMAS)) + "|")
    rows = []
    for folder in arguments.folders:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".png", ".jpeg"})
        chosen = np.unique(np.linspace(0, len(files) - 1, min(arguments.photos, len(files))).round().astype(int))
        found = np.array([shares(files[index]) for index in chosen])
        found = found[~np.isnan(found).any(axis=1)]
        warned = (found > MUCH).mean(axis=0)
        print(f"| {folder.name} | {len(found)} | " + " | ".join(f"{share:.0%}" for share in warned) + " |", flush=True)
        rows.append(found)
    every = np.concatenate(rows)
    areas = ", ".join(f"{area(every[:, 0], every[:, k]):.4f} at {sigma} px" for k, sigma in enumerate(SIGMAS) if sigma)
    print(f"\nArea under the ROC curve: {areas}")


if __name__ == "__main__":
    main()

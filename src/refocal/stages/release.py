"""Write models/generator.pt and models/deblur.pt to models/pretrained/ in 16 bits: `make release`."""

from pathlib import Path

from refocal.learning.export.release import release
from refocal.stages import run

FOLDER = Path("models/pretrained")


def main() -> None:
    """Write the files, and say what they weigh."""
    differences = release(Path("models/generator.pt"), FOLDER) | release(Path("models/deblur.pt"), FOLDER)
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in (".pt", ".onnx"))
    for path in files:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    print(f"largest difference from torch {max(differences.values()):.1e}; now: dvc add {' '.join(map(str, files))}")


if __name__ == "__main__":
    run(main)

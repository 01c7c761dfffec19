"""Stage export: the generators -> models/refocal.onnx and its parts. `python -m refocal.stages.export`.

A generator without halves leaves two empty files: DVC wants every output of a stage to be there.
"""

from pathlib import Path

from refocal.inference.session import part_of
from refocal.learning.export.export import export
from refocal.params import read_params
from refocal.stages import run


def main() -> None:
    """Export, and say how near to torch it came out."""
    params = read_params()
    output = Path("models/refocal.onnx")
    for generator, file in (("generator.pt", output), ("deblur.pt", part_of(output, "deblur"))):
        differences = export(
            Path("models") / generator, file, opset=params.export.opset, tolerance=params.export.tolerance
        )
        sizes = ", ".join(f"{difference:.1e} at {size}" for size, difference in differences.items())
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, largest difference from torch {sizes}")
    for half in (part_of(output, part) for part in ("analyse", "render")):
        half.touch()


if __name__ == "__main__":
    run(main)

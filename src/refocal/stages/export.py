"""Stage export: models/generator.pt -> models/refocal.onnx and its halves. `python -m refocal.stages.export`.

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
    differences = export(
        Path("models/generator.pt"), output, opset=params.export.opset, tolerance=params.export.tolerance
    )
    for half in (part_of(output, part) for part in ("analyse", "render")):
        half.touch()
    sizes = ", ".join(f"{difference:.1e} at {size}" for size, difference in differences.items())
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, largest difference from torch {sizes}")


if __name__ == "__main__":
    run(main)

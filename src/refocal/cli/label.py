"""`refocal label`: photos and a depth network become RGB-D pairs to train on."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refocal.cli.depth import (
    DepthMean,
    DepthPreset,
    DepthSize,
    DepthStd,
    Inverted,
    IsDepth,
    kind_given,
    open_depth_network,
)
from refocal.cli.options import with_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refocal.depth.networks import DepthNetwork

_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"}
_STEPS = 65535  # of 16 bits; 0 stands for unknown


def label(
    sources: Annotated[list[Path], typer.Argument(metavar="PHOTOS", help="Photos, or folders of photos.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for image/ and disparity/; may exist.")],
    depth_model: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="ONNX file of a depth network, or a name for transformers.")
    ],
    depth_preset: DepthPreset = None,
    depth_size: DepthSize = None,
    depth_mean: DepthMean = None,
    depth_std: DepthStd = None,
    is_depth: IsDepth = False,
    inverted: Inverted = False,
    side: Annotated[int, typer.Option(min=64, metavar="PIXELS", help="Short side of the photos written.")] = 384,
    once: Annotated[
        bool, typer.Option("--once", help="Skip the mirror image: half the time, a little more noise.")
    ] = False,
) -> None:
    """Label photos with a depth network, as RGB-D pairs that the pipeline trains on.

    The disparity is the mean over the photo and its mirror image, written in 16 bits: larger = nearer. Photos that are
    labelled already are skipped, so that a stopped run goes on; one that cannot be read is reported and left out.

    For example:
      refocal label photos -o data/mine --depth-model depth_anything_v2.onnx
      refocal label photos -o data/mine --depth-model depth-anything/Depth-Anything-V2-Small-hf
    """
    gives = kind_given(is_depth, inverted)
    photos = dict(_named(sources))
    if not photos:
        raise ValueError(f"no photos in {', '.join(map(str, sources))}: {', '.join(sorted(_PHOTOS))} are read")
    network = open_depth_network(depth_model, depth_preset, depth_size, depth_mean, depth_std, gives)
    for part in ("image", "disparity"):
        (output / part).mkdir(parents=True, exist_ok=True)
    failed = written = 0
    for name, path in with_progress(list(photos.items()), "Labelling"):
        if (output / "disparity" / f"{name}.png").exists():
            continue
        try:
            _write(output, name, path, network, side, once=once)
            written += 1
        except ValueError as error:
            failed += 1
            typer.echo(f"left out {path}: {error}", err=True)
    if failed == len(photos):
        raise ValueError("none of the photos could be labelled")
    there = len(photos) - written - failed
    typer.echo(f"{output}: {written} pairs written, {there} were there, {failed} photos left out")


def _named(sources: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yield a unique name for each photo: its path below the source, without the suffix."""
    taken: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise ValueError(f"{source}: there is no such file or folder")
        found = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        for path in found:
            if path.suffix.lower() not in _PHOTOS or path.name.startswith("."):
                continue
            below = path.relative_to(source) if source.is_dir() else Path(path.name)
            name = "_".join(below.with_suffix("").parts)
            if name in taken:
                raise ValueError(f"{path} and {taken[name]} would both become {name}; rename one")
            taken[name] = path
            yield name, path


def _write(output: Path, name: str, path: Path, network: "DepthNetwork", side: int, *, once: bool) -> None:
    """Write one pair; the disparity last, since it marks the pair as complete."""
    import numpy as np

    from refocal.depth.networks import mirrored_mean
    from refocal.images.image import read_image, reduced, write_image

    photo = np.rint(reduced(read_image(path).pixels, side) * 255).astype(np.uint8)
    disparity = network(photo).disparity if once else mirrored_mean(network, photo)
    write_image(output / "image" / f"{name}.jpg", photo)
    write_image(output / "disparity" / f"{name}.png", _sixteen_bit(disparity))


def _sixteen_bit(disparity: "NDArray[np.float32]") -> "NDArray[Any]":
    import numpy as np

    return (1 + np.rint((disparity + 1) / 2 * (_STEPS - 1))).astype(np.uint16)

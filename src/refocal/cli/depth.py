"""The doors for depth, shared by the commands that refocus photos: a map beside the photo, or another network."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PANEL = "Depth from elsewhere (default: the model's own)"
Disparity = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_PANEL,
        help="Map of any size, larger = nearer: PNG of 8 or 16 bit, TIFF, NPY, or a phone's portrait photo.",
    ),
]
DisparityRange = Annotated[
    str | None,
    typer.Option(
        metavar="FAR,NEAR", rich_help_panel=_PANEL, help="Values of focus -1 and 1 (default: percentiles 1 and 99)."
    ),
]
IsDepth = Annotated[
    bool, typer.Option("--is-depth", rich_help_panel=_PANEL, help="The map holds distances: smaller = nearer.")
]
DepthModel = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME", rich_help_panel=_PANEL, help="ONNX file of a depth network, or a name for transformers."
    ),
]
DepthPreset = Annotated[
    Literal["depth-anything-v2", "midas", "midas-release", "dpt"],
    typer.Option(rich_help_panel=_PANEL, help="What the ONNX file takes and gives."),
]


def told_disparity(
    pixels: "NDArray[Any]", disparity: Path | None, ends: str | None, is_depth: bool, network: str | None, preset: str
) -> "NDArray[np.float32] | None":
    """Return the disparity of a photo in focus units, (H, W), as the options tell it; None: the model shall find it.

    Raises
    ------
    ValueError
        One line: options that exclude each other, or what is wrong with the file.
    """
    if disparity is not None and network is not None:
        raise ValueError("--disparity and --depth-model exclude each other")
    if disparity is None and (ends is not None or is_depth):
        raise ValueError("--disparity-range and --is-depth say how to read --disparity, which is missing")
    if network is not None:
        from refocal.photo.depth_model import DepthModel as Network
        from refocal.photo.depth_model import transformers_depth

        if network.lower().endswith(".onnx") or Path(network).is_file():
            return Network(network, preset)(pixels).disparity
        return transformers_depth(pixels, network).disparity
    if disparity is None:
        return None
    from refocal.photo.depth_files import read_disparity
    from refocal.photo.disparity import enlarge, to_focus

    kind = "depth" if is_depth else "disparity"
    return enlarge(to_focus(read_disparity(disparity), _two(ends), kind), pixels)


def portrait_disparity(source: Path, pixels: "NDArray[Any]") -> "NDArray[np.float32] | None":
    """Return the disparity inside a portrait photo, (H, W) in focus units; None without, or with a damaged one."""
    from refocal.photo.depth_files import depth_inside
    from refocal.photo.disparity import enlarge, to_focus

    try:
        found = depth_inside(source)
        return None if found is None else enlarge(to_focus(found), pixels)
    except ValueError as error:
        warnings.warn(f"{error}; the model's own is taken instead", stacklevel=1)
        return None


def _two(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        far, near = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"--disparity-range must be FAR,NEAR, as 0.1,2.5, got {text}") from None
    return far, near

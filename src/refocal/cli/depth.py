"""Options for a known depth, shared by the commands that refocus photos: a map beside the photo, or a depth network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refocal.depth.disparity import Kind
    from refocal.depth.networks import DepthNetwork

_PANEL = "Depth from elsewhere (default: the model's own)"
_PRESET = "depth-anything-v2"  # where none is named
Disparity = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_PANEL,
        help="Map of any size, larger = nearer: grey PNG, TIFF, NPY, NPZ, PFM, or a phone's portrait photo.",
    ),
]
DisparityRange = Annotated[
    str | None,
    typer.Option(
        metavar="FAR,NEAR", rich_help_panel=_PANEL, help="Values of focus -1 and 1 (default: percentiles 1 and 99)."
    ),
]
Inverted = Annotated[
    bool,
    typer.Option(
        "--inverted",
        rich_help_panel=_PANEL,
        help="In the map, or what --depth-model gives, larger = farther, but it holds no distances.",
    ),
]
IsDepth = Annotated[
    bool,
    typer.Option(
        "--is-depth",
        rich_help_panel=_PANEL,
        help="The map, or what --depth-model gives, holds distances: smaller = nearer.",
    ),
]
DepthModel = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME", rich_help_panel=_PANEL, help="ONNX file of a depth network, or a name for transformers."
    ),
]
DepthPreset = Annotated[
    Literal["depth-anything-v2", "midas", "midas-release", "dpt"] | None,
    typer.Option(rich_help_panel=_PANEL, help=f"What the ONNX file takes and gives (default: {_PRESET})."),
]
DepthSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        rich_help_panel=_PANEL,
        help="Side of what the ONNX file sees, the one that the preset means; not if the file fixes it.",
    ),
]
DepthMean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B", rich_help_panel=_PANEL, help="The ONNX file sees (colour - mean) / std, colours in [0, 1]."
    ),
]
DepthStd = Annotated[
    str | None, typer.Option(metavar="R,G,B", rich_help_panel=_PANEL, help="The same, instead of the preset's.")
]


def given_disparity(
    pixels: "NDArray[Any]",
    disparity: Path | None,
    ends: str | None,
    is_depth: bool,
    inverted: bool,
    network: str | None,
    preset: str | None = None,
    size: int | None = None,
    mean: str | None = None,
    std: str | None = None,
    *,
    orientation: int = 1,
) -> "NDArray[np.float32] | None":
    """Return the disparity of a photo in focus units, (H, W), according to the options; None: the model finds it.

    Raises
    ------
    ValueError
        One line: options that exclude each other, or what is wrong with the file.

    Warns
    -----
    UserWarning
        For a map of clearly another shape than the photo.
    """
    if disparity is not None and network is not None:
        raise ValueError("--disparity and --depth-model exclude each other")
    if disparity is None and ends is not None:
        raise ValueError("--disparity-range says how to read --disparity, which is missing")
    gives = kind_given(is_depth, inverted)
    if disparity is None and network is None and (is_depth or inverted):
        option = "--is-depth" if is_depth else "--inverted"
        raise ValueError(f"{option} says what --disparity or --depth-model holds, and neither is named")
    if network is not None:
        return open_depth_network(network, preset, size, mean, std, gives)(pixels).disparity
    given = _onnx_options(preset, size, mean, std)
    if given:
        raise ValueError(f"{given}: for the ONNX file that --depth-model names, which is missing")
    return None if disparity is None else _read(disparity, pixels, ends, gives or "disparity", orientation)


def kind_given(is_depth: bool, inverted: bool) -> "Kind | None":
    """Return what --is-depth or --inverted says of a map; None where neither is set."""
    if is_depth and inverted:
        raise ValueError("--is-depth and --inverted exclude each other")
    return "depth" if is_depth else "inverted" if inverted else None


def open_depth_network(
    model: str, preset: str | None, size: int | None, mean: str | None, std: str | None, gives: str | None
) -> "DepthNetwork":
    """Open what --depth-model names, with the options for ONNX files."""
    from refocal.depth.networks import open_network

    return open_network(**network_options(model, preset, size, mean, std, gives))


def network_options(
    model: str, preset: str | None, size: int | None, mean: str | None, std: str | None, gives: str | None
) -> dict[str, Any]:
    """Return the arguments of `open_network` for what --depth-model names, with the options for ONNX files."""
    from refocal.depth.networks import is_file

    try:
        found = is_file(model)
    except ValueError:
        raise ValueError(f"--depth-model {model}: no such file") from None
    given = _onnx_options(preset, size, mean, std)
    if not found and given:
        raise ValueError(f"{given}: for ONNX files, and --depth-model {model} is none")
    middle, spread = _numbers(mean, "--depth-mean"), _numbers(std, "--depth-std")
    preset = preset if found else None
    return {"model": model, "preset": preset, "size": size, "mean": middle, "std": spread, "gives": gives}


def _onnx_options(preset: str | None, size: int | None, mean: str | None, std: str | None) -> str:
    """Return the names of the options for ONNX files that are set; the default preset counts as not set."""
    named = preset if preset != _PRESET else None
    given = {"--depth-preset": named, "--depth-size": size, "--depth-mean": mean, "--depth-std": std}
    return ", ".join(option for option, value in given.items() if value is not None)


def _read(path: Path, pixels: "NDArray[Any]", ends: str | None, kind: str, orientation: int) -> "NDArray[np.float32]":
    from refocal.depth.disparity import to_focus, warn_if_no_distance
    from refocal.depth.files import laid_over, read_disparity
    from refocal.depth.upsampling import enlarge

    height, width = pixels.shape[:2]
    found = laid_over(read_disparity(path), (height, width), orientation, str(path))
    far_near = _numbers(ends, "--disparity-range")
    if kind == "depth" and far_near is None:
        warn_if_no_distance(found, str(path))
    try:
        focus = to_focus(found, far_near, kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return enlarge(focus, pixels)


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Read numbers with commas between: two of a range, three of a colour."""
    if text is None:
        return None
    wanted, like = (2, "FAR,NEAR, as 0.1,2.5") if option == "--disparity-range" else (3, "R,G,B, as 0.5,0.5,0.5")
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != wanted:
        raise ValueError(f"{option} must be {like}, got {text}")
    return numbers

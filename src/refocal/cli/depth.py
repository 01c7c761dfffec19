"""Options for a known depth, shared by the commands that refocus photos: a map beside the photo, or a depth network."""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PANEL = "Depth from elsewhere (default: the model's own)"
_PRESET = "depth-anything-v2"  # where none is named
_WEIGHTS = {".onnx", ".pth", ".pt", ".bin", ".safetensors"}
_ASPECT = 1.12  # sides may be rounded, to 14 or 32 px, but 4:3 on 3:2 is another picture, or a part of it
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
    network: str | None,
    preset: str | None = None,
    size: int | None = None,
    mean: str | None = None,
    std: str | None = None,
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
    if disparity is None and network is None and is_depth:
        raise ValueError("--is-depth says what --disparity or --depth-model holds, and neither is named")
    named = preset if preset != _PRESET else None
    given = {"--depth-preset": named, "--depth-size": size, "--depth-mean": mean, "--depth-std": std}
    of_onnx = ", ".join(option for option, value in given.items() if value is not None)
    if network is None and of_onnx:
        raise ValueError(f"{of_onnx}: for the ONNX file that --depth-model names, which is missing")
    gives = "depth" if is_depth else None
    if network is None:
        return None if disparity is None else _read(disparity, pixels, ends, gives or "disparity")
    if _is_file(network):
        from refocal.depth.onnx_network import DepthModel as Network

        middle, spread = _numbers(mean, "--depth-mean"), _numbers(std, "--depth-std")
        return Network(network, preset, size=size, mean=middle, std=spread, gives=gives)(pixels).disparity
    if of_onnx:
        raise ValueError(f"{of_onnx}: for ONNX files, and --depth-model {network} is none")
    from refocal.depth.transformers_network import transformers_depth

    return transformers_depth(pixels, network, gives=gives).disparity


def _is_file(network: str) -> bool:
    """Tell a file from a name for transformers, which may be a folder too.

    Raises
    ------
    ValueError
        It looks like a path, and nothing is there: the hub must not be asked for it.
    """
    path = Path(network)
    if path.exists():
        return path.is_file()
    if path.suffix.lower() in _WEIGHTS or network.startswith((".", "/", "~")) or network.count("/") > 1:
        raise ValueError(f"--depth-model {network}: no such file")
    return False


def _read(path: Path, pixels: "NDArray[Any]", ends: str | None, kind: str) -> "NDArray[np.float32]":
    from refocal.depth.disparity import enlarge, to_focus
    from refocal.depth.files import read_disparity

    found, (height, width) = read_disparity(path), pixels.shape[:2]
    if abs(math.log(found.shape[1] / found.shape[0] / (width / height))) > math.log(_ASPECT):
        sizes = f"{found.shape[1]} x {found.shape[0]}, the photo {width} x {height}"
        warnings.warn(f"{path} is {sizes}: it is stretched, and may belong to another picture", stacklevel=1)
    far_near = _numbers(ends, "--disparity-range")
    try:
        focus = to_focus(found, far_near, kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return enlarge(focus, pixels)


def portrait_disparity(source: Path, pixels: "NDArray[Any]") -> "NDArray[np.float32] | None":
    """Return the disparity inside a portrait photo, (H, W) in focus units; None without, or with a damaged one."""
    from refocal.depth.disparity import enlarge, to_focus
    from refocal.depth.files import depth_inside

    try:
        found = depth_inside(source)
        return None if found is None else enlarge(to_focus(found), pixels)
    except ValueError as error:
        warnings.warn(f"{error}; the model's own is used instead", stacklevel=1)
        return None


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

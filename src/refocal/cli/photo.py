"""`refocal photo` and `refocal sweep`: refocus a photograph with an exported model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refocal.cli.depth import (
    DepthMean,
    DepthModel,
    DepthPreset,
    DepthSize,
    DepthStd,
    Disparity,
    DisparityRange,
    Inverted,
    IsDepth,
    given_disparity,
)
from refocal.cli.options import Deblur, Force, OptionalFocus, check_new, output_folder, span, with_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Source = Annotated[Path, typer.Argument(metavar="PHOTO", help="JPEG, PNG, WebP, HEIC or TIFF, 8 or 16 bit or float.")]
At = Annotated[
    str | None,
    typer.Option(metavar="X,Y", help="Focus on this point, in place of --focus: fractions of width and height."),
]
Aperture = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        help="Blur diameter, in pixels of this photo, of what lies a whole focus range away (default: as in training).",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(help="ONNX file (default: REFOCAL_MODEL, models/refocal.onnx, or the released weights)."),
]
Tile = Annotated[int, typer.Option(metavar="PIXELS", help="Larger photos are computed in tiles; smaller saves memory.")]
Threads = Annotated[int, typer.Option(help="0: one a core.")]
RequireGpu = Annotated[
    bool, typer.Option("--require-gpu", envvar="REFOCAL_REQUIRE_GPU", help="Fail rather than run on the CPU.")
]


def photo(
    source: Source,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The refocused photo; its suffix names the format.")],
    focus: OptionalFocus = None,
    at: At = None,
    aperture: Aperture = None,
    model: Model = None,
    quality: Annotated[int, typer.Option(help="1 to 100, of JPEG and WebP (100: lossless WebP).")] = 95,
    tile: Tile = 1024,
    threads: Threads = 0,
    require_gpu: RequireGpu = False,
    disparity: Disparity = None,
    disparity_range: DisparityRange = None,
    is_depth: IsDepth = False,
    inverted: Inverted = False,
    depth_model: DepthModel = None,
    depth_preset: DepthPreset = None,
    depth_size: DepthSize = None,
    depth_mean: DepthMean = None,
    depth_std: DepthStd = None,
    deblur: Deblur = "auto",
    force: Force = False,
) -> None:
    """Focus a photo elsewhere. Size, depth, transparency, EXIF and colour profile stay as they are.

    A portrait photo of a phone brings its depth along: that is taken, unless another is named. A photo that is blurred,
    as one focused on something near, is made sharp first.

    For example:
      refocal photo garden.jpg -o near.jpg --focus 1
      refocal photo garden.jpg -o far.jpg --focus -0.5 --aperture 8
      refocal photo garden.jpg -o rose.jpg --at 0.3,0.6
      refocal photo focused_near.jpg -o far.jpg --focus -1 --deblur always
      refocal photo scan.tif -o near.tif --focus 1 --model my.onnx
      refocal photo garden.jpg -o near.jpg --focus 1 --disparity garden_disparity.png
      refocal photo garden.jpg -o near.jpg --focus 1 --depth-model metric.onnx --is-depth --depth-size 392
    """
    from refocal.images.encoding import check_format
    from refocal.images.image import read_image, write_image
    from refocal.model.photo import PhotoSettings, refocus_image
    from refocal.model.refocuser import Refocuser

    check_new(output, force=force)
    settings = PhotoSettings(focus, point_of(at), aperture, deblur)
    image = read_image(source)
    check_format(image.pixels, output, quality)
    refocuser = Refocuser(model, tile=tile, threads=threads, require_gpu=require_gpu)
    network = depth_model, depth_preset, depth_size, depth_mean, depth_std
    given = given_disparity(
        image.pixels, disparity, disparity_range, is_depth, inverted, *network, orientation=image.orientation
    )
    for one in with_progress([image], "Refocusing"):
        made = refocus_image(refocuser, one, settings, given, data=source)
        write_image(output, made.pixels, like=image, quality=quality)
    by = f", by the depth inside {source}" if made.depth == "portrait" else ""
    typer.echo(f"{output}: focus {made.focus:.3g}{by}")


def point_of(text: str | None) -> tuple[float, float] | None:
    """Read X,Y, fractions of the upright photo."""
    if text is None:
        return None
    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"--at must be X,Y, each from 0 to 1 from the top left corner, as 0.3,0.6, got {text}")
    return x, y


def sweep(
    source: Source,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".gif, .webp or .mp4, or a folder for numbered PNG files.")
    ],
    focus: Annotated[str, typer.Option(metavar="FIRST:LAST:COUNT", help="Focus of the frames.")] = "-1:1:25",
    aperture: Aperture = None,
    model: Model = None,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 12,
    size: Annotated[int, typer.Option(min=2, metavar="PIXELS", help="Longer photos are made smaller first.")] = 1080,
    once: Annotated[bool, typer.Option("--once", help="Don't go back again at the end of an animation.")] = False,
    tile: Tile = 1024,
    threads: Threads = 0,
    require_gpu: RequireGpu = False,
    disparity: Disparity = None,
    disparity_range: DisparityRange = None,
    is_depth: IsDepth = False,
    inverted: Inverted = False,
    depth_model: DepthModel = None,
    depth_preset: DepthPreset = None,
    depth_size: DepthSize = None,
    depth_mean: DepthMean = None,
    depth_std: DepthStd = None,
    deblur: Deblur = "auto",
    force: Force = False,
) -> None:
    """Sweep the focus through a photo, far to near and back: an animation, or a folder of frames.

    For example:
      refocal sweep garden.jpg -o garden.gif
      refocal sweep garden.jpg -o garden.mp4 --focus -1:1:61 --fps 30
      refocal sweep garden.jpg -o frames --focus -1,-0.5,0,0.5,1 --size 4000
    """
    from refocal.depth.portrait import portrait_disparity
    from refocal.images.animation import check_fps, check_size, write_animation, writer_for
    from refocal.model.refocuser import Refocuser

    numbers = span(focus, "--focus")
    writer_for(output)
    check_fps(fps)
    in_folder = output.is_dir() or not output.suffix
    if not in_folder:
        check_new(output, force=force)
    pixels, scale, orientation = _frame(source, size)
    if not in_folder:
        check_size(output, *pixels.shape[1::-1])
    refocuser = Refocuser(model, tile=tile, threads=threads, require_gpu=require_gpu)
    pixels = refocuser.deblurred(pixels, deblur)
    diameter = None if aperture is None else aperture * scale
    network = depth_model, depth_preset, depth_size, depth_mean, depth_std
    depth = given_disparity(pixels, disparity, disparity_range, is_depth, inverted, *network, orientation=orientation)
    if depth is None and refocuser.finds_depth:
        depth = portrait_disparity(source, pixels)
        depth = refocuser.analyse(pixels) if depth is None else depth  # once, not for each frame

    def render() -> list[Any]:
        if depth is None:
            return [
                refocuser(pixels, number, diameter, deblur="never") for number in with_progress(numbers, "Refocusing")
            ]
        return [refocuser.render(pixels, depth, number, diameter) for number in with_progress(numbers, "Refocusing")]

    if in_folder:
        with output_folder(output, force=force) as folder:
            write_animation(folder, render(), fps)
    else:
        frames = render()
        write_animation(output, frames if once else frames + frames[-2:0:-1], fps)
    typer.echo(f"{output}: {len(numbers)} frames, focus {numbers[0]:g} to {numbers[-1]:g}")


def _frame(source: Path, size: int) -> "tuple[NDArray[np.uint8], float, int]":
    """Return the photo as a frame, uint8 (H, W, 3) of at most `size` pixels a side, how much smaller it became, and the
    EXIF orientation by which it was turned.
    """
    import numpy as np
    from PIL import Image

    from refocal.images.image import as_photo, read_image
    from refocal.images.profiles import to_srgb

    image = read_image(source)
    pixels = to_srgb(image.pixels, image.icc)  # frames carry no profile
    frame = Image.fromarray(np.rint(as_photo(pixels) * 255).astype(np.uint8))
    scale = min(1, size / max(frame.size))
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in frame.size)
        frame = frame.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(frame), scale, image.orientation

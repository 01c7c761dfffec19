"""`refocal views`: make a light field of one photo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    portrait_disparity,
)
from refocal.cli.options import Deblur, Force, check_new, output_folder, two_sides, with_progress
from refocal.cli.photo import Model, RequireGpu, Source, Threads

if TYPE_CHECKING:
    from refocal.render.views import ViewRenderer

Slopes = Annotated[
    str | None,
    typer.Option(
        metavar="FAR,NEAR", help="Pixels per view step of the farthest and the nearest; default: as the lens."
    ),
]
FILM_SIDE = 1080  # px: long side of a film
FRAMES = 36  # of a film


def views(
    source: Source,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the views.")] = None,
    grid: Annotated[str, typer.Option(metavar="N|UxV", help="Views: N x N, or rows x columns.")] = "7x7",
    slopes: Slopes = None,
    eslf: Annotated[bool, typer.Option("--eslf", help="One picture of interleaved views, not a file each.")] = False,
    animate: Annotated[
        Path | None, typer.Option(help="Write a parallax film too, or alone: .gif, .webp or .mp4.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames a second of the film.")] = 18,
    model: Model = None,
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
    """Make a light field of one photo: the views of a camera that moves, with what stands in front before the rest.

    The folder is one that light field tools read: view_00_00.png, …, or NAME_eslf.png, in the order and the sign of
    Lytro's decoders, and a lightfield.toml for refocal.

    For example:
      refocal views garden.jpg -o garden
      refocal views garden.jpg -o garden --grid 9x9 --slopes -0.8,0.8 --eslf
      refocal views garden.jpg --animate garden.mp4
      refocal views garden.jpg -o garden --disparity garden_disparity.png
    """
    from refocal.images.animation import check_fps, writer_for
    from refocal.images.image import read_image
    from refocal.images.profiles import to_srgb
    from refocal.model.refocuser import Refocuser

    if output is None and animate is None:
        raise ValueError("give --output for the views, or --animate for a film")
    if animate is not None:
        check_new(animate, force=force)
        writer_for(animate)
        check_fps(fps)
    size = two_sides(grid, "--grid")
    sides = (size, size) if isinstance(size, int) else size or (7, 7)
    ends = _slopes(slopes)
    image = read_image(source)
    pixels = to_srgb(image.pixels, image.icc)  # views carry no profile
    refocuser = Refocuser(model, threads=threads, require_gpu=require_gpu)
    network = depth_model, depth_preset, depth_size, depth_mean, depth_std
    known = given_disparity(
        pixels, disparity, disparity_range, is_depth, inverted, *network, orientation=image.orientation
    )
    if known is None and refocuser.finds_depth:
        known = portrait_disparity(source, pixels)
    renderer = refocuser.view_renderer(refocuser.deblurred(pixels, deblur), known, sides, ends)
    if output is not None:
        _write_views(output, renderer, sides, source.stem if eslf else "", force=force)
    if animate is not None:
        _write_film(animate, renderer, fps)


def _slopes(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        far, near = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"--slopes must be FAR,NEAR, as -0.8,0.8, got {text}") from None
    return far, near


def _write_views(output: Path, renderer: "ViewRenderer", grid: tuple[int, int], name: str, *, force: bool) -> None:
    """Write a folder that light field tools read; `name`: as one mosaic of that name."""
    from refocal.lightfields.writers import write_light_field

    with output_folder(output, force=force) as folder:
        rows, columns = grid
        made = with_progress(renderer.grid(rows, columns), "Views", total=rows * columns)
        write_light_field(folder, made, grid, slopes=renderer.slopes, mosaic=name)
    far, near = renderer.slopes
    typer.echo(f"{output}: {rows} x {columns} views, {far:.3f} (far) to {near:.3f} (near) px/view")


def _write_film(path: Path, renderer: "ViewRenderer", fps: float) -> None:
    """Write a film of the camera going round once."""
    from refocal.images.animation import write_animation

    frames = list(with_progress(renderer.reduced(FILM_SIDE).round_trip(FRAMES), "Film", total=FRAMES))
    write_animation(path, frames, fps)
    typer.echo(f"{path}: {len(frames)} frames")

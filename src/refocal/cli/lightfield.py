"""`refocal lightfield` and `refocal views`: focus a light field anywhere; make one of a photo."""

import warnings
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
)
from refocal.cli.options import (
    CropGrid,
    Deblur,
    FlipColumns,
    FlipRows,
    Focus,
    Force,
    Grid,
    Near,
    Order,
    Pattern,
    check_disparity_out,
    check_new,
    output_folder,
    reader_options,
    two_sides,
    with_progress,
)
from refocal.cli.photo import Model, RequireGpu, Source, Threads, Tile

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


def lightfield(
    source: Annotated[Path, typer.Argument(metavar="LIGHTFIELD", help="Folder of views, mosaic, .npy or .npz.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The refocused photo; its suffix names the format.")],
    focus: Focus,
    aperture: Annotated[
        float | None,
        typer.Option(metavar="PIXELS", help="Blur diameter of what lies a whole focus range away; 0: all sharp."),
    ] = None,
    aperture_times: Annotated[
        float | None, typer.Option(metavar="N", help="The same, N times the light field's own (default: 1).")
    ] = None,
    disparity_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Disparity too, 16-bit PNG: 0 farthest, 65535 nearest.")
    ] = None,
    model: Model = None,
    quality: Annotated[int, typer.Option(help="1 to 100, of JPEG and WebP (100: lossless WebP).")] = 95,
    tile: Tile = 1024,
    threads: Threads = 0,
    require_gpu: RequireGpu = False,
    force: Force = False,
    grid: Grid = None,
    crop_grid: CropGrid = None,
    pattern: Pattern = None,
    order: Order = None,
    flip_rows: FlipRows = None,
    flip_columns: FlipColumns = None,
    near: Near = None,
) -> None:
    """Focus the middle view of a light field anywhere, by the disparity of all views: without ghosts, however wide.

    For example:
      refocal lightfield data/room -o near.png --focus 1
      refocal lightfield data/room -o wide.png --focus 0.5 --aperture-times 3 --disparity-out disparity.png
      refocal lightfield mosaic.png --grid 5 -o far.jpg --focus -1 --aperture 20
    """
    if not -1 <= focus <= 1:
        raise ValueError(f"focus must be between -1 (farthest) and 1 (nearest), got {focus:g}")
    if aperture is not None and aperture_times is not None:
        raise ValueError("give --aperture or --aperture-times, not both")
    for name, value in (("--aperture", aperture), ("--aperture-times", aperture_times)):
        if value is not None and not 0 <= value < 1e6:
            raise ValueError(f"{name} must be a number from 0 on, got {value:g}")
    check_new(output, force=force)
    check_disparity_out(disparity_out, output, force=force)
    options = reader_options(
        grid=grid,
        crop_grid=crop_grid,
        pattern=pattern,
        order=order,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        near=near,
    )
    from refocal.depth.files import write_disparity
    from refocal.depth.from_views.light_field import find_depth
    from refocal.depth.from_views.plane_sweep import check_orientation
    from refocal.images.encoding import check_format
    from refocal.images.image import write_image
    from refocal.lightfields.lightfield import LightField
    from refocal.model.refocuser import Refocuser

    opened = LightField.open(source, **options)
    check_format(opened.centre, output, quality)
    refocuser = Refocuser(model, tile=tile, threads=threads, require_gpu=require_gpu)
    if not refocuser.finds_depth:
        raise ValueError(f"the model {refocuser.model} cannot be given a disparity; one of the kind lens can")
    for warning in check_orientation(opened.views, opened.mask):
        warnings.warn(warning, stacklevel=1)  # disparity of shuffled views is none
    for field in with_progress([opened], "Sweeping"):
        depth = find_depth(field)
        own = depth.aperture or 0.0
        blur = own * (1 if aperture_times is None else aperture_times) if aperture is None else aperture
        write_image(output, refocuser.render(depth.photo, depth.disparity, focus, blur), quality=quality)
        if disparity_out is not None:
            write_disparity(disparity_out, depth.disparity)
    typer.echo(f"{output}: focus {focus:g}, aperture {blur:.1f} px, by {depth.source} whose own is {own:.1f} px")


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
    from refocal.depth.portrait import portrait_disparity
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

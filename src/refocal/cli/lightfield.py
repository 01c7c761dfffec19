"""`refocal lightfield`: focus a light field anywhere, with any aperture."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from refocal.cli.options import (
    CropGrid,
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
    reader_options,
    with_progress,
)
from refocal.cli.photo import Model, RequireGpu, Threads, Tile


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

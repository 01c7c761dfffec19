"""`refocal info`, `refocal stack` and `refocal sample`: inspect, refocus and render light fields."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from refocal.cli.options import (
    CropGrid,
    FlipColumns,
    FlipRows,
    Force,
    Grid,
    Near,
    Order,
    Pattern,
    output_folder,
    reader_options,
    span,
    two_sides,
    with_progress,
)

if TYPE_CHECKING:
    from refocal.lightfields.lightfield import LightField


def info(
    paths: Annotated[list[Path], typer.Argument(metavar="LIGHTFIELD", help="Folders of views, mosaics, .npy or .npz.")],
    *,
    grid: Grid = None,
    crop_grid: CropGrid = None,
    pattern: Pattern = None,
    order: Order = None,
    flip_rows: FlipRows = None,
    flip_columns: FlipColumns = None,
    near: Near = None,
) -> None:
    """Say what a light field holds: views, size, disparity, aperture, and what looks wrong in it.

    For example:
      refocal info data/*
      refocal info mosaic.png --grid 5
      refocal info views --pattern 'img_{c}_{r}.png' --near positive
    """
    from refocal.lightfields.lightfield import LightField

    options = reader_options(
        grid=grid,
        crop_grid=crop_grid,
        pattern=pattern,
        order=order,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        near=near,
    )
    for number, path in enumerate(paths):
        if number:
            typer.echo()
        typer.echo("\n".join(_summary(path, LightField.open(path, **options))))


def _summary(path: Path, light_field: "LightField") -> list[str]:
    from refocal.depth.from_views.plane_sweep import check_orientation, find_range
    from refocal.shiftadd.slopes import aperture_of

    views, mask = light_field.views, light_field.mask
    (rows, columns), (height, width) = light_field.grid, light_field.size
    lines = [
        f"{path}",
        f"  views      {rows} rows x {columns} columns, {int(mask.sum())} of {mask.size} valid",
        f"  size       {width} x {height} px, {views.dtype}, {views.nbytes / 1e6:.0f} MB",
    ]
    try:
        found = find_range(views, mask=mask)
        lines += [
            f"  disparity  {found.far:.3f} (far) to {found.near:.3f} (near) px/view",
            f"  aperture   {aperture_of(light_field.grid, found):.2f} px",
        ]
    except ValueError as error:
        lines.append(f"  disparity  unknown: {error}")
    return lines + [f"  warning    {warning}" for warning in check_orientation(views, mask)]


def stack(
    light_field: Annotated[Path, typer.Argument(metavar="LIGHTFIELD", help="Folder of views, mosaic, .npy or .npz.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the slices and the animation.")],
    slopes: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST:COUNT", help="Disparities in focus, px/view; larger = nearer.")
    ] = None,
    focus: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:LAST:COUNT",
            help="Focus over the scene's own range: -1 farthest, 1 nearest (default: -1:1:9).",
        ),
    ] = None,
    animation: Annotated[str, typer.Option(help="Name of the animation, .webp, .gif or .mp4.")] = "stack.webp",
    fps: Annotated[float, typer.Option(help="Its frames a second.")] = 10,
    pupil: Annotated[Literal["circular", "square"], typer.Option(help="Shape of the aperture.")] = "circular",
    gamma_coded: Annotated[
        bool, typer.Option("--gamma-coded", help="Average stored values, not linear light, as the original did.")
    ] = False,
    force: Force = False,
    grid: Grid = None,
    crop_grid: CropGrid = None,
    pattern: Pattern = None,
    order: Order = None,
    flip_rows: FlipRows = None,
    flip_columns: FlipColumns = None,
    near: Near = None,
) -> None:
    """Refocus a light field: one picture a focus, and an animation of them, far to near and back.

    For example:
      refocal stack data/room -o slices
      refocal stack data/room -o slices --slopes -1:1:21
      refocal stack data/room -o slices --focus -1,0,1 --force
    """
    if slopes is not None and focus is not None:
        raise ValueError("give --slopes or --focus, not both")
    if Path(animation).name != animation or not Path(animation).suffix:
        raise ValueError(f"--animation must be a file name with .webp, .gif or .mp4, got {animation}")
    numbers = span(slopes, "--slopes") if slopes is not None else span(focus or "-1:1:9", "--focus")
    options = reader_options(
        grid=grid,
        crop_grid=crop_grid,
        pattern=pattern,
        order=order,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        near=near,
    )
    from refocal.images.animation import writer_for
    from refocal.lightfields.lightfield import LightField

    writer_for(Path(animation))
    with output_folder(output, force=force) as folder:
        opened = LightField.open(light_field, **options)
        planes = _planes(opened, numbers, by_focus=slopes is None)
        _write_slices(opened, planes, folder, animation, fps, pupil=pupil, linear=not gamma_coded)
    first, *_, last = [*planes.values()] * 2  # of a single one too
    typer.echo(f"{output}: {len(planes)} slices, slopes {first:.3f} to {last:.3f} px/view, and {animation}")


def _planes(light_field: "LightField", numbers: list[float], *, by_focus: bool) -> dict[str, float]:
    """Return name -> slope."""
    if not by_focus:
        return {f"{k:03d}_slope_{slope:+.3f}.png": slope for k, slope in enumerate(numbers)}
    from refocal.depth.from_views.plane_sweep import check_orientation, find_range

    for warning in check_orientation(light_field.views, light_field.mask):
        warnings.warn(warning, stacklevel=1)  # a range found in shuffled views is none
    found = find_range(light_field.views, mask=light_field.mask)
    return {f"{k:03d}_focus_{focus:+.3f}.png": float(found.slope(focus)) for k, focus in enumerate(numbers)}


def _write_slices(
    light_field: "LightField", planes: dict[str, float], folder: Path, animation: str, fps: float, **how: Any
) -> None:
    import numpy as np

    from refocal.images.animation import write_animation
    from refocal.images.image import write_image
    from refocal.shiftadd.shift_and_add import shift_and_add

    frames = []
    for name, slope in with_progress(list(planes.items()), "Adding views"):
        image = shift_and_add(light_field.views, slope, mask=light_field.mask, **how)
        frames.append(np.rint(image * 255).astype(np.uint8))
        write_image(folder / name, frames[-1])
    write_animation(folder / animation, frames + frames[-2:0:-1], fps)


def sample(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder for the light fields.")],
    scenes: Annotated[int | None, typer.Option(help="How many.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other scenes.")] = 0,
    grid: Annotated[int | None, typer.Option(help="Views a side, odd.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Pixels of a view.")] = None,
) -> None:
    """Render light fields of known disparity: the sample that the pipeline runs on.

    For example:
      refocal sample -o data
      refocal sample -o small --scenes 4 --grid 5 --size 96x128 --seed 1
    """
    shape = two_sides(size, "--size")
    given = {"scenes": scenes, "grid": grid, "size": (shape, shape) if isinstance(shape, int) else shape}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    from refocal.scenes.synthetic.sample import write_sample

    with output_folder(output, force=False) as folder:
        made = write_sample(folder, seed=seed, **options)
    typer.echo(f"{output}: {len(made)} light fields")

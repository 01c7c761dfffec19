"""`refocal living`: write a photo as one HTML file that refocuses where it is clicked."""

import os
from pathlib import Path
from typing import Annotated

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
from refocal.cli.options import Deblur, Force, check_new
from refocal.cli.photo import Aperture, Model, RequireGpu, Source, Threads


def living(
    source: Source,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file: .html.")],
    aperture: Aperture = None,
    levels: Annotated[int, typer.Option(help="Frames inside, 3 to 65.")] = 17,
    title: Annotated[str, typer.Option(help="What the page is called (default: the file's name).")] = "",
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
    """Make a living picture: one HTML file that refocuses where it is clicked and loads nothing from elsewhere.

    For example:
      refocal living garden.jpg -o garden.html
      refocal living garden.jpg -o garden.html --aperture 30 --levels 25 --title "Our garden"
      refocal living garden.jpg -o garden.html --disparity garden_disparity.png
    """
    from refocal.depth.portrait import portrait_disparity
    from refocal.images.image import read_image, written_beside
    from refocal.images.profiles import to_srgb
    from refocal.model.living import living_html
    from refocal.model.refocuser import Refocuser

    check_new(output, force=force)
    if output.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"cannot write {output}: a living picture is .html")
    image = read_image(source)
    pixels = to_srgb(image.pixels, image.icc)  # frames carry no profile
    refocuser = Refocuser(model, threads=threads, require_gpu=require_gpu)
    given = given_disparity(
        pixels,
        disparity,
        disparity_range,
        is_depth,
        inverted,
        depth_model,
        depth_preset,
        depth_size,
        depth_mean,
        depth_std,
        orientation=image.orientation,
    )
    if given is None and refocuser.finds_depth:
        given = portrait_disparity(source, pixels)
    text = living_html(
        refocuser,
        pixels,
        disparity=given,
        disparity_range=None if given is None else (-1, 1),
        aperture=aperture,
        levels=levels,
        deblur=deblur,
        title=title or os.fsencode(source.stem).decode(errors="replace"),
    )
    with written_beside(output) as beside:
        beside.write_text(text, encoding="utf-8")
    typer.echo(f"{output}: {levels} frames, {len(text) / 1e6:.1f} MB")

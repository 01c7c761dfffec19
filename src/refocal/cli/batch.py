"""`refocal batch`: refocus an archive of photos, on this machine or on a Ray cluster."""

from functools import partial
from typing import Annotated, Any, Literal

import typer

from refocal.cli.depth import (
    DepthMean,
    DepthModel,
    DepthPreset,
    DepthSize,
    DepthStd,
    Inverted,
    IsDepth,
    kind_given,
    network_options,
)
from refocal.cli.options import Deblur, Force, OptionalFocus
from refocal.cli.photo import Aperture, At, Model, RequireGpu, Tile, point_of

_RAY = "On a Ray cluster (--engine ray; RAY_ADDRESS names it)"


def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...", help="Folders, globs, photos, or .txt lists of them (-: standard input); paths or URLs."
        ),
    ],
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Folder for photos and manifest.jsonl; path or URL.")
    ],
    focus: OptionalFocus = None,
    at: At = None,
    aperture: Aperture = None,
    deblur: Deblur = "auto",
    format: Annotated[  # noqa: A002  as the option is called
        Literal["jpg", "png", "webp", "tif"] | None,
        typer.Option(help="Of the outputs (default: as each photo; JPEG for what refocal does not write)."),
    ] = None,
    quality: Annotated[int, typer.Option(help="1 to 100, of JPEG and WebP (100: lossless WebP).")] = 95,
    model: Model = None,
    tile: Tile = 1024,
    require_gpu: RequireGpu = False,
    depth_model: DepthModel = None,
    is_depth: IsDepth = False,
    inverted: Inverted = False,
    depth_preset: DepthPreset = None,
    depth_size: DepthSize = None,
    depth_mean: DepthMean = None,
    depth_std: DepthStd = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes (0: one a core), or actors of Ray.")] = 0,
    share: Annotated[
        str, typer.Option(metavar="K/N", help="Do only the K-th of N shares: for arrays of jobs, K from 1.")
    ] = "1/1",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="What the photos are done by.")] = "local",
    cpus: Annotated[float, typer.Option(min=0.1, rich_help_panel=_RAY, help="CPUs of an actor.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, rich_help_panel=_RAY, help="GPUs of an actor; may be a part.")] = 0,
    force: Force = False,
) -> None:
    """Refocus many photos alike. Bad ones are named in the manifest and left out; called again, it goes on.

    The exit code is 0 when all are done, 1 when some failed, 2 when nothing could begin, 130 when it was interrupted.

    For example:
      refocal batch holiday -o holiday_near --focus 1
      refocal batch 'scans/*.tif' -o far --focus -1 --format jpg
      refocal batch s3://photos/2026 -o s3://photos/2026_near --focus 0.5
      refocal batch list.txt -o near --focus 1 --share 3/100
      refocal batch /mnt/photos -o /mnt/near --focus 1 --engine ray --gpus 0.25
    """
    from refocal.batch.local import refocus_here
    from refocal.batch.photos import list_photos
    from refocal.batch.run import run_batch
    from refocal.batch.storage import opened, url_of
    from refocal.batch.worker import BatchSettings, Worker
    from refocal.model.photo import PhotoSettings
    from refocal.progress import progress_of

    gives = kind_given(is_depth, inverted)
    network = depth_preset, depth_size, depth_mean, depth_std
    if depth_model is None and (gives or any(value is not None for value in network)):
        raise ValueError("--is-depth, --inverted and --depth-…: for the network that --depth-model names")
    settings = BatchSettings(
        model=model,
        photo=PhotoSettings(focus, point_of(at), aperture, deblur),
        quality=quality,
        tile=tile,
        require_gpu=require_gpu,
        depth=None if depth_model is None else network_options(depth_model, *network, gives),
    )
    part = _share(share)
    work: Any
    Worker(settings, output)  # says what is wrong with the settings before anything begins
    out = url_of(*opened(output))  # whole: other machines work in other folders
    photos = list_photos(sources, output, None if format is None else f".{format}")
    if engine == "ray":
        from refocal.batch.ray_cluster import refocus_on_ray

        work = partial(refocus_on_ray, settings=settings, out=out, workers=workers, cpus=cpus, gpus=gpus)
    else:
        work = partial(refocus_here, settings=settings, out=out, workers=workers)
    with progress_of("refocal batch", "photos", stderr=True) as report:
        summary = run_batch(photos, settings, output, work, share=part, force=force, report=report)
    typer.echo(f"{output}: {summary.done} of {summary.total} photos done, {summary.failed} failed")
    if summary.failed:
        typer.echo("The manifest says why; the same command tries them again.", err=True)
    if summary.stopped:
        typer.echo("Interrupted; the same command goes on.", err=True)
        raise typer.Exit(128 + summary.stopped)
    if summary.failed:
        raise typer.Exit(1)


def _share(text: str) -> tuple[int, int]:
    """Read K/N."""
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"--share must be K/N with K from 1 to N, as 3/100, got {text}")
    return int(number), int(count)

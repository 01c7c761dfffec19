"""`refocal bracket`: fuse photos focused from near to far, and focus the result anywhere between."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refocal.cli.options import Force, check_disparity_out, check_new, with_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BREATHES = 0.003  # change of scale over a bracket, up or down, that no noise makes


def bracket(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="NEAR … FAR", help="2 photos or more, from the nearest focus to the farthest, one size."
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The refocused photo; its suffix names the format.")],
    focus: Annotated[float, typer.Option(help="-1 as the farthest, 1 as the nearest of the photos, or between.")],
    aperture: Annotated[
        float | None,
        typer.Option(
            metavar="PIXELS",
            help="Blur diameter of what lies a whole focus range away (default: as the photos have it); 0: all sharp.",
        ),
    ] = None,
    far_first: Annotated[bool, typer.Option("--far-first", help="The photos go from far to near.")] = False,
    no_register: Annotated[bool, typer.Option("--no-register", help="The photos lie over each other already.")] = False,
    disparity_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Disparity too, 16-bit PNG: 0 farthest, 65535 nearest.")
    ] = None,
    quality: Annotated[int, typer.Option(help="1 to 100, of JPEG and WebP (100: lossless WebP).")] = 95,
    force: Force = False,
) -> None:
    """Fuse photos focused from near to far into one, and focus that anywhere between. Needs no model.

    The view, depth, EXIF and colour profile are those of the middle photo.

    For example:
      $ refocal bracket near.jpg far.jpg -o middle.jpg --focus 0
      $ refocal bracket slice_*.jpg -o sharp.png --focus 0 --aperture 0 --disparity-out disparity.png
      $ refocal bracket far.jpg middle.jpg near.jpg --far-first -o near.jpg --focus 0.8 --aperture 30
    """
    if not -1 <= focus <= 1:
        raise ValueError(f"focus must be between -1 (farthest photo) and 1 (nearest photo), got {focus:g}")
    if aperture is not None and not 0 <= aperture < 1e6:
        raise ValueError(f"aperture must be a number of pixels from 0 on, got {aperture:g}")
    if len(sources) < 2:
        raise ValueError(f"a bracket needs 2 photos or more, got {len(sources)}")
    check_new(output, force=force)
    check_disparity_out(disparity_out, output, force=force)
    _bracket(
        sources[::-1] if far_first else sources,
        output,
        focus,
        aperture,
        register=not no_register,
        disparity_out=disparity_out,
        quality=quality,
    )


def _bracket(
    sources: list[Path],
    output: Path,
    focus: float,
    aperture: float | None,
    *,
    register: bool,
    disparity_out: Path | None,
    quality: int,
) -> None:
    from refocal.depth.files import write_disparity
    from refocal.depth.from_focus.slices import Slices
    from refocal.images.encoding import check_format
    from refocal.images.image import like_input, read_image, write_image

    middle = read_image(sources[len(sources) // 2])
    check_format(middle.pixels, output, quality)
    slices = Slices(sources, middle.pixels.shape[:2])
    for files in with_progress([slices], "Fusing"):
        photo, disparity, blur = _refocused(files, focus, aperture, register=register)
        write_image(output, like_input(photo, middle.pixels), like=middle, quality=quality)
        if disparity_out is not None:
            write_disparity(disparity_out, disparity)
    typer.echo(f"{output}: focus {focus:g}, aperture {blur:.1f} px, from {len(slices)} photos")


def _refocused(
    slices: "Sequence[NDArray[Any]]", focus: float, aperture: float | None, *, register: bool
) -> "tuple[NDArray[np.float32], NDArray[np.float32], float]":
    """Return the photo, the disparity, and the aperture."""
    from refocal.depth.from_focus.bracket import fit_aperture, fuse_bracket
    from refocal.render.reference import render

    fused = fuse_bracket(slices, register=register)
    if register and (doubt := doubted_order([abs(pose.turn) for pose in fused.poses])):
        warnings.warn(doubt, stacklevel=1)
    blur = fit_aperture(fused, slices) if aperture is None else aperture
    photo = render(fused.photo, fused.disparity, focus, blur)
    return photo, fused.disparity, blur


def doubted_order(scales: "Sequence[float]") -> str | None:
    """Return what makes one doubt that slices go from near to far, or None.

    Most lenses show more of the scene the farther they focus (focus breathing), so that the scale at which the middle
    slice lies in the others falls from the first to the last.

    Parameters
    ----------
    scales
        One a slice, of the pose that leads from the middle slice to it.
    """
    steps = [after - before for before, after in pairwise(scales)]
    grown, shrunk = (sum(max(0.0, sign * step) for step in steps) for sign in (1, -1))
    if min(grown, shrunk) > _BREATHES:
        return "the photos look as if they were not in the order of their focus: a shell sorts 10 before 2"
    if grown > 2 * _BREATHES:
        return "the photos look as if they went from far to near (each shows less than the one before it): --far-first?"
    return None

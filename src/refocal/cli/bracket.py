"""`refocal bracket`: fuse photos focused from near to far, and focus the result anywhere between."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refocal.cli.options import Force, check_disparity_out, check_new, with_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    from refocal.images.encoding import check_format
    from refocal.images.image import like_input, read_image, write_image

    images = [read_image(path) for path in sources]
    middle = images[len(images) // 2]
    check_format(middle.pixels, output, quality)
    for path, image in zip(sources, images, strict=True):
        if image.pixels.shape[:2] != middle.pixels.shape[:2]:
            sizes = [f"{one.pixels.shape[1]} x {one.pixels.shape[0]}" for one in (image, middle)]
            raise ValueError(f"photos of a bracket must have one size: {path} is {sizes[0]}, another is {sizes[1]}")
    for slices in with_progress([[image.pixels for image in images]], "Fusing"):
        photo, disparity, blur = _refocused(slices, focus, aperture, register=register)
        write_image(output, like_input(photo, middle.pixels), like=middle, quality=quality)
        if disparity_out is not None:
            write_disparity(disparity_out, disparity)
    typer.echo(f"{output}: focus {focus:g}, aperture {blur:.1f} px, from {len(images)} photos")


def _refocused(
    slices: "list[NDArray[Any]]", focus: float, aperture: float | None, *, register: bool
) -> "tuple[NDArray[np.float32], NDArray[np.float32], float]":
    """Return the photo, the disparity, and the aperture."""
    from refocal.depth.from_focus.bracket import fit_aperture, fuse_bracket
    from refocal.render.reference import render

    fused = fuse_bracket(slices, register=register)
    blur = fit_aperture(fused, slices) if aperture is None else aperture
    photo = render(fused.photo, fused.disparity, focus, blur)
    return photo, fused.disparity, blur

"""Frames to an animation or film: GIF, WebP, MP4, or a folder of PNG files."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refocal.images import encoding
from refocal.images.image import write_image, written_beside

Frames = Sequence[NDArray[np.uint8]]
LONGEST = {".webp": encoding.LONGEST[".webp"], ".gif": 65535, ".mp4": 8192}  # px a side that format or players take


def write_animation(path: str | os.PathLike[str], frames: Frames, fps: float) -> None:
    """Write frames as an endless animation (.gif, .webp), a film (.mp4), or numbered PNG files (a path without suffix).

    Parameters
    ----------
    path
        The file, replaced at once when all is written; or a folder, made if need be, whose frames 000.png, 001.png …
        are replaced.
    frames
        uint8 (H, W, 3), all of one size. GIF has 256 colours a frame; MP4 is H.264 with sizes cut to even ones.
    fps
        Frames a second, above 0 and at most 100.

    Raises
    ------
    ValueError
        No frames, other frames than these, another suffix, fps out of range, or a place that cannot be written.
    """
    path = Path(path)
    writer = writer_for(path)
    check_fps(fps)
    if len(frames) == 0:
        raise ValueError("frames must hold at least one, got none")
    for k, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frames[0].shape:
            raise ValueError(f"frames must be uint8 (H, W, 3) of one size, frame {k} is {frame.dtype} {frame.shape}")
    check_size(path, *frames[0].shape[1::-1])
    if writer is _write_folder:
        _write_folder(path, frames, fps)
        return
    with written_beside(path) as beside:
        writer(beside, frames, fps)


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse frames larger than the format of the path takes, as ValueError."""
    longest = LONGEST.get(path.suffix.lower())
    if longest is not None and max(width, height) > longest:
        kind = path.suffix[1:].upper()
        raise ValueError(f"cannot write {path}: {kind} holds {longest} pixels a side, a frame is {width} x {height}")


def check_fps(fps: float) -> None:
    """Refuse frames a second that no animation has, as ValueError."""
    if not 0 < fps <= 100:
        raise ValueError(f"fps must be above 0 and at most 100, got {fps:g}")


def writer_for(path: Path) -> Callable[[Path, Frames, float], None]:
    """Return what writes to such a path; asked before the work, it saves the work for a path that cannot be.

    Raises
    ------
    ValueError
        No animation has that suffix.
    """
    writers = {"": _write_folder, ".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
    writer = writers.get("" if path.is_dir() else path.suffix.lower())
    if writer is None:
        raise ValueError(f"cannot write {path}: an animation is .gif, .webp, .mp4, or a folder without suffix")
    return writer


def _write_folder(path: Path, frames: Frames, fps: float) -> None:  # noqa: ARG001  a folder has no pace
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    for k, frame in enumerate(frames):
        write_image(path / f"{k:03d}.png", frame)


def _write_gif(path: Path, frames: Frames, fps: float) -> None:
    # One palette a frame, dithered: a palette for all would band the smooth blurs that this is about.
    pictures = [Image.fromarray(frame).quantize(256) for frame in frames]
    _save_pictures(path, "GIF", pictures, fps)


def _write_webp(path: Path, frames: Frames, fps: float) -> None:
    _save_pictures(path, "WEBP", [Image.fromarray(frame) for frame in frames], fps, quality=90)


def _save_pictures(path: Path, kind: str, pictures: list[Image.Image], fps: float, **options: int) -> None:
    # GIF counts in hundredths of a second, and browsers slow down what is below two of them.
    duration = max(20, round(100 / fps) * 10) if kind == "GIF" else max(1, round(1000 / fps))
    first, *others = pictures
    first.save(path, kind, save_all=True, append_images=others, duration=duration, loop=0, **options)


def _write_mp4(path: Path, frames: Frames, fps: float) -> None:
    import av
    from av.video.reformatter import Colorspace

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])  # 4:2:0 wants even sides
    if height == 0 or width == 0:
        raise ValueError(f"frames of an MP4 must be at least 2 x 2 pixels, got {frames[0].shape[:2]}")
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": "18"}
            stream.codec_context.colorspace = Colorspace.ITU709  # said, or players guess by the size
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
                container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None

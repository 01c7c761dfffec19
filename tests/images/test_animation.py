"""A sweep is written as it was rendered: every frame, in order, at its pace."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from refocal.images.animation import write_animation
from refocal.images.image import read_image


def frames(count: int = 5, size: tuple[int, int] = (33, 47)) -> list[NDArray[np.uint8]]:
    """Return flat frames, each of its own brightness, over a smooth ramp."""
    ramp = np.linspace(0, 40, size[1], dtype=np.uint8)[None, :, None].repeat(size[0], 0).repeat(3, 2)
    return [ramp + np.uint8(40 * k) for k in range(count)]


def read_back(path: Path) -> tuple[list[NDArray[np.uint8]], float]:
    """Decode an animation with the library that did not write it where there are two; -> frames, seconds a frame."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
            assert rate is not None
            return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)], float(1 / rate)
    with Image.open(path) as picture:
        found = []
        for k in range(picture.n_frames):
            picture.seek(k)
            picture.load()
            found.append(np.asarray(picture.convert("RGB")))
        return found, picture.info["duration"] / 1000


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_every_frame_comes_back_in_order_at_its_pace(tmp_path: Path, suffix: str) -> None:
    written = frames()
    write_animation(tmp_path / f"a{suffix}", written, fps=10)
    back, seconds = read_back(tmp_path / f"a{suffix}")
    assert seconds == pytest.approx(0.1)
    assert len(back) == len(written)
    for one, other in zip(back, written, strict=True):
        height, width = one.shape[:2]
        assert (height, width) == ((32, 46) if suffix == ".mp4" else (33, 47))  # H.264 has even sides
        assert np.abs(one.astype(float) - other[:height, :width]).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_colours_stay(tmp_path: Path, suffix: str) -> None:
    colour = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    write_animation(tmp_path / f"a{suffix}", [colour, colour // 2], fps=10)
    back, _ = read_back(tmp_path / f"a{suffix}")
    assert np.abs(back[0][16, 16].astype(int) - colour[16, 16]).max() <= 3


def test_a_folder_holds_numbered_pngs(tmp_path: Path) -> None:
    write_animation(tmp_path / "sweep" / "one", frames(), fps=10)
    paths = sorted((tmp_path / "sweep" / "one").iterdir())
    assert [path.name for path in paths] == ["000.png", "001.png", "002.png", "003.png", "004.png"]
    for path, frame in zip(paths, frames(), strict=True):
        np.testing.assert_array_equal(read_image(path).pixels, frame)


def test_frames_that_make_no_film_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    cases = [
        (tmp_path / "a.avi", frames(), 10, r"a\.avi: an animation is \.gif, \.webp, \.mp4, or a folder"),
        (tmp_path / "a.gif", frames(), 0, "fps must be above 0 and at most 100, got 0"),
        (tmp_path / "a.gif", [], 10, "frames must hold at least one"),
        (tmp_path / "a.gif", [*frames(2), frames(1, (4, 4))[0]], 10, r"frame 2 is uint8 \(4, 4, 3\)"),
        (tmp_path / "a.gif", [f.astype(float) for f in frames()], 10, "frame 0 is float64"),
        (tmp_path / "a.mp4", frames(2, (1, 1)), 10, "at least 2 x 2"),
        (tmp_path / "absent" / "a.gif", frames(), 10, "cannot write .*No such file"),
        (tmp_path / "absent" / "a.mp4", frames(), 10, "cannot write .*No such file"),
    ]
    for path, pictures, fps, message in cases:
        with pytest.raises(ValueError, match=message):
            write_animation(path, pictures, fps)
    assert list(tmp_path.iterdir()) == []

"""A bracket on the command line: photos in, one photo focused anywhere out."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from refocal.cli.bracket import bracket, doubted_order
from refocal.depth.from_focus.pose import Pose, warped
from refocal.images.image import read_image, write_image
from refocal.render.reference import render

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a bracket of a table: near at the bottom."""
    monkeypatch.chdir(tmp_path)
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(64, 80, 3)), (0.8, 0.8, 0))
    photo = (0.5 + 0.15 * noise / noise.std()).clip(0, 1).astype(np.float32)
    depth = np.repeat(np.linspace(-1, 1, 64, dtype=np.float32)[:, None], 80, axis=1)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for name, focus in (("near", 1.0), ("middle", 0.0), ("far", -1.0)):
        pixels = np.rint(render(photo, depth, focus, 10.0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(f"{name}.jpg", quality=98, subsampling=0, exif=exif)
        Image.fromarray(pixels[:40]).save(f"{name}_low.png")
    return tmp_path


def test_a_bracket_is_focused_near_and_far(photos: Path, run: Run) -> None:
    for focus, name in ((1, "near"), (-1, "far")):
        code, out, err = run(f"refocal bracket near.jpg middle.jpg far.jpg -o out.png --focus {focus} --force")
        assert (code, err) == (0, "")
        assert re.fullmatch(rf"out.png: focus {focus}, aperture \d+\.\d px, from 3 photos\n", out)
        ours = read_image("out.png")
        assert ours.exif is not None
        assert b"Maker" in ours.exif
        error = {
            n: float(np.abs(ours.pixels - read_image(f"{n}.jpg").pixels.astype(float)).mean()) for n in ("near", "far")
        }
        assert min(error, key=error.__getitem__) == name


def test_disparity_is_written_near_bright_in_either_order(photos: Path, run: Run) -> None:
    assert run("refocal bracket near.jpg far.jpg -o a.jpg --focus 0 --disparity-out d.png --aperture 5")[0] == 0
    assert (
        run("refocal bracket far.jpg near.jpg --far-first -o b.jpg --focus 0 --disparity-out e.png --aperture 5")[0]
        == 0
    )
    disparity = read_image("d.png").pixels
    assert disparity.dtype == np.uint16
    assert disparity.shape == (64, 80)
    assert disparity[-12:].mean() > 50_000
    assert disparity[:12].mean() < 15_000
    np.testing.assert_array_equal(disparity, read_image("e.png").pixels)
    np.testing.assert_array_equal(read_image("a.jpg").pixels, read_image("b.jpg").pixels)


def test_an_aperture_of_0_is_sharp_all_over_and_depth_and_alpha_stay(photos: Path, run: Run) -> None:
    for name in ("near", "far"):
        pixels = read_image(f"{name}.jpg").pixels.astype(np.uint16) * 257
        write_image(f"{name}.png", np.dstack([pixels, np.full((64, 80), 30_000, np.uint16)]))
    line = "refocal bracket near.png far.png -o sharp.png --focus 0.5 --aperture 0 --no-register"
    assert run(line)[0] == 0
    sharp = read_image("sharp.png").pixels
    assert sharp.dtype == np.uint16
    assert (sharp[..., 3] == 30_000).all()
    for name, half in (("near", slice(40, 60)), ("far", slice(4, 24))):
        error = np.abs(sharp[half, :, :3] / 257.0 - read_image(f"{name}.jpg").pixels[half])
        assert error.mean() < 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refocal bracket", "Missing argument"),
        ("refocal bracket near.jpg far.jpg -o x.jpg", "Missing option '--focus'"),
        ("refocal bracket near.jpg -o x.jpg --focus 0", "a bracket needs 2 photos or more, got 1"),
        ("refocal bracket near.jpg far.jpg -o x.jpg --focus 1.2", "focus must be between -1 (farthest photo) and 1"),
        ("refocal bracket near.jpg far.jpg -o x.jpg --focus nan", "focus must be between"),
        ("refocal bracket near.jpg far.jpg -o x.jpg --focus 0 --aperture -1", "aperture must be a number of pixels"),
        ("refocal bracket near.jpg far.jpg -o far.jpg --focus 0", "far.jpg is there already; --force overwrites it"),
        ("refocal bracket near.jpg far.jpg -o x.bmp --focus 0", "the suffix must be one of"),
        ("refocal bracket near.jpg far.jpg -o absent/x.jpg --focus 0", "there is no folder"),
        (
            "refocal bracket near.jpg far.jpg -o x.jpg --focus 0 --disparity-out d.jpg",
            "--disparity-out must be another",
        ),
        (
            "refocal bracket near.jpg far.jpg -o x.png --focus 0 --disparity-out x.png",
            "--disparity-out must be another",
        ),
        ("refocal bracket near.jpg absent.jpg -o x.jpg --focus 0", "cannot read absent.jpg"),
        (
            "refocal bracket near_low.png far.jpg -o x.jpg --focus 0",
            "photos of a bracket must have one size: near_low.png is 80 x 40, another is 80 x 64",
        ),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(photos: Path, run: Run, line: str, message: str) -> None:
    before = sorted(photos.iterdir())
    code, out, err = run(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("refocal bracket: ")
    assert message in err
    assert sorted(photos.iterdir()) == before


def test_the_examples_of_the_help_run(photos: Path, run: Run) -> None:
    for place, name in enumerate(("near", "middle", "far")):
        Path(f"slice_{place}.jpg").write_bytes(Path(f"{name}.jpg").read_bytes())
    lines = re.findall(r"\$ (refocal .*)", bracket.__doc__ or "")
    assert len(lines) == 3
    for line in lines:
        words = [
            str(path) for word in shlex.split(line) for path in (sorted(Path().glob(word)) if "*" in word else [word])
        ]
        code, _, err = run(f"{shlex.join(words)} --force")
        assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("scales", "doubt"),
    [
        ([1.02, 1.01, 1, 0.99, 0.98], None),  # near first, as most lenses breathe
        ([0.98, 0.99, 1, 1.01, 1.02], "far to near"),
        ([1.004, 0.991, 0.991, 1.0016, 1, 0.995], "order of their focus"),  # 1 10 11 2 3
        ([0.9985, 0.9991, 1, 1.0008, 1.0015], None),  # Lytro's slices, from near to far
        ([1.001, 0.9995, 1, 1.0012, 0.999], None),  # noise
    ],
)
def test_an_order_that_breathing_contradicts_is_doubted(scales: list[float], doubt: str | None) -> None:
    found = doubted_order(scales)
    assert found is None if doubt is None else doubt in str(found)


@pytest.mark.filterwarnings("always:the photos look")
def test_photos_from_far_to_near_are_warned_of(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(size=(160, 200, 3)), (1, 1, 0))
    photo = (0.5 + texture).clip(0, 1).astype(np.float32)
    files = []
    for number, scale in enumerate((1.0, 0.99, 0.98)):  # each shows less than the one before it
        breathing, _ = warped(gaussian_filter(photo, (number / 2, number / 2, 0)), Pose(scale))
        files.append(str(tmp_path / f"{number}.png"))
        write_image(files[-1], np.rint(breathing * 255).astype(np.uint8))
    given = " ".join(files)
    assert "--far-first?" in run(f"refocal bracket {given} -o {tmp_path}/a.png --focus 1")[2]
    assert "far-first" not in run(f"refocal bracket {given} --far-first -o {tmp_path}/b.png --focus 1")[2]

"""A photo and its disparity, or the mask of what stands in front, become a scene without a focal stack."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from refocal.scenes.photo_pairs import list_pairs, prepare_mask, prepare_pair
from refocal.scenes.scene import read_scenes, write_manifest

SIZE = (20, 30)


def put_pair(folder: Path, name: str, disparity: NDArray[np.uint8 | np.uint16], photo: NDArray[np.uint8]) -> None:
    for part, pixels in (("image", photo), ("disparity", disparity)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / part / f"{name}.png")


def ramp(top: int, dtype: type) -> NDArray[np.uint8 | np.uint16]:
    """Return a disparity that rises to the right; the first row is unknown."""
    rising = np.linspace(1, top, SIZE[1])[None].repeat(SIZE[0], 0).astype(dtype)
    rising[0] = 0
    return np.asarray(rising)


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def prepare(folder: Path, root: Path) -> Path:
    image, disparity = list_pairs(folder)["a"]
    return prepare_pair(image, disparity, root, "kinect_a", group="kinect/0", source="kinect/a")


@pytest.mark.parametrize(("top", "dtype"), [(240, np.uint8), (60000, np.uint16)])
def test_the_disparity_comes_in_focus_units_and_what_is_unknown_stays_so(
    tmp_path: Path, photo: NDArray[np.uint8], top: int, dtype: type
) -> None:
    put_pair(tmp_path / "kinect", "a", ramp(top, dtype), photo)
    prepare(tmp_path / "kinect", tmp_path / "scenes")
    write_manifest(tmp_path / "scenes", {}, {"kinect_a": "train"})
    (scene,) = read_scenes(tmp_path / "scenes")
    assert (scene.kind, scene.group, scene.source, scene.focus) == ("rgbd", "kinect/0", "kinect/a", ())
    np.testing.assert_array_equal(scene.photo(), photo)
    assert scene.stack().shape == (0, *SIZE, 3)
    disparity = scene.disparity().astype(float)
    assert np.isnan(disparity[0]).all()
    assert disparity[1, 0] == pytest.approx(-1, abs=0.05)
    assert disparity[1, -1] == pytest.approx(1, abs=0.05)
    assert (np.diff(disparity[1:], axis=1) > 0).all()


@pytest.mark.parametrize("kind", ["L", "RGBA", "I;16"])
def test_photos_of_other_kinds_become_eight_bit_colour(tmp_path: Path, kind: str) -> None:
    pixels = np.full(SIZE, 30000, np.uint16) if kind == "I;16" else np.full((*SIZE, 4), 90, np.uint8)
    put_pair(tmp_path / "kinect", "a", ramp(200, np.uint8), pixels[..., 0] if kind == "L" else pixels)  # type: ignore[arg-type]
    written = np.load(prepare(tmp_path / "kinect", tmp_path / "scenes") / "photo.npy")
    assert (written.dtype, written.shape) == (np.uint8, (*SIZE, 3))
    assert set(np.unique(written)) == ({116} if kind == "I;16" else {90})


@pytest.mark.parametrize(
    ("disparity", "message"),
    [
        (np.full((10, 30), 7, np.uint8), "is 30 x 10, its photo 30 x 20"),
        (np.full(SIZE, 7, np.uint8), "is flat: all that is known has the value 7"),
        (np.zeros(SIZE, np.uint8), r"0% of the pixels are known \(not 0\), at least 5% are needed"),
    ],
)
def test_a_disparity_that_tells_nothing_is_named(
    tmp_path: Path, photo: NDArray[np.uint8], disparity: NDArray[np.uint8], message: str
) -> None:
    put_pair(tmp_path / "kinect", "a", disparity, photo)
    with pytest.raises(ValueError, match=message) as caught:
        prepare(tmp_path / "kinect", tmp_path / "scenes")
    assert "a.png" in str(caught.value)
    assert not list((tmp_path / "scenes").glob("*"))


def test_pairs_are_listed_by_name_and_must_be_whole(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    folder = tmp_path / "kinect"
    for name in ("b", "a"):
        put_pair(folder, name, ramp(200, np.uint8), photo)
    (folder / "image" / "notes.txt").write_text("no picture")
    assert list(list_pairs(folder)) == ["a", "b"]
    (folder / "disparity" / "b.png").unlink()
    with pytest.raises(ValueError, match="b has no file in disparity"):
        list_pairs(folder)
    for path in folder.glob("image/*.png"):
        path.unlink()
    with pytest.raises(ValueError, match="image holds no picture"):
        list_pairs(folder)
    with pytest.raises(ValueError, match="must have the folders image and disparity; image is missing"):
        list_pairs(tmp_path / "elsewhere")


def test_a_photo_and_its_mask_become_a_scene_of_unknown_disparity(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[5:, 10:20], mask[4, 10:20] = 255, 90  # grey below the middle does not count
    put_pair(tmp_path / "people", "a", mask, photo)
    (tmp_path / "people" / "disparity").rename(tmp_path / "people" / "mask")
    files = list_pairs(tmp_path / "people", "mask")["a"]
    prepare_mask(*files, tmp_path / "scenes", "people_a", group="people/0", source="people/a")
    write_manifest(tmp_path / "scenes", {}, {"people_a": "train"})
    (scene,) = read_scenes(tmp_path / "scenes")
    assert (scene.kind, scene.focus) == ("mask", ())
    np.testing.assert_array_equal(scene.mask(), mask > 127)
    assert np.isnan(scene.disparity()).all()
    for value in (0, 255):
        Image.fromarray(np.full(SIZE, value, np.uint8)).save(files[1])
        with pytest.raises(ValueError, match=r"a.png: \d+\.0% of the photo stand in front, 0.2% to 98% can be used"):
            prepare_mask(*files, tmp_path / "scenes", "people_b", group="people/0", source="people/a")

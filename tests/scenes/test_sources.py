"""A folder of data is light fields, focal stacks and pairs, each the source of scenes whose names don't clash."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refocal.lightfields.lightfield import LightField
from refocal.scenes.sources import BLOCK, list_sources, list_stacks

GREY = np.full((4, 6, 3), 90, np.uint8)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path)
    return path


def put_stacks(folder: Path, *names: str) -> Path:
    for name in names:
        put(folder / name)
    (folder / "lightfield.toml").write_text('kind = "focal_stack"\n')
    return folder


def test_all_kinds_lie_side_by_side(tmp_path: Path) -> None:
    put(tmp_path / "room" / "view_00_00.png")
    put_stacks(tmp_path / "lytro", "3__refocus_00.png", "3__refocus_01.png", "12__refocus_00.png", "12__refocus_01.png")
    put(tmp_path / "kinect" / "image" / "7.png")
    put(tmp_path / "kinect" / "disparity" / "7.png")
    found = list_sources(tmp_path)
    assert {name: source.kind for name, source in found.items()} == {
        "kinect_7": "rgbd",
        "lytro_12": "focal_stack",
        "lytro_3": "focal_stack",
        "room": "light_field",
    }
    assert [path.name for path in found["lytro_3"].files] == ["3__refocus_00.png", "3__refocus_01.png"]
    assert [path.parent.name for path in found["kinect_7"].files] == ["image", "disparity"]
    assert found["room"].path == tmp_path / "room"
    assert found["room"].files == ()


def test_slices_go_by_their_number_and_stacks_by_what_is_before_it(tmp_path: Path) -> None:
    """10 comes after 9, whether zeros are written or not."""
    folder = put_stacks(tmp_path / "s", *(f"cat-{n}.png" for n in (10, 9, 1)), "dog_02.jpg", "dog_01.jpg")
    stacks = {name: [path.name for path in files] for name, files in list_stacks(folder).items()}
    assert stacks == {"cat": ["cat-1.png", "cat-9.png", "cat-10.png"], "dog": ["dog_01.jpg", "dog_02.jpg"]}


def test_a_folder_of_numbers_alone_is_one_stack_with_its_name(tmp_path: Path) -> None:
    put_stacks(tmp_path / "flower", "0.png", "1.png", "2.png")
    (source,) = list_sources(tmp_path).values()
    assert (source.name, source.kind, len(source.files)) == ("flower", "focal_stack", 3)


@pytest.mark.parametrize(
    ("names", "scenes"),
    [
        (("refocus_00.jpg", "refocus_01.jpg", "refocus_02.jpg"), {"st": 3}),
        (
            ("11__refocus_00.jpg", "11__refocus_01.jpg", "12__refocus_00.jpg", "12__refocus_01.jpg"),
            {"st_11": 2, "st_12": 2},
        ),
        (("Focus-1.png", "Focus-2.png"), {"st": 2}),
        (("cat_slice3.png", "cat_slice4.png"), {"st_cat": 2}),
    ],
)
def test_what_is_called_slices_needs_no_toml(tmp_path: Path, names: tuple[str, ...], scenes: dict[str, int]) -> None:
    for name in names:
        put(tmp_path / "st" / name)
    found = list_sources(tmp_path)
    assert {name: len(source.files) for name, source in found.items()} == scenes
    assert {source.kind for source in found.values()} == {"focal_stack"}


@pytest.mark.parametrize(
    ("names", "toml"),
    [
        (("1.png", "2.png", "3.png"), ""),  # a row of views as likely
        (("refocus_00.png", "refocus_01.png"), 'kind = "light_field"'),
        (("refocus_00.png", "refocus_01.png"), "grid = [1, 2]"),
        (("refocus_00.png", "refocus_01.png", "IMG_3.png"), ""),
        (("view_00_00.png", "view_00_01.png"), ""),
    ],
)
def test_what_may_be_views_is_a_light_field(tmp_path: Path, names: tuple[str, ...], toml: str) -> None:
    for name in names:
        put(tmp_path / "st" / name)
    (tmp_path / "st" / "lightfield.toml").write_text(toml + "\n")
    assert [source.kind for source in list_sources(tmp_path).values()] == ["light_field"]


def test_a_folder_of_a_photo_and_its_disparity_is_a_pair(tmp_path: Path) -> None:
    for name in ("image.jpg", "disparity.png"):
        put(tmp_path / "desk" / name)
    (source,) = list_sources(tmp_path).values()
    assert (source.name, source.kind) == ("desk", "rgbd")
    assert [path.name for path in source.files] == ["image.jpg", "disparity.png"]


@pytest.mark.parametrize("names", [("IMG 1a.png", "IMG 2a.png"), tuple(f"{n}.png" for n in range(4))])
def test_pictures_that_are_no_views_are_told_how_to_be_slices(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        put(tmp_path / name)
    with pytest.raises(ValueError, match=r'kind = "focal_stack" in lightfield\.toml'):
        LightField.open(tmp_path)


def test_neighbours_of_a_collection_share_a_group(tmp_path: Path) -> None:
    """They often show one room: the split must not part them."""
    for number in range(BLOCK + 1):
        put(tmp_path / "kinect" / "image" / f"{number:03}.png")
        put(tmp_path / "kinect" / "disparity" / f"{number:03}.png")
    groups = [source.group for source in list_sources(tmp_path).values()]
    assert groups == ["kinect/0"] * BLOCK + ["kinect/1"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a_1.png",), "the focal stack a has one slice, 2 are needed"),
        (("a_1.png", "a_2.png", "b.png"), "b.png: the name of a slice must end in its number"),
        ((), "holds no slices of focal stacks"),
    ],
)
def test_stacks_that_are_not_whole_are_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    (tmp_path / "s").mkdir()
    put_stacks(tmp_path / "s", *names)
    with pytest.raises(ValueError, match=message):
        list_stacks(tmp_path / "s")


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    put_stacks(tmp_path / "a", "b_0.png", "b_1.png")
    put(tmp_path / "a_b" / "view_00_00.png")
    with pytest.raises(ValueError, match="would both become the scene a_b; rename one"):
        list_sources(tmp_path)


def test_an_empty_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no light fields in"):
        list_sources(tmp_path)

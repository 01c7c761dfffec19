"""A folder of data is light fields, focal stacks and pairs, each the source of scenes whose names don't clash."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refocal.optics.sources import BLOCK, list_sources, list_stacks

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

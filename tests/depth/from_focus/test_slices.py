"""Slices of a bracket are read from their files when they are looked at."""

from pathlib import Path

import numpy as np
import pytest

from refocal.depth.from_focus import slices as module
from refocal.depth.from_focus.slices import Slices
from refocal.images.image import write_image


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for k in range(3):
        found.append(tmp_path / f"{k}.png")
        write_image(found[-1], np.full((4, 6, 3), k, np.uint8))
    return found


def test_slices_are_the_files_in_order(paths: list[Path]) -> None:
    slices = Slices(paths, (4, 6))
    assert [int(one[0, 0, 0]) for one in slices] == [0, 1, 2]
    assert [int(one[0, 0, 0]) for one in slices[1:]] == [1, 2]
    assert len(slices) == 3


def test_a_slice_that_is_there_twice_counts_once(paths: list[Path]) -> None:
    assert Slices([paths[0], paths[0], paths[2]], (4, 6)).paths == [paths[0], paths[2]]


@pytest.mark.parametrize(("free", "reads"), [(2**33, 3), (200 * 24, 6)])
def test_slices_stay_decoded_where_there_is_memory(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, free: int, reads: int
) -> None:
    counted = []
    monkeypatch.setattr(module, "available_memory", lambda: free)
    monkeypatch.setattr("refocal.resources.available_memory", lambda _root: free)
    read = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: counted.append(path) or read(path))
    slices = Slices(paths, (4, 6))
    for _ in range(2):
        assert [int(one[0, 0, 0]) for one in slices] == [0, 1, 2]
    assert len(counted) == reads


def test_what_does_not_fit_is_refused_before_the_work(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refocal.resources.available_memory", lambda _root: 2**20)
    with pytest.raises(ValueError, match=r"fusing photos of 6000 x 4000 pixels needs some 3\.6 GiB of memory, 0\.0"):
        Slices(paths, (4000, 6000))


def test_another_size_and_a_missing_file_are_named(paths: list[Path]) -> None:
    slices = Slices(paths, (4, 7))
    with pytest.raises(ValueError, match=r"0\.png is 6 x 4, another is 7 x 4"):
        slices[0]
    with pytest.raises(ValueError, match=r"cannot read .*none\.png: No such file"):
        Slices([*paths, paths[0].with_name("none.png")], (4, 6))

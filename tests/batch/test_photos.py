"""Folders, globs, lists and photos become photos with one output each, and no photo is ever overwritten."""

import io
from pathlib import Path

import fsspec
import pytest

from refocal.batch.photos import list_photos


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/b/c.PNG", "in/b/d.heic", "in/notes.txt", "in/.hidden/e.jpg", "in/[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def outputs(*sources: str, out: str = "out", suffix: str | None = None) -> dict[str, str]:
    return {photo.output: photo.source for photo in list_photos(sources, out, suffix)}


def test_a_folder_gives_its_pictures_with_their_folders(folder: Path) -> None:
    assert outputs("in") == {
        "[1].jpg": str(folder / "in/[1].jpg"),
        "a.jpg": str(folder / "in/a.jpg"),
        "b/c.PNG": str(folder / "in/b/c.PNG"),
        "b/d.heic.jpg": str(folder / "in/b/d.heic"),
    }


def test_another_format_keeps_the_old_suffix_so_that_two_stay_two(folder: Path) -> None:
    (folder / "in/a.png").write_bytes(b"x")
    (folder / "in/e.jpeg").write_bytes(b"x")
    assert {"a.jpg", "a.png.jpg", "e.jpeg"} <= outputs("in", suffix=".jpg").keys()


def test_a_glob_is_named_from_where_its_pattern_begins(folder: Path) -> None:
    assert outputs("in/b/*") == {"c.PNG": str(folder / "in/b/c.PNG"), "d.heic.jpg": str(folder / "in/b/d.heic")}
    assert outputs("in/**/*.PNG").keys() == {"b/c.PNG"}


def test_a_file_whose_name_is_a_pattern_is_that_file(folder: Path) -> None:
    assert outputs("in/[1].jpg").keys() == {"[1].jpg"}


def test_a_list_is_named_from_the_folder_of_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.txt").write_text("in/a.jpg\n\nin/b/c.PNG\nin/gone.jpg\n")
    assert outputs("list.txt").keys() == {"a.jpg", "b/c.PNG", "gone.jpg"}
    monkeypatch.setattr("sys.stdin", io.StringIO("in/b/c.PNG\n"))
    assert outputs("-") == {"c.PNG": str(folder / "in/b/c.PNG")}


def test_urls_are_listed_like_folders() -> None:
    system = fsspec.filesystem("memory")
    for name in ("/pics/a.jpg", "/pics/b/c.png"):
        system.pipe_file(name, b"x")
    assert outputs("memory://pics", out="memory://near").keys() == {"a.jpg", "b/c.png"}
    assert outputs("memory://pics/*.jpg", out="memory://near") == {"a.jpg": "memory:///pics/a.jpg"}


def test_outputs_inside_the_folder_are_no_photos(folder: Path) -> None:
    (folder / "in/near").mkdir()
    (folder / "in/near/a.jpg").write_bytes(b"made")
    assert "near/a.jpg" not in outputs("in", out="in/near")
    assert "near/a.jpg" not in outputs("in/**/*.jpg", out="in/near/")


@pytest.mark.parametrize(
    ("sources", "out", "reason"),
    [
        (["in"], "in", "would overwrite the photo"),
        (["in", "other"], "out", "would both become a.jpg"),
        (["nowhere"], "out", "nowhere: no such folder, photo or list"),
        (["empty"], "out", "no photos in empty"),
        (["in/*.xyz"], "out", "no photos in"),
        (["s9://bucket/a"], "out", "cannot open s9://bucket/a"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(folder: Path, sources: list[str], out: str, reason: str) -> None:
    (folder / "other").mkdir()
    (folder / "other/a.jpg").write_bytes(b"x")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        list_photos(sources, out, None)
    assert reason in str(caught.value)


def test_a_photo_that_is_named_twice_is_one(folder: Path) -> None:
    assert len(list_photos(["in", "in"], "out", None)) == 4


def test_a_photo_that_changed_has_another_version(folder: Path) -> None:
    (before,) = list_photos(["in/a.jpg"], "out", None)
    (folder / "in/a.jpg").write_bytes(b"xy")
    (after,) = list_photos(["in/a.jpg"], "out", None)
    assert before.version != after.version

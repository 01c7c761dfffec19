"""A batch gives what single photos give, names what is bad, and goes on wherever it was stopped."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from manifests import lines_of

from refocal.batch.manifest import Manifest
from refocal.batch.photos import Photo
from refocal.cli import main

pytestmark = pytest.mark.slow  # each begins processes


def run(line: str) -> int:
    return main(shlex.split(line)[1:])


def test_a_batch_is_what_single_photos_are_and_a_bad_one_sinks_nothing(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("refocal batch in -o out --focus 0.5 --aperture 9 --workers 2") == 1
    told = capsys.readouterr()
    assert told.out == "out: 5 of 6 photos done, 1 failed\n"
    assert told.err.splitlines()[-1] == "The manifest says why; the same command tries them again."
    lines = lines_of(archive / "out")
    assert lines.keys() == {"a.jpg", "b.png", "c.tif", "f.jpg", "more/d.jpg", "more/e.webp"}
    assert lines["f.jpg"]["outcome"] == "failed"
    assert "f.jpg is no picture that refocal reads" in lines["f.jpg"]["error"]
    for name in ("a.jpg", "b.png", "c.tif", "more/d.jpg", "more/e.webp"):
        suffix = Path(name).suffix
        assert run(f"refocal photo in/{name} -o one{suffix} --focus 0.5 --aperture 9 --force") == 0
        assert (archive / "out" / name).read_bytes() == (archive / f"one{suffix}").read_bytes()
        assert (lines[name]["focus"], lines[name]["aperture"], lines[name]["width"]) == (0.5, 9, 60)
    assert {path.name for path in (archive / "out").iterdir()} == {
        "a.jpg",
        "b.png",
        "c.tif",
        "more",
        "manifest.jsonl",
    }


def test_what_is_done_is_left_alone_and_what_failed_or_changed_is_done_again(archive: Path) -> None:
    assert run("refocal batch in -o out --focus 1 --workers 1") == 1
    before = {path: path.stat().st_mtime_ns for path in (archive / "out").rglob("*.*") if path.suffix != ".jsonl"}
    (archive / "in/f.jpg").write_bytes((archive / "in/a.jpg").read_bytes())
    (archive / "in/b.png").touch()
    (archive / "out/c.tif").unlink()
    assert run("refocal batch in -o out --focus 1 --workers 1") == 0
    assert {line["outcome"] for line in lines_of(archive / "out").values()} == {"done"}
    made = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert made == {"b.png", "c.tif"}
    assert (archive / "out/f.jpg").is_file()


def test_other_settings_want_another_folder_or_force(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("refocal batch in -o out --focus 1 --workers 1")
    first = (archive / "out/a.jpg").read_bytes()
    assert run("refocal batch in -o out --focus -1 --workers 1") == 2
    assert "was made with other settings or another model" in capsys.readouterr().err
    assert (archive / "out/a.jpg").read_bytes() == first
    assert run("refocal batch in -o out --focus -1 --workers 1 --force") == 1
    assert lines_of(archive / "out")["a.jpg"]["focus"] == -1
    assert (archive / "out/a.jpg").read_bytes() != first


def test_files_of_others_are_not_overwritten(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (archive / "out").mkdir()
    (archive / "out/a.jpg").write_bytes(b"mine")
    assert run("refocal batch in -o out --focus 1") == 2
    assert "out/a.jpg is there already; --force overwrites it" in capsys.readouterr().err
    assert (archive / "out/a.jpg").read_bytes() == b"mine"
    assert {path.name for path in (archive / "out").iterdir()} == {"a.jpg"}


def test_a_photo_that_kills_its_process_is_named_and_the_rest_is_done(bomb: Path) -> None:
    assert run("refocal batch in -o out --focus 1 --workers 2") == 1
    lines = lines_of(bomb / "out")
    assert [name for name, line in lines.items() if line["outcome"] == "failed"] in (
        ["bomb.jpg", "f.jpg"],
        ["f.jpg", "bomb.jpg"],
    )
    assert "the process that refocused it died" in lines["bomb.jpg"]["error"]
    assert len(lines) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_batch_that_is_stopped_goes_on(archive: Path, number: signal.Signals) -> None:
    """Nothing is done twice behind a signal that can be caught, nothing is lost behind the other."""
    for count in range(200):
        (archive / f"in/{count:03d}.jpg").write_bytes((archive / "in/a.jpg").read_bytes())
    words = "batch in -o out --focus 1 --aperture 9 --workers 2"
    command = [Path(sys.executable).with_name("refocal"), *words.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    manifest = archive / "out/manifest.jsonl"
    while not manifest.is_file() or manifest.read_text().count("\n") < 5:
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    before = lines_of(archive / "out")
    assert 5 <= len(before) < 206
    done = {path.relative_to(archive / "out").as_posix() for path in (archive / "out").rglob("*.jpg")}
    if number != signal.SIGKILL:
        assert "Interrupted; the same command goes on." in told
        assert done <= before.keys()
    kept = {name: (archive / "out" / name).stat().st_mtime_ns for name in before if before[name]["outcome"] == "done"}
    assert run(f"refocal {words}") == 1
    assert len(lines_of(archive / "out")) == 206
    assert {name: (archive / "out" / name).stat().st_mtime_ns for name in kept} == kept


def test_shares_do_each_photo_once_and_a_batch_gathers_them(archive: Path) -> None:
    for number in (1, 2, 3):
        run(f"refocal batch in -o out --focus 1 --workers 1 --share {number}/3")
    lines = [lines_of(archive / "out", f"manifest.{number}-of-3.jsonl") for number in (1, 2, 3)]
    assert sum(len(one) for one in lines) == len({name for one in lines for name in one}) == 6
    when = (archive / "out/a.jpg").stat().st_mtime_ns
    assert run("refocal batch in -o out --focus 1 --workers 1") == 1
    assert [path.name for path in (archive / "out").glob("*.jsonl")] == ["manifest.jsonl"]
    assert len(lines_of(archive / "out")) == 6
    assert (archive / "out/a.jpg").stat().st_mtime_ns == when


def test_two_batches_into_one_folder_exclude_each_other(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Manifest("out").writing([]):
        assert run("refocal batch in -o out --focus 1") == 2
    assert capsys.readouterr().err == "refocal batch: another batch writes to out\n"
    with Manifest("out", (2, 3)).writing([]):  # one that gathers would take a share's manifest away
        assert run("refocal batch in -o out --focus 1") == 2
        assert run("refocal batch in -o out --focus 1 --share 1/3") in {0, 1}
    assert not list(Path("out").glob(".*.lock"))


def test_a_damaged_line_is_done_again(archive: Path) -> None:
    run("refocal batch in -o out --focus 1 --workers 1")
    manifest = archive / "out/manifest.jsonl"
    whole = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*whole[:3], whole[3][:20]]))
    assert run("refocal batch in -o out --focus 1 --workers 1") == 1
    assert len(lines_of(archive / "out")) == 6


def test_a_folder_that_cannot_be_written_ends_the_batch(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (archive / "out").mkdir()
    (archive / "out/more").write_bytes(b"a file where a folder is wanted")
    assert run("refocal batch in -o out --focus 1 --workers 1") == 2
    assert f"cannot write {archive}/out/more/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--focus 2", "focus"),
        ("", "give either --focus or --at"),
        ("--focus 1 --at 0.5,0.5", "give either --focus or --at"),
        ("--focus 1 --quality 0", "quality must be 1 to 100"),
        ("--focus 1 --share 4/3", "--share must be K/N"),
        ("--focus 1 --share x", "--share must be K/N"),
        ("--focus 1 --model gone.onnx", "gone.onnx: no such file"),
        ("--focus 1 --is-depth", "for the network that --depth-model names"),
        ("--focus 1 --depth-model gone.onnx", "no such file"),
        ("--focus 1 --deblur always", "deblur"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_begins(
    archive: Path, capsys: pytest.CaptureFixture[str], options: str, reason: str
) -> None:
    assert run(f"refocal batch in -o out {options}") == 2
    assert reason in capsys.readouterr().err
    assert not (archive / "out").exists()


def test_a_photo_may_be_focused_where_a_point_lies_and_by_a_depth_network(archive: Path) -> None:
    assert run("refocal batch in -o out --at 0.5,0.5 --workers 1") == 1
    lines = lines_of(archive / "out")
    assert len({line["focus"] for line in lines.values() if line["outcome"] == "done"}) > 1


def test_the_manifest_knows_its_photos(archive: Path) -> None:
    photo = Photo("in/a.jpg", "a.jpg", "1 2")
    with Manifest("out").writing([]) as manifest:
        manifest.add({"output": "a.jpg", "outcome": "done", "version": "1 2", "made_with": "x"})
    (archive / "out/a.jpg").write_bytes(b"")
    manifest = Manifest("out")
    assert manifest.is_done(photo, "x")
    assert not manifest.is_done(photo, "y")
    assert not manifest.is_done(Photo("in/a.jpg", "a.jpg", "3 4"), "x")
    assert json.loads((archive / "out/manifest.jsonl").read_text())["output"] == "a.jpg"

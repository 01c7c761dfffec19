"""Stage stack: light fields to scenes; a stopped run goes on where it was; bad light fields are named."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from refocal.scenes import parallel
from refocal.scenes.scene import read_manifest, read_scenes
from refocal.shiftadd.shift_and_add import shift_and_add
from refocal.shiftadd.slopes import FocusRange
from refocal.stages.stack import SCENES, SIDE, main

TOML = 'lightfield = "views.npy"\nslope_range = [-0.5, 1.0]\ndisparity = "disparity.npy"\n'


def put_light_field(folder: Path, *, grid: tuple[int, int] = (3, 3), toml: str = TOML) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    np.save(folder / "views.npy", random.integers(60, 200, (*grid, 24, 28, 3), np.uint8))
    np.save(folder / "disparity.npy", random.uniform(-0.5, 1, (24, 28)).astype(np.float16))
    (folder / "lightfield.toml").write_text(toml)
    return folder


def put_params(**stack: Any) -> None:
    section = {"levels": [-1, 0, 1], "levels_between": [0.5], "workers": 1} | stack
    Path("params.yaml").write_text(yaml.safe_dump({"stack": section}))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with parameters and three light fields."""
    monkeypatch.chdir(tmp_path)
    parallel._code_digest.cache_clear()  # the code may be edited while tests run
    put_params()
    for name in ("a", "bb", "ccc"):
        put_light_field(tmp_path / "data" / name)
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run_stage() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "refocal.stages.stack"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_scene_holds_the_photo_its_slices_and_its_disparity_in_focus_units(place: Path) -> None:
    main()
    scenes = read_scenes(SCENES)
    assert [scene.name for scene in scenes] == ["a", "bb", "ccc"]
    assert {scene.split for scene in scenes} == {"train", "validation", "test"}
    scene = scenes[0]
    assert (scene.focus, scene.trained) == ((-1, 0, 0.5, 1), (True, True, False, True))
    assert (scene.slope_range, scene.grid, scene.aperture) == ((-0.5, 1.0), (3, 3), 3.0)
    views = np.load(place / "data" / "a" / "views.npy")[::-1, ::-1]  # near = negative shift in files
    np.testing.assert_array_equal(scene.photo(), views[1, 1])
    for level, picture in zip(scene.focus, scene.stack(), strict=True):
        slope = float(FocusRange(-0.5, 1.0).slope(level))
        np.testing.assert_array_equal(picture, np.rint(255 * shift_and_add(views, slope)))
    stored = np.load(place / "data" / "a" / "disparity.npy").astype(np.float32)
    np.testing.assert_allclose(scene.disparity(), (stored - 0.25) / 0.75, atol=2e-3)
    assert not SIDE.exists()
    assert not [path for path in SCENES.rglob("*") if path.name.startswith(".")]


def test_processes_and_repetition_change_no_byte(place: Path) -> None:
    main()
    first = contents(SCENES)
    put_params(workers=2)
    main()
    assert contents(SCENES) == first
    manifest = read_manifest(SCENES)
    assert manifest["recipe"]["linear"] is True
    assert str(place) not in json.dumps(manifest)
    about = json.loads(first["a/scene.json"])["about"]
    assert len(about["sha256"]) == 64
    assert about["options"]["lightfield"] == "views.npy"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="holds a worker up with a pipe")
@pytest.mark.parametrize(("workers", "sent", "code"), [(1, signal.SIGTERM, 143), (2, signal.SIGKILL, -9)])
def test_a_stopped_run_goes_on_where_it_was(place: Path, workers: int, sent: int, code: int) -> None:
    """Really stopped while it reads `bb`, which comes through a pipe that stays silent; `a` is not made again."""
    put_params(workers=workers)
    pipe = place / "data" / "bb" / "views.npy"
    wanted = pipe.read_bytes()
    pipe.unlink()
    os.mkfifo(pipe)
    process = run_stage()
    wait_for((SIDE / ".a.key").is_file)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    orphans = [int(pid) for pid in children.read_text().split()] if children.is_file() else []
    process.send_signal(sent)
    assert process.wait(30) == code
    process.communicate()
    for pid in orphans:
        wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 20)
    assert not SCENES.exists()
    made = (SIDE / "a" / "photo.npy").stat().st_mtime_ns

    pipe.unlink()
    pipe.write_bytes(wanted)
    put_params()
    main()
    assert (SCENES / "a" / "photo.npy").stat().st_mtime_ns == made
    resumed = contents(SCENES)
    main()
    assert contents(SCENES) == resumed


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("change", ["params", "source"])
def test_what_has_changed_is_made_anew(place: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        main()
    made = {name: (SIDE / name / "photo.npy").stat().st_mtime_ns for name in ("a", "bb")}
    monkeypatch.undo()
    monkeypatch.chdir(place)
    if change == "params":
        put_params(linear=False)
    else:
        file = place / "data" / "bb" / "views.npy"
        np.save(file, np.load(file) + 1)
    main()
    again = {name for name in made if (SCENES / name / "photo.npy").stat().st_mtime_ns != made[name]}
    assert again == ({"a", "bb"} if change == "params" else {"bb"})


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C come when the third scene begins."""
    prepare, begun = parallel.prepare_scene, []

    def stopping(path: Path, *rest: Any) -> Path:
        begun.append(path)
        if len(begun) > count:
            raise KeyboardInterrupt
        return prepare(path, *rest)

    monkeypatch.setattr(parallel, "prepare_scene", stopping)


def damage(place: Path, how: str) -> None:
    folder = place / "data" / "ddd"
    if how == "row":
        put_light_field(folder, grid=(1, 5))
        return
    put_light_field(folder)
    if how == "key":
        (folder / "lightfield.toml").write_text("gird = 7\n")
    elif how == "cut":
        (folder / "views.npy").write_bytes((folder / "views.npy").read_bytes()[:999])
    elif how == "range":
        (folder / "lightfield.toml").write_text(TOML.replace("[-0.5, 1.0]", "[1.0, -0.5]"))
    elif how == "disparity":
        np.save(folder / "disparity.npy", np.zeros((24, 27)))
    elif how == "no disparity":
        (folder / "disparity.npy").unlink()


BAD = {
    "row": "single row of views",
    "key": "unknown key gird",
    "cut": "views.npy",
    "range": "slope_range must be",
    "disparity": "disparity.npy must be finite floats",
    "no disparity": "cannot read the disparity",
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_light_field_stops_the_stage_or_is_left_out_by_name(place: Path, how: str) -> None:
    damage(place, how)
    with pytest.raises(ValueError, match=rf"{BAD[how]}.*on_error: skip") as caught:
        main()
    assert "ddd" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not SCENES.exists()
    put_params(on_error="skip", split={"validation": 0.25, "test": 0.25, "seed": 0})
    main()
    assert [scene.name for scene in read_scenes(SCENES)] == ["a", "bb", "ccc"]
    skipped = read_manifest(SCENES)["skipped"]
    assert list(skipped) == ["ddd"]
    assert BAD[how] in skipped["ddd"]


def test_a_part_that_loses_all_its_scenes_is_an_error_and_the_others_are_kept(place: Path) -> None:
    (place / "data" / "a" / "views.npy").write_bytes(b"nothing")
    put_params(on_error="skip")
    with pytest.raises(ValueError, match=r"no scene is left for .*: 1 were skipped, first: .*a/views.npy"):
        main()
    assert (SIDE / "bb").is_dir()


def test_too_few_groups_are_said_before_anything_is_computed(place: Path) -> None:
    for folder in (place / "data").iterdir():
        (folder / "lightfield.toml").write_text(TOML + 'group = "same"\n')
    with pytest.raises(ValueError, match="as many groups of scenes, got 1"):
        main()
    assert not SIDE.exists()


def test_two_sources_of_one_name_are_refused(place: Path) -> None:
    np.save(place / "data" / "a.npy", np.zeros((3, 3, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="both become the scene a"):
        main()


@pytest.mark.parametrize("stack", [{"data": "nowhere"}, {"levels": [0, 1], "levels_between": [1]}, {"levels": []}])
def test_bad_parameters_are_one_line(place: Path, stack: dict[str, Any]) -> None:
    put_params(**stack)
    with pytest.raises(ValueError, match=r"nowhere|levels") as caught:
        main()
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_one_line_and_exit_2(place: Path) -> None:
    put_params(data="nowhere")
    process = run_stage()
    output, errors = process.communicate()
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("stack: ")


def test_ranges_come_from_the_sweep_where_nobody_tells_them(place: Path) -> None:
    """A rendered plane and a nearer square, without slope_range and disparity: both are found."""
    from refocal.scenes.synthetic.sample import write_sample

    folders = write_sample(place / "rendered", scenes=3, grid=5, size=(96, 104))
    for folder in folders:
        toml = (folder / "lightfield.toml").read_text().splitlines(keepends=True)
        (folder / "lightfield.toml").write_text(
            "".join(line for line in toml if not line.startswith(("slope", "dispar")))
        )
    put_params(data="rendered")
    main()
    for scene, folder in zip(read_scenes(SCENES), folders, strict=True):
        true = np.load(folder / "disparity.npy").astype(np.float32)
        far, near = scene.slope_range
        assert true.min() - 0.3 < far < near < true.max() + 0.3
        found = far + (np.asarray(scene.disparity(), np.float32) + 1) / 2 * (near - far)
        assert np.median(np.abs(found - true)) < 0.1
        assert json.loads((scene.path / "scene.json").read_text())["about"]["slope_range_from"] == "plane sweep"


@pytest.mark.parametrize("linear", [True, False])
def test_views_are_kept_where_params_say_so_and_are_those_of_the_stack(place: Path, linear: bool) -> None:
    """Only those in the pupil and the mask: of 5 x 5 round ones 21, less a black one."""
    put_params(keep_views=True, linear=linear)
    put_light_field(place / "data" / "dddd", grid=(5, 5))
    stored = np.load(place / "data" / "dddd" / "views.npy")
    stored[1, 1] = 0
    np.save(place / "data" / "dddd" / "views.npy", stored)
    main()
    scene = {scene.name: scene for scene in read_scenes(SCENES)}["dddd"]
    views, kept = stored[::-1, ::-1], scene.views()
    assert isinstance(kept, np.memmap)
    assert (scene.linear, len(scene.places)) == (linear, 20)
    for (u, v), view in zip(scene.places, kept, strict=True):
        np.testing.assert_array_equal(view, views[u, v])
    mask = np.zeros((5, 5), bool)
    mask[tuple(np.transpose(scene.places))] = True
    slope = float(FocusRange(-0.5, 1.0).slope(0.5))
    again = shift_and_add(views, slope, mask=mask, pupil="square", linear=linear)
    np.testing.assert_array_equal(scene.stack()[2], np.rint(255 * again))


def test_scenes_without_views_say_nothing_of_them(place: Path) -> None:
    main()
    assert "views" not in json.loads((SCENES / "a" / "scene.json").read_text())
    assert not (SCENES / "a" / "views.npy").exists()

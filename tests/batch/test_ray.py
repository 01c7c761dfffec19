"""A Ray cluster of two nodes gives what this machine gives, through killed actors and nodes, and no process stays."""

import filecmp
import logging
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from manifests import lines_of

from refocal.batch import ray_cluster
from refocal.cli import main
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe

pytest.importorskip("ray", reason="Ray has no wheel for this Python")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray's own


@pytest.fixture(scope="module")
def nodes(armed: str) -> Iterator[Any]:
    """Start a head and a node, of one CPU each, and end all their processes."""
    from ray.cluster_utils import Cluster

    before = {process.pid for process in psutil.process_iter()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", armed)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.second = cluster.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()
    new = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
    left = [process for process in new if _of_ray(process)]
    psutil.wait_procs(left, timeout=20)
    assert not [process for process in left if process.is_running()]


def _of_ray(process: psutil.Process) -> bool:
    return any("/ray/" in word or word.startswith("ray::") for word in process.info["cmdline"] or [])


def run(line: str) -> int:
    return main(shlex.split(line)[1:])


def when_there_are(count: int, manifest: Path, act: Callable[[], object]) -> threading.Thread:
    """Do something once a manifest has so many lines."""

    def wait() -> None:
        while not manifest.is_file() or manifest.read_text().count("\n") < count:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def kill_an_actor() -> None:
    actors = [
        one for one in psutil.process_iter(["cmdline"]) if "ray::MapWorker" in " ".join(one.info["cmdline"] or [])
    ]
    actors[0].kill()


def test_scenes_of_a_cluster_are_those_of_this_machine_byte_for_byte(tmp_path: Path, nodes: Any) -> None:
    data = tmp_path / "data"
    assert main(["sample", "-o", str(data), "--scenes", "4", "--grid", "3", "--size", "64x72"]) == 0
    (data / "broken").mkdir()
    (data / "broken/view_00_00.png").write_bytes(b"no picture")
    seen, skipped = [], {}
    for engine in ("local", "ray"):
        folders = Folders(data, tmp_path / engine / "scenes", tmp_path / engine / "work")
        skipped[engine] = prepare_scenes(
            folders,
            Recipe(levels=(-1, 0, 1)),
            lambda groups: dict.fromkeys(groups, "train"),
            about={},
            progress=lambda done, total, name: seen.append(name),
            skip=True,
            engine=engine,  # type: ignore[arg-type]
        )
    assert skipped["ray"] == skipped["local"]
    assert list(skipped["ray"]) == ["broken"]
    assert len(seen) == 2 * 5
    compared = filecmp.dircmp(tmp_path / "local/scenes", tmp_path / "ray/scenes")
    files = [path.relative_to(tmp_path / "local/scenes") for path in (tmp_path / "local/scenes").rglob("*")]
    names = [str(file) for file in files if (tmp_path / "local/scenes" / file).is_file()]
    assert len(names) > 4 * 3
    assert not compared.left_only + compared.right_only
    same = filecmp.cmpfiles(tmp_path / "local/scenes", tmp_path / "ray/scenes", names, shallow=False)
    assert same == (names, [], [])


def test_a_cluster_does_what_this_machine_does_through_the_death_of_an_actor_and_a_node(bomb: Path, nodes: Any) -> None:
    for count in range(40):
        (bomb / f"in/{count:02d}.jpg").write_bytes((bomb / "in/a.jpg").read_bytes())
    manifest = bomb / "far/manifest.jsonl"
    when_there_are(4, manifest, kill_an_actor)
    when_there_are(16, manifest, lambda: nodes.remove_node(nodes.second, allow_graceful=False))
    assert run("refocal batch in -o far --focus 1 --engine ray") == 1
    assert run("refocal batch in -o out --focus 1") == 1
    here, there = lines_of(bomb / "out"), lines_of(bomb / "far")
    assert here.keys() == there.keys()
    assert {name for name, line in there.items() if line["outcome"] == "failed"} == {"bomb.jpg", "f.jpg"}
    assert here["bomb.jpg"]["error"] == there["bomb.jpg"]["error"]
    done = [name for name, line in here.items() if line["outcome"] == "done"]
    assert filecmp.cmpfiles(bomb / "out", bomb / "far", done, shallow=False) == (done, [], [])
    assert {path.name for path in (bomb / "far").iterdir()} == {path.name for path in (bomb / "out").iterdir()}


def test_a_relay_gives_all_lines_in_order_and_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray Client is given, through which Ray Data cannot run; an error on the way ends it too."""

    def lines(ray: Any, *told: Any) -> Iterator[dict[str, Any]]:
        for number in range(told[0]):
            time.sleep(0.01)
            yield {"output": str(number)}
        if told[1]:
            raise RuntimeError

    monkeypatch.setattr(ray_cluster, "_lines", lines)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    for fails in (False, True):
        relay, found = ray_cluster.Relay(20, fails), []
        while (some := relay.gathered()) is not None:
            found += some
        assert [line["output"] for line in found] == [str(number) for number in range(20)]
    logging.disable(logging.NOTSET)


def test_a_cluster_with_other_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from refocal.scenes.on_ray import _prepare_there
    from refocal.scenes.sources import Source

    with pytest.raises(ValueError, match="has another refocal than this machine"):
        _prepare_there(Source("a", "light_field", Path("a")), {}, Recipe(levels=(0,)), lambda: "mine", "other")


def test_no_cluster_is_said_in_one_line(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("refocal batch in -o out --focus 1 --engine ray") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "refocal batch: the engine ray needs the ray extra: pip install 'refocal[ray]'"
    )

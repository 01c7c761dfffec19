"""Cores and memory within the limits of a container, as both versions of control groups tell them."""

import threading
import time
from pathlib import Path

import pytest

from refocal.resources import available_memory, check_memory, cores, in_threads, keep_threads_within_quota


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)


V2 = {"proc/self/cgroup": "0::/pod/app\n"}
V1 = {"proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n"}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 8),
        (V2 | {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/pod/app/cpu.max": "200000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/pod/app/cpu.max": "max 100000\n", "sys/fs/cgroup/pod/cpu.max": "150000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),  # the path is the host's: only the top is there
        (V2 | {"sys/fs/cgroup/pod/app/cpu.max": "400000 100000\n", "sys/fs/cgroup/pod/cpu.max": "300000 100000\n"}, 3),
        (V2 | {"sys/fs/cgroup/pod/app/cpu.max": "300000 100000\n", "sys/fs/cgroup/pod/cpu.max": "400000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (V2 | {"sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        (
            V1
            | {
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n"}, 2),
        (V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/cpu.max": "rubbish\n"}, 8),
    ],
)
def test_cores_are_those_of_the_quota(tmp_path: Path, files: dict[str, str], wanted: int) -> None:
    assert cores(written(tmp_path, files)) == wanted


def test_cores_without_affinity_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("os.sched_getaffinity")  # as on macOS
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    assert cores(tmp_path) == 5


def test_memory_is_what_machine_and_groups_leave(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    machine = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n"}
    assert available_memory(written(tmp_path, machine)) == 4000 * 1024
    group = {"sys/fs/cgroup/pod/app/memory.max": "3000000\n", "sys/fs/cgroup/pod/app/memory.current": "2000000\n"}
    assert available_memory(written(tmp_path, V2 | group)) == 1_000_000
    stat = {"sys/fs/cgroup/pod/app/memory.stat": "anon 1\ninactive_file 500000\n"}
    assert available_memory(written(tmp_path, stat)) == 1_500_000
    assert available_memory(written(tmp_path, {"sys/fs/cgroup/pod/app/memory.max": "max\n"})) == 4000 * 1024


def test_memory_of_version_1(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    }
    assert available_memory(written(tmp_path, V1 | files)) == 2000


def test_work_that_does_not_fit_is_refused_in_a_line(tmp_path: Path) -> None:
    root = written(tmp_path, {"proc/meminfo": "MemAvailable: 1048576 kB\n"})
    check_memory(2**30, "fusing", "make it smaller", root)
    with pytest.raises(ValueError, match=r"^fusing needs some 2\.0 GiB of memory, 1\.0 are free: make it smaller$"):
        check_memory(2**31, "fusing", "make it smaller", root)
    check_memory(2**60, "fusing", "make it smaller", tmp_path / "nowhere")


def test_libraries_are_told_of_a_quota_and_nothing_else(tmp_path: Path) -> None:
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment: dict[str, str] = {}
    keep_threads_within_quota(environment, tmp_path)
    assert not environment  # no quota
    written(tmp_path, V2 | {"sys/fs/cgroup/cpu.max": "200000 100000\n"})
    environment["OMP_NUM_THREADS"] = "7"
    keep_threads_within_quota(environment, tmp_path)
    assert [environment[name] for name in names] == ["2", "7", "2"]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_work_in_threads_keeps_its_order_and_its_errors(threads: int) -> None:
    assert in_threads(lambda number: number * 2, range(7), threads) == [0, 2, 4, 6, 8, 10, 12]
    assert in_threads(str, [], threads) == []
    names = set(in_threads(lambda _: (time.sleep(0.02), threading.current_thread().name)[1], range(3), threads))
    assert (threading.main_thread().name in names) == (threads == 1)
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, range(3), threads)

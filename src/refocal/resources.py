"""What this process may use: CPU cores and memory, within the limits of its container.

A container's quota of CPU time (Docker's --cpus, Kubernetes' limits) shows in no list of cores, and its limit of memory
in no count of free memory: both are read from the control groups of the process and their parents, version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html) or 1.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
ROOT = Path("/")


def cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use, 1 or more: those of its affinity, or of its quota if that is less.

    Parameters
    ----------
    root
        Where /proc and /sys lie.
    """
    mine = _seen()
    quotas = [*_quotas(root)]
    return max(1, min(mine, math.ceil(min(quotas)))) if quotas else mine


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int = 0) -> list[R]:
    """Return what `work` gives for each item, by threads; 0: one a core. For what lets other threads run meanwhile."""
    found, threads = list(items), threads or cores()
    if threads == 1 or len(found) == 1:
        return [work(item) for item in found]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, found))


def keep_threads_within_quota(environment: MutableMapping[str, str], root: Path = ROOT) -> None:
    """Tell numba, OpenMP and BLAS of a quota below the cores that they see, unless they are told otherwise already.

    They read their variables when they are loaded.
    """
    if (mine := cores(root)) < _seen():
        for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment.setdefault(name, str(mine))


def available_memory(root: Path = ROOT) -> int | None:
    """Return how many bytes this process may still take; None where the system does not tell.

    Parameters
    ----------
    root
        Where /proc and /sys lie.
    """
    told = [line.split() for line in _lines(root / "proc/meminfo") if line.startswith("MemAvailable:")]  # in KiB
    free = [*_memory_left(root), *(int(words[1]) * 1024 for words in told)]
    return max(0, min(free)) if free else None


def check_memory(needed: float, what: str, remedy: str, root: Path = ROOT) -> None:
    """Refuse work that does not fit into memory, before the kernel kills the process in its middle.

    Raises
    ------
    ValueError
        One line: `what`, what it needs and what there is, and the `remedy`.
    """
    free = available_memory(root)
    if free is not None and needed > free:
        raise ValueError(f"{what} needs some {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free: {remedy}")


def _seen() -> int:
    """Return the cores of the process's affinity; macOS knows none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Give the cores that each control group of the process allows on average."""
    for group in _groups(root, "cpu"):
        words = " ".join(_lines(group / "cpu.max")).split()  # "200000 100000", "max 100000"
        if not words:
            words = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]  # -1: none
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            yield int(words[0]) / int(words[1])


def _memory_left(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        limit = [*_lines(group / "memory.max"), *_lines(group / "memory.limit_in_bytes")]
        used = [*_lines(group / "memory.current"), *_lines(group / "memory.usage_in_bytes")]
        if limit and used and limit[0].isdigit() and used[0].isdigit():  # else "max"
            caches = [line.split() for line in _lines(group / "memory.stat")]
            freed = sum(int(words[1]) for words in caches if words[0] in {"inactive_file", "total_inactive_file"})
            yield int(limit[0]) - int(used[0]) + freed  # files that are cached make room


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Give the folders of the process's groups that may hold limits, its own and their parents."""
    mounts = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):  # "0::/a/b", "4:cpu,cpuacct:/a/b"
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            top = mounts
        elif controller in controllers.split(","):
            top = next((mounts / name for name in (controllers, controller) if (mounts / name).is_dir()), mounts)
        else:
            continue
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for count in range(len(parts), -1, -1):  # in a container the path may be the host's: then only the top is there
            yield top.joinpath(*parts[:count])


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

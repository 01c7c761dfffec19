"""A Ray cluster: connecting to it, quietly, and what it has room for."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def cluster() -> Iterator[Any]:
    """Connect to the cluster of RAY_ADDRESS, else to one that runs on this machine, else begin one; gives `ray`.

    Raises
    ------
    ValueError
        One line: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of its next release
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # and of actors that restart, which is what we want
    try:
        import ray
        import ray.data
    except ImportError:
        raise ValueError("the engine ray needs the ray extra: pip install 'refocal[ray]'") from None
    begun = not ray.is_initialized()
    try:
        if begun:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # noqa: BLE001  of Ray's many kinds
        where = os.environ.get("RAY_ADDRESS", "on this machine")
        raise ValueError(f"no Ray cluster answers ({where}): {' '.join(str(error).split())}") from None
    quieten(ray)
    try:
        yield ray
    finally:
        logging.disable(logging.NOTSET)
        if begun:
            ray.shutdown()


def quieten(ray: Any) -> None:
    """Let Ray Data go on where an actor died, without a word: what got lost with it is done again by us."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.disable(logging.ERROR)


def through_client(ray: Any) -> bool:
    """Tell whether the cluster is reached through Ray Client, ray://HOST:PORT, through which Ray Data cannot run."""
    return bool(ray.util.client.ray.is_connected())


def room(ray: Any, cpus: float, gpus: float = 0) -> int:
    """Return how many workers a cluster has room for, each with so many CPUs and GPUs.

    Raises
    ------
    ValueError
        Not for a single one.
    """
    has = ray.cluster_resources()
    rooms = [int(has.get(name, 0) // wanted) for name, wanted in (("CPU", cpus), ("GPU", gpus)) if wanted]
    if min(rooms, default=1) < 1:
        found = f"{has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs"
        raise ValueError(f"the Ray cluster has {found}, less than one worker takes")
    return min(rooms, default=1)

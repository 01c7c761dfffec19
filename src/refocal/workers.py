"""Worker processes and signals: a long run stops where nothing is lost, and leaves no process behind."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list instead of stopping; does nothing outside the main thread."""
    caught: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT) if main}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals_to_the_parent(_worker: int = 0) -> None:
    """Ignore signals in a worker: the parent gets them too, saves, and ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_the_parent() -> None:
    """End this worker when its parent is gone, however that ended."""
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

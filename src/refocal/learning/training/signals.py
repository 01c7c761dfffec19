"""How a training stops on a signal: at the end of a step, with everything saved."""

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


def leave_signals_to_the_parent(_worker: int) -> None:
    """Ignore signals in a data worker: the parent gets them too, saves, and ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

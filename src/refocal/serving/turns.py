"""Photos take turns: so many at once, the others in the order in which they came."""

import math
import threading
import time
from collections import deque
from types import TracebackType

RECENT = 0.2  # weight of the last photo in the mean of how long one takes


class Turns:
    """A semaphore that is fair, as those of `threading` are not, and knows how long its holders take.

    Parameters
    ----------
    at_once : int
        Holders at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._changed = threading.Condition()
        self._held, self._waiting = 0, deque[object]()
        self._seconds = 0.0  # that a holder takes, of late
        self._begun = threading.local()

    def __enter__(self) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._held < self.at_once and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._held += 1
            self._changed.notify_all()  # there may be room for the next one too
        self._begun.at = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        took = time.monotonic() - self._begun.at
        with self._changed:
            self._held -= 1
            if error is None:  # what is refused at once tells nothing
                self._seconds += (took - self._seconds) * (RECENT if self._seconds else 1)
            self._changed.notify_all()

    def wait(self, ahead: int) -> float:
        """Return the seconds that one more will wait, about, behind so many that hold or wait."""
        return math.ceil(max(0, ahead + 1 - self.at_once) / self.at_once) * self._seconds

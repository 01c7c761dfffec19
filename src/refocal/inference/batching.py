"""Micro-batching: concurrent runs of one model are joined into a batch, which keeps a GPU busy."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feed = Mapping[str, NDArray[Any]]


@dataclass
class _Batch:
    """Runs that form a batch: the inputs of each, and the outputs of all."""

    feeds: list[Feed] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    out: Sequence[NDArray[Any]] = ()
    error: Exception | None = None


class MicroBatcher:
    """An onnxruntime session whose concurrent runs of equal shapes are concatenated along the first axis.

    The first thread waits a moment for others, then runs for all of them. Everything but `run` is the session's.

    Parameters
    ----------
    session
        Whose inputs and outputs all have the batch as their first axis.
    most : int
        Runs in a batch.
    wait : float
        Seconds that the first of a batch waits for others.
    """

    def __init__(self, session: Any, most: int, wait: float = 0.005) -> None:
        self._session, self._most, self._wait = session, most, wait
        self._lock = threading.Lock()
        self._open: dict[object, _Batch] = {}  # batches that still wait for others, by the shapes of their runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Sequence[str] | None, feed: Feed) -> list[NDArray[Any]]:
        """Run the model on arrays whose first axis is 1; as onnxruntime's, whose errors all of a batch get."""
        shapes = tuple(sorted((name, value.shape, value.dtype.str) for name, value in feed.items()))
        with self._lock:
            first = shapes not in self._open
            batch = self._open.setdefault(shapes, _Batch())
            place = len(batch.feeds)
            batch.feeds.append(feed)
            if len(batch.feeds) == self._most:
                del self._open[shapes]
                batch.full.set()
        if first:
            batch.full.wait(self._wait)
            with self._lock:
                if self._open.get(shapes) is batch:
                    del self._open[shapes]
            self._run(names, batch)
        batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return [out[place : place + 1] for out in batch.out]

    def _run(self, names: Sequence[str] | None, batch: _Batch) -> None:
        try:
            joined = {name: np.concatenate([feed[name] for feed in batch.feeds]) for name in batch.feeds[0]}
            batch.out = self._session.run(names, joined)
        except Exception as error:  # noqa: BLE001  onnxruntime's errors share no class; each of the batch raises it
            batch.error = error
        finally:
            batch.done.set()

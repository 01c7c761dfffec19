"""The engine of many machines: Ray Data, with actors that open the model once.

The files of the model travel to the actors. Photos and outputs must lie where every machine reaches them by the same
path or URL: on a shared volume, or in an object store.
"""

import json
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from refocal.batch.photos import Photo
from refocal.batch.storage import StorageError
from refocal.batch.worker import BatchSettings, Line, Worker, died, model_files, with_files_in
from refocal.cluster import cluster, quieten, room, through_client

BLOCK = 8  # photos that an actor takes at once: few, since those of a machine that dies are done again
BLOCKS = 20_000  # of a batch at most: Ray's own work grows with their number
RETRIES = 1  # of a block whose actor died: a photo that kills its process must not go round for ever


def refocus_on_ray(
    photos: Sequence[Photo],
    settings: BatchSettings,
    out: str,
    *,
    workers: int,
    stopped: Callable[[], bool],
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[Line]:
    """Refocus photos on a Ray cluster and yield their lines of the manifest, as they come.

    The cluster is the one of RAY_ADDRESS, else one that runs on this machine, else one begun for this batch.

    Parameters
    ----------
    workers
        Actors; 0: as many as the cluster has CPUs, or GPUs, for.
    stopped
        Asked after each photo; once it is true what is at work is given up.
    cpus, gpus
        What an actor takes.

    Raises
    ------
    StorageError
        An output cannot be written.
    ValueError
        No cluster answers, or it has too little for a single actor.
    """
    with cluster() as ray:
        count = workers or room(ray, cpus, gpus)
        arguments = settings, out, ray.put(model_files(settings)), max(1, int(cpus))
        takes = {"num_cpus": cpus, **({"num_gpus": gpus} if gpus else {})}
        left = {photo.output: photo for photo in photos}
        for block in (max(BLOCK, len(photos) // BLOCKS), 1):  # what got lost with its actor: once more, each alone
            told = [*left.values()], block, count, arguments, takes
            for line in (_relayed(ray, *told) if through_client(ray) else _lines(ray, *told)) if left else ():
                if line["outcome"] == "stopped":
                    raise StorageError(line["error"])
                if left.pop(line["output"], None) is not None:
                    yield line
                if stopped():
                    return
        for photo in left.values():
            yield died(photo)


def _lines(
    ray: Any, photos: Sequence[Photo], block: int, count: int, arguments: tuple[Any, ...], takes: dict[str, float]
) -> Iterator[Line]:
    """Yield the lines of photos, `block` of which an actor takes at once; those whose actors died are missing."""
    rows = [json.dumps(asdict(photo)) for photo in photos]
    blocks = -(-len(rows) // block)
    # Alone means that no other photo waits at the actor either: it would die with it.
    with warnings.catch_warnings(action="ignore"):  # of what Ray 2.64 will call otherwise
        data = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            RayWorker,
            fn_constructor_args=arguments,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(count, blocks), max_tasks_in_flight_per_actor=1 if block == 1 else None
            ),
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": RETRIES},
            **takes,
        )
    for row in data.iter_rows():
        yield json.loads(row["line"])


def _relayed(ray: Any, *told: Any) -> Iterator[Line]:
    """Yield the lines that an actor on the cluster gathers, where Ray Data cannot run here."""
    relay = ray.remote(num_cpus=0)(Relay).remote(*told)
    while (lines := ray.get(relay.gathered.remote())) is not None:
        yield from lines


class Relay:
    """Runs Ray Data on the cluster for a command that reaches it by Ray Client alone; takes what `_lines` takes."""

    def __init__(self, *told: Any) -> None:
        import ray
        import ray.data

        quieten(ray)
        self.lines: SimpleQueue[Line | None] = SimpleQueue()
        threading.Thread(target=self._gather, args=(ray, *told), daemon=True).start()

    def _gather(self, ray: Any, *told: Any) -> None:
        try:
            for line in _lines(ray, *told):
                self.lines.put(line)
        finally:
            self.lines.put(None)

    def gathered(self) -> list[Line] | None:
        """Wait for lines and return those that are there; None at the end."""
        found = [self.lines.get()]
        while not self.lines.empty():
            found.append(self.lines.get())
        if found[-1] is None and len(found) > 1:
            self.lines.put(None)
        return [line for line in found if line is not None] or None


class RayWorker:
    """A `Worker` whose model came with the batch: what an actor of Ray Data runs.

    Parameters
    ----------
    settings : BatchSettings
    out : str
        Folder of the outputs.
    files : mapping
        As of `model_files`, or a reference to it.
    threads : int
        Of onnxruntime.
    """

    def __init__(self, settings: BatchSettings, out: str, files: Any, threads: int) -> None:
        import ray

        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        if isinstance(files, ray.ObjectRef):
            files = ray.get(files)
        with tempfile.TemporaryDirectory() as folder:
            self.worker = Worker(with_files_in(settings, files, Path(folder)), out, threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Refocus the photos of a batch."""
        return {"line": [self._line(Photo(**json.loads(row))) for row in batch["item"]]}

    def _line(self, photo: Photo) -> str:
        try:
            return json.dumps(self.worker(photo))
        except StorageError as error:
            return json.dumps({"outcome": "stopped", "output": photo.output, "error": str(error)})

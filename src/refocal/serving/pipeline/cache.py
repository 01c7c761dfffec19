"""A cache of disparities on disk: each photo is analysed once, by whichever worker, across restarts."""

import fcntl
import hashlib
import io
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
LOCKS = 64  # files that workers lock while they analyse


class Cache:
    """Arrays by key, in a folder of at most `limit` bytes; the least recently used are removed first.

    Parameters
    ----------
    folder : Path
        Created if needed, readable by its owner only. Safe for several processes.
    limit : int
        Bytes; 0 turns the cache off.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, key: str, make: Callable[[], Map]) -> Map:
        """Return the array of a key, else make and store it. A concurrent call for the same key waits for it."""
        name = hashlib.sha256(key.encode()).hexdigest()
        path = self.folder / f"{name}.npy"
        found = _read(path)
        if found is not None:
            return found
        with (self.folder / f"{int(name[:8], 16) % LOCKS}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel even if this process is killed
            found = _read(path)
            if found is None:
                found = make()
                self._keep(path, found)
        return found

    def _keep(self, path: Path, made: Map) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.rint(made * 32767).astype(np.int16))  # finer than any model resolves
        data = buffer.getvalue()
        if len(data) > self.limit:
            return
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            beside.write_bytes(data)
            beside.replace(path)
        except OSError:  # a full disk must not fail the request
            beside.unlink(missing_ok=True)
        self._bound()

    def _bound(self) -> None:
        kept = []
        for entry in os.scandir(self.folder):
            if entry.name.endswith(".npy"):
                try:
                    kept.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
                except FileNotFoundError:  # another worker was first
                    continue
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.limit:
                return
            Path(path).unlink(missing_ok=True)
            total -= size


def _read(path: Path) -> Map | None:
    try:
        stored = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        os.utime(path)  # used now
    except (OSError, ValueError):  # absent, or damaged: made anew
        return None
    return np.asarray(stored, np.float32) / np.float32(32767)

"""The manifest of a batch: JSON lines in the folder of the outputs, one a photo, by which a stopped batch goes on.

    {"photo": "in/a.jpg", "output": "a.jpg", "outcome": "done", "focus": 1.0, …}
    {"photo": "in/b.jpg", "output": "b.jpg", "outcome": "failed", "error": "b.jpg cannot be decoded: …", …}

Only the process that began the batch writes it, after the output of the photo is there. A share of a batch has a
manifest of its own; a batch that is no share gathers them.
"""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from refocal.batch.photos import Photo
from refocal.batch.storage import StorageError, in_one_line, is_local, one_line, opened, read, write
from refocal.batch.worker import Line

FLUSH_EVERY = 10.0  # s, where a file cannot be appended to and is written whole


class Manifest:
    """What became of the photos of a batch.

    Parameters
    ----------
    out : str
        Folder of the outputs, path or URL.
    share : (int, int), optional
        Number of this share, from 1, and how many there are; (1, 1): the whole batch.

    Attributes
    ----------
    lines
        Of all manifests of the folder, by the name of the output.
    outputs
        Names of the files in the folder.

    Raises
    ------
    ValueError
        One line: the folder cannot be read.
    """

    def __init__(self, out: str, share: tuple[int, int] = (1, 1)) -> None:
        self.out = out.rstrip("/") or "/"
        number, count = share
        self.name = "manifest.jsonl" if count == 1 else f"manifest.{number}-of-{count}.jsonl"
        self._gathers = count == 1
        self.system, self.folder = opened(out)
        self.outputs = self._files()
        self.lines: dict[str, Line] = {}
        self._others = [name for name in self.outputs if _is_manifest(name) and name != self.name]
        for name in [*self._others, *([self.name] if self.name in self.outputs else [])]:
            self.lines |= _parsed(read(f"{self.out}/{name}"))
        self._mine: list[str] = []

    def is_done(self, photo: Photo, made_with: str) -> bool:
        """Tell whether a photo is done: as it is now, with these settings, and its output still there."""
        line = self.lines.get(photo.output, {})
        same = line.get("made_with") == made_with and line.get("version", "") == photo.version
        return same and line.get("outcome") == "done" and photo.output in self.outputs

    def check(self, photos: Sequence[Photo], made_with: str) -> None:
        """Refuse to overwrite what this batch has not made.

        Raises
        ------
        ValueError
            One line: an output that no manifest knows, or one that was made with other settings.
        """
        for photo in photos:
            line = self.lines.get(photo.output)
            if line is None and photo.output in self.outputs and not self._begun:
                raise ValueError(f"{self.out}/{photo.output} is there already; --force overwrites it")
            if line is not None and line.get("outcome") == "done" and line.get("made_with") != made_with:
                raise ValueError(
                    f"{self.out}/{photo.output} was made with other settings or another model; name another folder, or "
                    "--force makes all anew"
                )

    @property
    def _begun(self) -> bool:
        """Whether a batch was begun here: then an output without a line is one that it was killed behind."""
        return self.name in self.outputs or bool(self._others)

    @contextmanager
    def writing(self, kept: Sequence[Photo]) -> "Iterator[Manifest]":
        """Write the lines of the photos that are kept, then what is added; all others are made anew.

        Raises
        ------
        ValueError
            One line: another batch writes here, or the folder cannot be written.
        """
        with self._locked():
            names = {photo.output for photo in kept}
            lines = [line for name, line in self.lines.items() if name in names]
            self._mine = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
            self._write_all()
            if self._gathers:
                for name in self._others:
                    self.system.rm_file(f"{self.folder}/{name}")
            with self._appending():
                yield self

    def add(self, line: Line) -> None:
        """Add what became of a photo."""
        self._mine.append(json.dumps(line, ensure_ascii=False) + "\n")
        self._flush()

    def _files(self) -> set[str]:
        with in_one_line(f"list {self.out}"):
            if not self.system.isdir(self.folder):
                return set()
            return {path[len(self.folder) :].lstrip("/") for path in self.system.find(self.folder)}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other batches of this machine away, those that write a share too; object stores have no locks."""
        if not is_local(self.system):
            yield
            return
        with in_one_line(f"write {self.out}"):
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            for name in [self.name, *(self._others if self._gathers else [])]:
                held.enter_context(self._lock(Path(self.folder) / f".{name}.lock"))
            yield

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        with ExitStack() as opened_files:
            try:
                file = opened_files.enter_context(path.open("w"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"another batch writes to {self.out}") from None
            except OSError as error:
                raise ValueError(f"cannot write {self.out}: {one_line(error)}") from None
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def _write_all(self) -> None:
        write(f"{self.out}/{self.name}", "".join(self._mine).encode("utf-8", "surrogateescape"))

    @contextmanager
    def _appending(self) -> Iterator[None]:
        if is_local(self.system):
            self._mine.clear()
            with (Path(self.folder) / self.name).open("ab") as self._file:
                self._flush = self._append
                yield
            return
        self._due, self._flush = time.monotonic() + FLUSH_EVERY, self._write_if_due
        try:
            yield
        finally:
            self._write_all()

    def _append(self) -> None:
        with in_one_line(f"write {self.out}/{self.name}", StorageError):
            self._file.write("".join(self._mine).encode("utf-8", "surrogateescape"))
            self._file.flush()
        self._mine.clear()

    def _write_if_due(self) -> None:
        """Write all, at most every ten seconds and in a tenth of the time."""
        start = time.monotonic()
        if start >= self._due:
            self._write_all()
            end = time.monotonic()
            self._due = end + max(FLUSH_EVERY, 10 * (end - start))


def _is_manifest(name: str) -> bool:
    return "/" not in name and name.startswith("manifest.") and name.endswith(".jsonl")


def _parsed(content: bytes) -> dict[str, Line]:
    """Return the lines by output; one that a power cut damaged is no line."""
    lines = {}
    for text in content.decode("utf-8", "surrogateescape").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("output"), str):
                lines[line["output"]] = line
    return lines

"""Files wherever they lie: local paths, and URLs that fsspec opens (s3, gs, az, sftp …).

Credentials and endpoints are those of each library, or fsspec's own: FSSPEC_S3_ENDPOINT_URL=… is a keyword of s3fs
(https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration).
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from refocal.images.image import written_beside

WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}  # where what is being written has no name yet
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "sftp": "sftp"}
VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "mtime_ns")


class StorageError(ValueError):
    """What is written to cannot be: not one photo's fault, so the batch ends."""


@contextmanager
def in_one_line(action: str, kind: type[ValueError] = ValueError) -> Iterator[None]:
    """Turn whatever the library of a file system raises into one line, "cannot `action`: why"."""
    try:
        yield
    except FileNotFoundError:
        raise kind(f"cannot {action}: no such file or folder") from None
    except Exception as error:  # noqa: BLE001  each library has its own errors
        raise kind(f"cannot {action}: {one_line(error)}") from None


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path there.

    Raises
    ------
    ValueError
        One line: an unknown kind of URL, a library that is not installed, credentials that are missing.
    """
    if "://" not in url or Path(url).exists():  # names of local files may look like fsspec's chains
        return LocalFileSystem(), os.path.abspath(url)  # noqa: PTH100  links stay links
    protocol = url.partition("://")[0]
    with in_one_line(f"open {url}"):
        try:
            system, path = fsspec.core.url_to_fs(url)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            remedy = f"pip install 'refocal[{extra}]'" if extra else str(error)
            raise ValueError(f"the library for {protocol}:// is not installed: {remedy}") from None
    return system, str(path)


def is_local(system: Any) -> bool:
    """Tell whether a file system is this machine's, or mounted on it."""
    return isinstance(system, LocalFileSystem)


def read(url: str) -> bytes:
    """Return what a file holds; ValueError, in one line that names it, where it cannot be read."""
    system, path = opened(url)
    with in_one_line(f"read {url}"):
        return bytes(system.cat_file(path))


def write(url: str, data: bytes) -> None:
    """Write a file whole, and the folders above it; StorageError, in one line that names it, where that fails."""
    system, path = opened(url)
    with in_one_line(f"write {url}", StorageError):
        if is_local(system):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with written_beside(Path(path)) as beside:
                beside.write_bytes(data)
        elif protocols_of(system) & WHOLE:
            system.pipe_file(path, data)
        else:
            folder, _, name = path.rpartition("/")
            system.makedirs(folder, exist_ok=True)
            beside_path = f"{folder}/.{secrets.token_hex(8)}.{name}"
            system.pipe_file(beside_path, data)
            system.mv(beside_path, path)


def url_of(system: Any, path: str) -> str:
    """Return what `opened` takes for a file: a plain path of this machine's, else a URL."""
    return path if is_local(system) else str(system.unstrip_protocol(path))


def protocols_of(system: Any) -> set[str]:
    """Return the names by which URLs call a file system."""
    names = system.protocol
    return {names} if isinstance(names, str) else set(names)


def version_of(info: dict[str, Any]) -> str:
    """Return what tells a file from an earlier one of the same name: its size and when, or as what, it was stored."""
    when = next((str(info[key]) for key in VERSIONS if info.get(key) is not None), "")
    return f"{info.get('size')} {when}".strip()


def one_line(error: BaseException) -> str:
    """Return what an error says in one line; its name where it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__

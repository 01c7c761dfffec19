"""Files that survive a power cut: written beside, flushed to the disk, renamed, and the folder flushed too.

A rename alone may reach the disk before what was written: then an empty file has the name.
"""

import errno
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


def write(path: Path, data: bytes) -> None:
    """Write a file whole: what has its name is complete, whatever happens."""
    beside = path.with_name(f".{path.name}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            flush(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush(descriptor: int) -> None:
    """Wait until the disk has what was written."""
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no flushing of folders
            raise
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises
    ------
    ValueError
        One line: it is damaged.
    OSError
        It is not there, or cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is damaged")  # noqa: TRY004  damage, not a wrong argument
    return content


def is_full(error: BaseException) -> bool:
    """Tell whether the disk, not the photo, is why something failed: it may go well later."""
    return isinstance(error, OSError) and error.errno in _FULL


def check_locks(folder: Path) -> None:
    """Refuse a folder whose file system has no locks: several workers would do the same photos.

    Raises
    ------
    ValueError
        One line that names the folder.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"REFOCAL_DIR: {folder} cannot be written and locked ({reason}); name a local folder"
        ) from None

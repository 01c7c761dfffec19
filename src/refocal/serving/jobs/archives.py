"""Photos from an uploaded ZIP archive, without writing anything to disk."""

import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

RATIO = 100  # of unpacked to packed size: photos hardly shrink, zip bombs do
CHUNK = 1 << 20
IGNORED = ("__MACOSX/", "._", ".DS_Store", "Thumbs.db", "desktop.ini")  # what operating systems add


def photos_of(archive: BinaryIO, *, max_files: int, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a ZIP archive; nothing is written to disk.

    Parameters
    ----------
    archive : binary file
        Seekable; read as it lies on the disk, an entry at a time.
    max_files : int
        Maximum number of files.
    max_bytes : int
        Maximum size of all files, unpacked; counted while reading, whatever the archive claims.

    Raises
    ------
    ValueError
        One line: no ZIP archive, damaged, encrypted, too many or too large, packed too densely, a name that leads
        elsewhere, a link, an archive in the archive. Other names are as they are: nothing is ever written under them.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _entries(opened, max_files)
            left = max_bytes
            for entry in entries:
                data = _read(opened, entry, left)
                left -= len(data)
                yield entry.filename, data
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, UnicodeError) as error:
        raise ValueError(f"archive is no ZIP file that can be read: {error}") from None
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"archive is damaged: {type(error).__name__}") from None  # zlib and lzma have their own


def _entries(opened: zipfile.ZipFile, max_files: int) -> list[zipfile.ZipInfo]:
    """Return the entries that are files, after checking all of them."""
    entries = [entry for entry in opened.infolist() if not _ignored(entry)]
    if not entries:
        raise ValueError("archive has no files in it")
    if len(entries) > max_files:
        raise ValueError(f"archive has {len(entries)} files, more than the {max_files} allowed")
    for entry in entries:
        _check(entry)
    _check_places(entries)
    return entries


def _ignored(entry: zipfile.ZipInfo) -> bool:
    parts = _path(entry).parts
    return entry.is_dir() or not parts or IGNORED[0].strip("/") in parts or parts[-1].startswith(IGNORED[1:])


def _path(entry: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(entry.filename.replace("\\", "/"))  # some tools of Windows write the latter


def _check(entry: zipfile.ZipInfo) -> None:
    name, path = entry.filename, _path(entry)
    drive = re.match(r"[A-Za-z]:", name)
    if path.is_absolute() or ".." in path.parts or drive or any(unicodedata.category(char) == "Cc" for char in name):
        raise ValueError(f"archive holds a name that leads elsewhere: {name!r}")
    mode = entry.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0):
        raise ValueError(f"archive holds {name!r}, which is a link or a device, no file")
    if entry.flag_bits & 1:
        raise ValueError(f"archive holds {name!r}, which is encrypted")
    if path.suffix.lower() == ".zip":
        raise ValueError(f"archive holds another archive: {name!r}")
    if entry.file_size > CHUNK and entry.file_size > RATIO * max(entry.compress_size, 1):
        raise ValueError(f"archive holds {name!r}, which unpacks to more than {RATIO} times its size")


def _check_places(entries: list[zipfile.ZipInfo]) -> None:
    """Reject entries that share bytes, as zip bombs do (Fifield, "A better zip bomb", WOOT 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise ValueError(f"archive holds {entry.filename!r}, which lies inside another file of it")
        end = entry.header_offset + 30 + entry.compress_size


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes:
    parts = bytearray()
    with opened.open(entry) as stream:
        while chunk := stream.read(CHUNK):
            parts += chunk
            if len(parts) > left:
                raise ValueError("archive unpacks to more bytes than are allowed")
            if len(parts) > CHUNK and len(parts) > RATIO * max(entry.compress_size, 1):
                raise ValueError(f"archive holds {entry.filename!r}, which unpacks to more than {RATIO} times its size")
    return bytes(parts)

"""ZIP files of strangers: photos come out; what is built to harm is refused with one line."""

import io
import stat
import struct
import warnings
import zipfile
import zlib

import pytest

from refocal.serving.jobs.archives import photos_of

LIMITS = {"max_files": 10, "max_bytes": 5_000_000}


def zip_of(*files: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def info_of(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def overlapping() -> bytes:
    """Two names for the same bytes, as the better zip bombs have."""
    data = bytearray(zip_of(("a.jpg", b"x" * 1000), ("b.jpg", b"x" * 1000)))
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]  # the offset of the local header
    return bytes(data)


def lying() -> bytes:
    """Return a file that unpacks to more than its head tells."""
    data = bytearray(zip_of(("a.jpg", b"\0" * 40_000_000)))
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 1000)
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(zip_of(("a.jpg", b"x")))
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


GOOD = zip_of(("a.jpg", b"x" * 5000))
HOSTILE = {
    "no zip": b"hello",
    "empty": b"",
    "nothing inside": zip_of(),
    "folders alone": zip_of(("a/", b"")),
    "truncated": GOOD[:-10],
    "damaged inside": GOOD[:40] + b"\xff" * 5 + GOOD[45:],
    "up": zip_of(("../a.jpg", b"x")),
    "up inside": zip_of(("a/../../b.jpg", b"x")),
    "absolute": zip_of(("/etc/passwd", b"x")),
    "backslash": zip_of(("..\\a.jpg", b"x")),
    "drive": zip_of(("C:a.jpg", b"x")),
    "control": zip_of(("a\x1b[2J.jpg", b"x")),
    "link": zip_of((info_of("a.jpg", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "device": zip_of((info_of("a.jpg", stat.S_IFCHR | 0o666), b"")),
    "encrypted": encrypted(),
    "nested": zip_of(("more.ZIP", GOOD)),
    "bomb": zip_of(("a.jpg", b"\0" * 4_900_000)),
    "large": zip_of(("a.jpg", bytes(range(256)) * 10_000), ("b.jpg", bytes(range(256)) * 10_000), compression=0),
    "many": zip_of(*[(f"{k}.jpg", b"x") for k in range(11)]),
    "overlapping": overlapping(),
    "lying": lying(),
    "odd method": GOOD.replace(struct.pack("<HH", 0, 8), struct.pack("<HH", 0, 97)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_with_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="archive") as caught:
        list(photos_of(io.BytesIO(HOSTILE[name]), **LIMITS))
    assert "\n" not in str(caught.value)


def test_a_good_archive_gives_its_photos_and_leaves_out_what_systems_add() -> None:
    files = [("a.jpg", b"one"), ("sub/b.png", b"two"), ("__MACOSX/a.jpg", b"x"), ("sub/.DS_Store", b"x")]
    files += [("sub/._b.png", b"x"), ("._a.jpg", b"x"), ("desktop.ini", b"x"), ("a/__MACOSX/b.jpg", b"x")]
    assert list(photos_of(io.BytesIO(zip_of(*files)), **LIMITS)) == files[:2]


@pytest.mark.parametrize(
    "name",
    [
        "Screenshot 2026-01-02 at 9.41.00\u202fAM.jpg",
        "Screenshot 2026-01-02 12:30:00.jpg",
        "holiday\\IMG_1.jpg",
        "caf\u00e9\u00a0noir.jpg",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467.jpg",
        "\u200eIMG-20260102-WA0001.jpg",
        "IMG_1.MOV",
    ],
)
def test_names_as_systems_make_them_are_kept(name: str) -> None:
    assert list(photos_of(io.BytesIO(zip_of((name, b"x"))), **LIMITS)) == [(name, b"x")]


def test_a_small_file_that_shrinks_well_is_no_bomb() -> None:
    blank = zlib.compress(b"") + b"\0" * 100_000
    assert next(photos_of(io.BytesIO(zip_of(("a.png", blank))), **LIMITS))[1] == blank

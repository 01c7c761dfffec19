"""The result of a batch: one ZIP file of images, and a manifest of what became of each photo."""

import json
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any


def pack(path: Path, names: list[str]) -> None:
    """Write result.zip: the images under unique names, and a manifest of the outcomes."""
    manifest, taken = [], {"manifest.json"}
    beside = path / ".result.zip"
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:  # pictures do not shrink
        for number, name in enumerate(names):
            end = path / "out" / f"{number:04d}.json"
            outcome = read(end)
            suffix = outcome.pop("suffix", None)
            if suffix is not None:
                outcome["output"] = _free(PurePosixPath(name).stem or "photo", suffix, taken)
                archive.write(end.with_suffix(".bin"), outcome["output"])
            manifest.append({"name": name, **outcome})
        archive.writestr("manifest.json", json.dumps({"photos": manifest}, indent=2))
    beside.rename(path / "result.zip")
    for picture in (path / "out").glob("*.bin"):
        picture.unlink()


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    stem = re.sub(r"[^\w. ()+-]", "_", stem)[:100].strip(". ") or "photo"
    number, name = 1, f"{stem}.{suffix}"
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}.{suffix}"
    taken.add(name.lower())
    return name


def read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content

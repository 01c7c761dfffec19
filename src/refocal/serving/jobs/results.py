"""The result of a batch: one ZIP file of images, and a manifest of what became of each photo."""

import json
import re
import zipfile
from pathlib import Path, PurePosixPath

from refocal.serving.jobs.files import flush, flush_folder, read


def pack(path: Path, names: list[str]) -> None:
    """Write result.zip: the images under unique names, and a manifest of the outcomes."""
    manifest, taken = [], {"manifest.json"}
    beside = path / ".result.zip"
    with beside.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # pictures do not shrink
            for number, name in enumerate(names):
                end = path / "out" / f"{number:04d}.json"
                outcome = read(end)
                suffix = outcome.pop("suffix", None)
                if suffix is not None:
                    stem = PurePosixPath(name.replace("\\", "/")).stem
                    outcome["output"] = _free(stem or "photo", str(suffix), taken)
                    archive.write(end.with_suffix(".bin"), outcome["output"])
                manifest.append({"name": name, **outcome})
            archive.writestr("manifest.json", json.dumps({"photos": manifest}, indent=2))
        flush(file.fileno())
    beside.rename(path / "result.zip")
    flush_folder(path)
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

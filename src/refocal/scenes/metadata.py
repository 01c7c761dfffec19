"""The metadata of a prepared scene, scene.json: checked when written and when read."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

VERSION = 1
Kind = Literal["light_field", "focal_stack", "rgbd", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITHOUT_STACK = ("rgbd", "mask")  # kinds that have a photo and what is known of its depth, and no focal stack


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a scene.json says; a ValueError of one line where it is missing, damaged or of another version."""
    metadata = read_json(path)
    check_metadata(metadata, str(path))
    return metadata


def check_metadata(metadata: Mapping[str, Any], where: str) -> None:
    """Raise a ValueError of one line, beginning with `where`, unless the metadata make a scene."""
    try:
        focus, trained = [float(level) for level in metadata["focus"]], list(metadata["trained"])
        far, near = (float(slope) for slope in metadata["slope_range"])
        aperture, grid = float(metadata["aperture"]), [int(views) for views in metadata["grid"]]
        _ = str(metadata["group"]), str(metadata["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged: {type(error).__name__} {error}") from None
    if metadata.get("kind", KINDS[0]) not in KINDS:
        raise ValueError(f"{where}: kind must be one of {', '.join(KINDS)}, got {metadata['kind']!r}")
    if not focus and metadata.get("kind") in WITHOUT_STACK:
        pass
    elif not focus or focus != sorted(set(focus)) or not -1 <= focus[0] <= focus[-1] <= 1:
        raise ValueError(f"{where}: focus levels must rise within [-1, 1], got {focus}")
    if len(trained) != len(focus):
        raise ValueError(f"{where}: trained must say yes or no for each of {len(focus)} levels, got {len(trained)}")
    if not (math.isfinite(far) and math.isfinite(near) and near > far and math.isfinite(aperture) and aperture > 0):
        raise ValueError(f"{where}: needs near > far and aperture > 0, got slopes ({far}, {near}), aperture {aperture}")
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"{where}: grid must be two positive numbers, got {grid}")
    if "views" in metadata:
        _check_views(metadata["views"], grid, where)


def _check_views(views: Any, grid: list[int], where: str) -> None:
    """Raise a ValueError of one line unless kept views lie at different places of the grid."""
    try:
        places, linear = [(int(u), int(v)) for u, v in views["places"]], views["linear"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged: views: {type(error).__name__} {error}") from None
    outside = [place for place in places if not (0 <= place[0] < grid[0] and 0 <= place[1] < grid[1])]
    if not places or outside or len(set(places)) < len(places) or not isinstance(linear, bool):
        raise ValueError(f"{where}: views must say linear or not, and different places in a grid of {grid}")


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a file of this version; a ValueError of one line otherwise."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else content
        raise ValueError(
            f"{path} must be of version {VERSION}, got {found!r}; prepare the scenes again (stage `stack`)"
        )
    return content


def as_json(content: Mapping[str, Any]) -> str:
    """Return the text of such a file."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

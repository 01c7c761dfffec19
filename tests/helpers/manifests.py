"""The manifest of a batch, as tests read it."""

import json
from pathlib import Path
from typing import Any


def lines_of(folder: Path, name: str = "manifest.jsonl") -> dict[str, dict[str, Any]]:
    """Return the lines of a manifest by output, each there once."""
    lines = [json.loads(text) for text in (folder / name).read_text().splitlines()]
    assert len({line["output"] for line in lines}) == len(lines)
    return {line["output"]: line for line in lines}

"""`python -m refocal.stages.preset NAME`: print a preset as options of `dvc exp run`.

    dvc exp run $(python -m refocal.stages.preset depthfield) -S train.epochs=50

A preset is a file of presets/ that holds what differs from `sample`, whose values are those of params.yaml. `make repro
PRESET=NAME` runs it; `dvc exp show` shows its name as the parameter `preset`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDER, DEFAULT = Path("presets"), "sample"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the options on one line and return the exit code: 0, or 2 after one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print(f"usage: python -m refocal.stages.preset NAME, one of {', '.join(presets())}", file=sys.stderr)
        return 2
    try:
        print(" ".join(options(arguments[0])))
    except ValueError as error:
        print(f"preset: {error}", file=sys.stderr)
        return 2
    return 0


def presets() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """Return every value that a preset sets, by dotted name: those of `sample`, and its own in their place.

    Raises
    ------
    ValueError
        One line: no such preset, or a key that `sample` does not have.
    """
    if name not in presets():
        raise ValueError(f"there is no preset {name}: one of {', '.join(presets())} is wanted")
    values, own = (_flat(yaml.safe_load((FOLDER / f"{one}.yaml").read_text("utf-8"))) for one in (DEFAULT, name))
    unknown = sorted(own.keys() - values.keys())
    if unknown:
        raise ValueError(f"{FOLDER / f'{name}.yaml'}: {unknown[0]} is missing in {FOLDER / f'{DEFAULT}.yaml'}")
    return {"preset": name} | values | own


def options(name: str) -> list[str]:
    """Return a preset as options, "-S", "train.epochs=100", …; values as JSON without spaces, which Hydra reads."""
    written = ((key, json.dumps(value, separators=(",", ":"))) for key, value in read_preset(name).items())
    return [part for key, value in written for part in ("-S", f"{key}={value.replace(chr(34), '')}")]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted name; `weights`, whose keys are the user's, stays one value."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) and key != "weights" else {name: value}
    return found


if __name__ == "__main__":
    sys.exit(main())

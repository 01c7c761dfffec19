"""The stages of dvc.yaml, one module each: read the own section of params.yaml, call the wings, write outputs."""

import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Run a stage as a program: what is wrong with its input becomes one line and exit status 2."""
    try:
        main()
    except ValueError as error:
        print(f"refocal: {error}", file=sys.stderr)
        sys.exit(2)

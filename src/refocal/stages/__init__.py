"""The stages of dvc.yaml, one module each: read a section of params.yaml, call the packages, write outputs."""

import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage as a program: errors are printed in one line, and DVC reads the exit code.

    0: done; 2: bad input (ValueError), or a disk that is full or away (OSError); 130 and 143: interrupted by Ctrl-C or
    SIGTERM. SIGTERM unwinds like Ctrl-C, so that half-written files are cleared away and workers end; a stage that has
    more to save sets a handler of its own.
    """
    signal.signal(signal.SIGTERM, _terminated)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # for people: no line of source
    stage = Path(sys.argv[0]).stem
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"{stage}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{stage}: interrupted; what is finished is kept", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature of a signal handler
    sys.exit(128 + number)

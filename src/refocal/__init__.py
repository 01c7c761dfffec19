"""refocal: take one photo, choose where its focus lies afterwards.

A light field holds many views of a scene; averaged along a slope they give the photo focused at a chosen depth
(`LightField`, `shift_and_add`, `focal_stack`), and their disparity (`find_depth`; of a focus bracket `fuse_bracket`)
lets a larger lens be rendered. A generator learns from such focal stacks to refocus a single ordinary
photo; exported to ONNX it is used through `Refocuser`. Importing this package imports nothing heavy: each name is
loaded when it is first touched.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader

from refocal.resources import keep_threads_within_quota

if TYPE_CHECKING:
    from refocal.depth.from_focus.bracket import fuse_bracket as fuse_bracket
    from refocal.depth.from_views.light_field import find_depth as find_depth
    from refocal.lightfields.lightfield import LightField as LightField
    from refocal.model.refocuser import Refocuser as Refocuser
    from refocal.shiftadd.shift_and_add import focal_stack as focal_stack
    from refocal.shiftadd.shift_and_add import shift_and_add as shift_and_add

_attach, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "depth.from_focus.bracket": ["fuse_bracket"],
        "depth.from_views.light_field": ["find_depth"],
        "lightfields.lightfield": ["LightField"],
        "shiftadd.shift_and_add": ["focal_stack", "shift_and_add"],
        "model.refocuser": ["Refocuser"],
    },
)


def __getattr__(name: str) -> object:
    """Load a public name when it is first touched; what an extra would bring is said in one line."""
    try:
        return _attach(name)
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] == "refocal":
            raise  # ours: a bug, and its traceback is wanted
        line = f"refocal.{name} needs the pipeline extra: pip install 'refocal[pipeline]' (no {error.name} here)"
        raise ImportError(line, name=error.name) from None


def _place_for_compiled_code() -> None:
    """Let numba keep what it compiles in the temporary folder where neither the package nor the home can be written.

    It would refuse to start: a package that root installed, run by a user without a home, as in many containers.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  raises without a home
    there = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    if "NUMBA_CACHE_DIR" in os.environ or any(os.access(place, os.W_OK) for place in (Path(__file__).parent, there)):
        return
    import tempfile

    os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"refocal-numba-{os.getuid()}")


_place_for_compiled_code()
keep_threads_within_quota(os.environ)  # before any of them is loaded
__version__ = "0.1.0"

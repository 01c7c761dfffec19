"""refocal: take one photo, choose where its focus lies afterwards.

A light field holds many views of a scene; averaged along a slope they give the photo focused at a chosen depth
(`LightField`, `shift_and_add`, `focal_stack`), and their disparity (`find_depth`; of a focus bracket `fuse_bracket`)
lets a larger lens be rendered. A generator learns from such focal stacks to refocus a single ordinary
photo; exported to ONNX it is used through `Refocuser`. Importing this package imports nothing heavy: each name is
loaded when it is first touched.
"""

from typing import TYPE_CHECKING

import lazy_loader

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


__version__ = "0.1.0"

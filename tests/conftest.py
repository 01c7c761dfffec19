"""What all tests share: where real captures lie, and a quiet, fixed environment."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests' figures are those of the CPU


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real captures, or skip where there is none."""
    path = Path(os.environ.get("REFOCAL_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real captures at {path}; set REFOCAL_REAL_DATA")
    return path


@pytest.fixture(scope="session", autouse=True)
def exports_are_not_traced() -> Iterator[None]:
    """Pause coverage in torch's exporter: of its millions of calls few are ours, and traced it takes twice as long."""

    def pausing(function: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*args: Any, **kwargs: Any) -> Any:
            tracer = sys.gettrace()
            sys.settrace(None)
            try:
                return function(*args, **kwargs)
            finally:
                sys.settrace(tracer)

        return paused

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", pausing(torch.onnx.export))
        patch.setattr(torch.export, "export", pausing(torch.export.export))
        yield

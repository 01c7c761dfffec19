"""What all tests share: where real captures lie, and a quiet, fixed environment."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests' figures are those of the CPU


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real captures, or skip where there is none."""
    path = Path(os.environ.get("REFOCAL_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real captures at {path}; set REFOCAL_REAL_DATA")
    return path

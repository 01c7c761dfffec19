"""The package's door: public names load when touched, and say what they need."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT = "import sys; sys.modules['numba'] = None; import refocal; refocal.shift_and_add"


def test_a_name_whose_library_is_missing_gives_the_line_to_run() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.endswith(
        "refocal.shift_and_add needs the pipeline extra: pip install 'refocal[pipeline]' (no numba here)"
    )


def test_compiled_code_goes_to_the_temporary_folder_where_no_other_can_be_written(tmp_path: Path) -> None:
    """As in a container where root installed the package, and its user has no home."""
    code = """
import os, sys
os.access = lambda place, how: False
import refocal
print(os.environ.get("NUMBA_CACHE_DIR", "none"))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": "/nonexistent"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == f"{tmp_path}/refocal-numba-{os.getuid()}"
    done = subprocess.run(
        [sys.executable, "-c", code.replace("False", "True")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.strip() == "none"

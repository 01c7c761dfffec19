"""The package's door: public names load when touched, and say what they need."""

import subprocess
import sys

WITHOUT = "import sys; sys.modules['numba'] = None; import refocal; refocal.shift_and_add"


def test_a_name_whose_library_is_missing_gives_the_line_to_run() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.endswith(
        "refocal.shift_and_add needs the pipeline extra: pip install 'refocal[pipeline]' (no numba here)"
    )

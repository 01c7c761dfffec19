"""What tests of the command line share: a folder as a user has it, and a way to run lines."""

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_model import PROPS, write_model

from refocal.cli import main

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs a command line as a shell would; -> exit code, stdout, stderr."""

    def run_line(line: str) -> tuple[int, str, str]:
        code = main(shlex.split(line)[1:])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder that holds a photo and a model, as a user would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFOCAL_MODEL", raising=False)
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models" / "refocal.onnx", PROPS)
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    noise = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
    noise.save(tmp_path / "garden.jpg", exif=exif, quality=95)
    return tmp_path


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render two tiny light fields by the command itself."""
    folder = tmp_path_factory.mktemp("sample") / "data"
    assert main(["sample", "-o", str(folder), "--scenes", "2", "--grid", "3", "--size", "64x72"]) == 0
    return folder

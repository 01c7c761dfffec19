"""What tests of batches share: photos in a folder, a tiny model, and a way to break the process of one photo."""

from pathlib import Path

import numpy as np
import pytest
from tiny_model import PROPS, write_lens_models

from refocal.images.image import write_image

BOMB = """
import importlib.abc, os, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "refocal.batch.worker":
            import refocal.batch.storage as storage
            read = storage.read
            def armed(url):
                if "bomb" in url:
                    os._exit(9)
                return read(url)
            storage.read = armed
        return None
sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a model and six photos in `in`, one of them no photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFOCAL_MODEL", raising=False)
    (tmp_path / "models").mkdir()
    write_lens_models(tmp_path / "models/refocal.onnx", PROPS | {"weights": "tiny"})
    (tmp_path / "in/more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "c.tif", "more/d.jpg", "more/e.webp"):
        write_image(tmp_path / "in" / name, random.integers(0, 256, (40, 60, 3), np.uint8))
    (tmp_path / "in/f.jpg").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PYTHONPATH under which a process ends, as one that takes all memory would, when it reads a bomb."""
    folder = tmp_path_factory.mktemp("patch")
    (folder / "sitecustomize.py").write_text(BOMB)
    return str(folder)


@pytest.fixture
def bomb(archive: Path, armed: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add a photo that ends the process that reads it."""
    monkeypatch.setenv("PYTHONPATH", armed)
    (archive / "in/bomb.jpg").write_bytes((archive / "in/a.jpg").read_bytes())
    return archive

"""What tests of the training share: one thread, and scenes small enough to train on."""

from collections.abc import Iterator

import pytest
import torch
from tiny_scenes import write_tiny_scenes
from tiny_training import SPLITS

from refocal.scenes.scene import Scene


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread, and long where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_tiny_scenes(tmp_path_factory.mktemp("scenes"), SPLITS)

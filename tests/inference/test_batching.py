"""What goes through a model together comes out as it does alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_model import PROPS, write_lens_models

from refocal.inference.batching import MicroBatcher
from refocal.model.refocuser import Refocuser


@pytest.fixture
def lens(tmp_path: Path) -> Path:
    return write_lens_models(tmp_path / "lens.onnx", PROPS | {"weights": "abc"})


class Doubling:
    """A session that doubles, and remembers how many it was given at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, names: Any, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        self.sizes.append(len(feed["x"]))
        if (feed["x"] < 0).any():
            raise RuntimeError("negative")
        return [2 * feed["x"], feed["x"] + 1]

    def get_providers(self) -> list[str]:
        return ["here"]


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do so many works, all starting together; errors are returned."""
    gate = threading.Barrier(count)

    def one(k: int) -> Any:
        gate.wait()
        try:
            return work(k)
        except RuntimeError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_each_gets_its_own_and_no_batch_is_larger_than_allowed() -> None:
    inner = Doubling()
    session = MicroBatcher(inner, most=4, wait=0.5)
    given = [np.full((1, 3), k, np.float32) for k in range(10)]
    for k, (doubled, more) in enumerate(at_once(10, lambda k: session.run(None, {"x": given[k]}))):
        np.testing.assert_array_equal(doubled, 2 * given[k])
        np.testing.assert_array_equal(more, given[k] + 1)
    assert sum(inner.sizes) == 10
    assert max(inner.sizes) == 4
    assert session.get_providers() == ["here"]


def test_other_shapes_do_not_go_together() -> None:
    inner = Doubling()
    session = MicroBatcher(inner, most=4, wait=0.2)
    out = at_once(4, lambda k: session.run(None, {"x": np.zeros((1, 3 + k % 2), np.float32)})[0].shape)
    assert out == [(1, 3), (1, 4), (1, 3), (1, 4)]
    assert sorted(inner.sizes) == [2, 2]


def test_an_error_reaches_all_of_the_batch_and_none_of_the_next() -> None:
    session = MicroBatcher(Doubling(), most=2, wait=0.5)
    found = at_once(2, lambda k: session.run(None, {"x": np.full((1, 1), -k, np.float32)}))
    assert [str(error) for error in found] == ["negative", "negative"]
    assert session.run(None, {"x": np.ones((1, 1), np.float32)})[0] == 2


def test_photos_refocused_together_are_those_refocused_alone(lens: Path) -> None:
    alone, together = Refocuser(lens, threads=1), Refocuser(lens, threads=1, batch=3)
    photos = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), dtype=np.uint8)
    focus = np.linspace(-1, 1, 6)
    made = at_once(6, lambda k: together(photos[k], float(focus[k]), 4))
    for k, picture in enumerate(made):
        np.testing.assert_allclose(picture.astype(int), alone(photos[k], float(focus[k]), 4), atol=1)


@pytest.mark.parametrize("batch", [0, 1.5, True])
def test_a_batch_is_a_number_of_runs(lens: Path, batch: Any) -> None:
    with pytest.raises(ValueError, match="batch must be an integer, at least 1"):
        Refocuser(lens, batch=batch)

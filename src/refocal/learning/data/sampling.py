"""Which scene and level an index stands for: an order that depends on the seed and the epoch alone."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from refocal.learning.examples import ORDER
from refocal.scenes.scene import Scene

Pair = tuple[Scene, int]  # a scene and the number of one of its levels; -1 where it has none


def trained_pairs(scenes: Sequence[Scene], split: str) -> list[Pair]:
    """Return the (scene, level) pairs of one split, only the levels that are trained on, by scene name and level."""
    chosen = sorted((scene for scene in scenes if scene.split == split), key=lambda scene: scene.name)
    return [(scene, level) for scene in chosen for level in _levels(scene)]


def _levels(scene: Scene) -> list[int]:
    if not scene.focus:
        return [-1]
    return [level for level, trained in enumerate(scene.trained) if trained]


def check_sizes(pairs: Sequence[Pair], crop: int) -> None:
    """Raise a ValueError that names the first scene that is smaller than a crop."""
    for scene in {scene.name: scene for scene, _ in pairs}.values():
        height, width = scene.photo().shape[:2]
        if min(height, width) < crop:
            raise ValueError(
                f"scene {scene.name} is {height} x {width} pixels, smaller than crop = {crop}: "
                f"at most crop = {min(height, width)} fits it"
            )


def epoch_entries(scenes: Sequence[Scene], times: int, weights: Mapping[str, float]) -> NDArray[np.intp]:
    """Return the numbers of the scenes, each as often as an epoch takes it; fractions are spread evenly."""
    share = [times * weights.get(scene.source.split("/")[0], weights.get(scene.kind, 1)) for scene in scenes]
    ends = np.floor(np.cumsum([0.0, *share]) + 1e-6).astype(int)
    chosen = np.repeat(np.arange(len(scenes)), np.diff(ends))
    if not len(chosen):
        raise ValueError(f"weights {dict(weights)} leave no scene to train on")
    return chosen


@lru_cache(maxsize=2)  # a batch may reach over the end of an epoch
def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the permutation of an epoch."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)


def batch_indices(step: int, size: int, share: slice) -> range:
    """Return a share of the absolute indices of a batch."""
    return range(step * size, (step + 1) * size)[share]


class IndexBatches(Sampler[list[int]]):
    """Batches of absolute indices, from step `first` up to step `steps`: batch k is k * size … (k + 1) * size - 1."""

    def __init__(self, *, first: int, steps: int, size: int, share: slice = slice(None)) -> None:
        self.first, self.steps, self.size, self.share = first, steps, size, share

    def __len__(self) -> int:
        """Return the number of batches left."""
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches in order."""
        for step in range(self.first, self.steps):
            yield list(batch_indices(step, self.size, self.share))
